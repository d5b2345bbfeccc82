// A memory control group, version 1 or 2: how a test makes a machine with little memory.
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <string>
#include <utility>

#include "base/io.h"
#include "base/sys.h"

namespace godwit::test {

class MemoryGroup {
 public:
  /// Made if it isn't there; not limited yet. `name` is told apart from other runs' by this process's PID.
  explicit MemoryGroup(const std::string& name) : dir_(top() + "/godwit-" + std::to_string(::getpid()) + "-" + name) {
    made_ = !missing() && sys::make_dirs(dir_);
  }
  MemoryGroup(MemoryGroup&& other) noexcept : dir_(other.dir_), made_(std::exchange(other.made_, false)) {}
  /// Its members go back to the group above it.
  ~MemoryGroup() {
    if (!made_) return;
    const std::string members = io::read_file(dir_ + "/cgroup.procs").value_or("");
    for (size_t at = 0; at < members.size(); at = members.find('\n', at) + 1)
      (void)io::write_file(top() + "/cgroup.procs", members.substr(at, members.find('\n', at) - at));
    (void)::rmdir(dir_.c_str());
  }
  /// Whether there are such groups here at all.
  static bool missing() { return top().empty(); }
  /// In bytes; below 0: none.
  [[nodiscard]] bool limit(int64_t bytes) const {
    const bool first = ::access((dir_ + "/memory.limit_in_bytes").c_str(), F_OK) == 0;
    return io::write_file(dir_ + (first ? "/memory.limit_in_bytes" : "/memory.max"),
                          bytes < 0 ? (first ? "-1" : "max") : std::to_string(bytes))
        .has_value();
  }
  [[nodiscard]] bool add(pid_t pid) const {
    return io::write_file(dir_ + "/cgroup.procs", std::to_string(pid)).has_value();
  }

 private:
  static std::string top() {
    for (const char* top : {"/sys/fs/cgroup/memory", "/sys/fs/cgroup"}) {
      if (::access((std::string(top) + "/memory.limit_in_bytes").c_str(), F_OK) == 0 ||
          io::read_file(std::string(top) + "/cgroup.subtree_control").value_or("").find("memory") != std::string::npos)
        return top;
    }
    return {};
  }
  std::string dir_;
  bool made_ = false;
};

}  // namespace godwit::test
