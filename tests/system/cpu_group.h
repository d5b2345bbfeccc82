// A CPU control group, version 1 or 2: how a test makes a machine with a part of a processor.
#pragma once

#include <unistd.h>

#include <string>
#include <vector>

#include "base/io.h"
#include "base/sys.h"

namespace godwit::test {

class CpuGroup {
 public:
  /// Of so many CPUs. `name` is told apart from other runs' by this process's PID.
  CpuGroup(const std::string& name, double cpus) {
    const std::string own = "/godwit-" + std::to_string(::getpid()) + "-" + name;
    const auto quota = std::to_string(static_cast<int>(cpus * 100'000));
    if (::access("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", F_OK) == 0 ||
        ::access("/sys/fs/cgroup/cpu/cpu.shares", F_OK) == 0) {
      // Processes are counted in a hierarchy of its own, if it isn't the same.
      for (const char* top : {"/sys/fs/cgroup/cpu", "/sys/fs/cgroup/cpuacct"})
        if (sys::make_dirs(top + own)) dirs_.push_back(top + own);
      made_ = !dirs_.empty() && io::write_file(dirs_[0] + "/cpu.cfs_period_us", "100000") &&
              io::write_file(dirs_[0] + "/cpu.cfs_quota_us", quota);
    } else if (io::read_file("/sys/fs/cgroup/cgroup.subtree_control").value_or("").find("cpu") != std::string::npos) {
      dirs_.push_back("/sys/fs/cgroup" + own);
      made_ = sys::make_dirs(dirs_[0]) && io::write_file(dirs_[0] + "/cpu.max", quota + " 100000");
    }
  }
  CpuGroup(const CpuGroup&) = delete;
  CpuGroup& operator=(const CpuGroup&) = delete;
  /// Its members go back to the group above it.
  ~CpuGroup() {
    for (const auto& dir : dirs_) {
      const std::string above = dir.substr(0, dir.rfind('/')) + "/cgroup.procs";
      const std::string members = io::read_file(dir + "/cgroup.procs").value_or("");
      for (size_t at = 0; at < members.size(); at = members.find('\n', at) + 1)
        (void)io::write_file(above, members.substr(at, members.find('\n', at) - at));
      (void)::rmdir(dir.c_str());
    }
  }
  bool made() const { return made_; }
  /// What it starts from now on is in it, too.
  [[nodiscard]] bool add(pid_t pid) const {
    bool all = made_;
    for (const auto& dir : dirs_) all = all && io::write_file(dir + "/cgroup.procs", std::to_string(pid)).has_value();
    return all;
  }

 private:
  std::vector<std::string> dirs_;
  bool made_ = false;
};

}  // namespace godwit::test
