// What runs on this machine, as /proc tells: the truth that a test compares with what the daemons say.
#pragma once

#include <dirent.h>

#include <algorithm>
#include <charconv>
#include <map>
#include <string>
#include <vector>

#include "base/io.h"
#include "base/sys.h"

namespace godwit::test {

struct Proc {
  pid_t pid = 0, parent = 0;
  char state = '?';
  std::string command;  ///< arguments, separated by spaces
  [[nodiscard]] bool stands() const { return state == 't' || state == 'T'; }
};

class ProcTable {
 public:
  static ProcTable read() {
    ProcTable table;
    for (const auto& name : sys::list_dir("/proc").value_or(std::vector<std::string>{})) {
      Proc p;
      if (std::from_chars(name.data(), name.data() + name.size(), p.pid).ptr != name.data() + name.size()) continue;
      // proc(5): the name in parentheses may hold anything, so count from the last ')'.
      const auto stat = io::read_file("/proc/" + name + "/stat", 4096);
      const auto command = io::read_file("/proc/" + name + "/cmdline", 1u << 16);
      if (!stat || !command || stat->rfind(')') == std::string::npos) continue;
      const char* at = stat->c_str() + stat->rfind(')') + 2;
      p.state = *at;
      p.parent = static_cast<pid_t>(std::strtol(at + 1, nullptr, 10));
      p.command = *command;
      std::ranges::replace(p.command, '\0', ' ');
      if (p.state != 'Z' && p.state != 'X') table.all_[p.pid] = std::move(p);
    }
    return table;
  }
  /// Those whose command line has this word in it and that are below `ancestor`.
  [[nodiscard]] std::vector<Proc> find(pid_t ancestor, const std::string& word) const {
    std::vector<Proc> out;
    for (const auto& [pid, p] : all_) {
      if (p.command.find(word) != std::string::npos && is_below(pid, ancestor)) out.push_back(p);
    }
    return out;
  }
  /// Of those the one that isn't a child of another: a program that forks shows its command line more than once, and the
  /// child's PID may be the smaller one (they wrap).
  [[nodiscard]] pid_t first(pid_t ancestor, const std::string& word) const {
    const auto found = find(ancestor, word);
    const auto top = std::ranges::find_if(found, [&](const Proc& p) {
      return std::ranges::none_of(found, [&](const Proc& other) { return other.pid == p.parent; });
    });
    return top == found.end() ? 0 : top->pid;
  }
  /// All below it, without it.
  [[nodiscard]] std::vector<Proc> below(pid_t ancestor) const { return find(ancestor, ""); }

 private:
  [[nodiscard]] bool is_below(pid_t pid, pid_t ancestor) const {
    for (auto it = all_.find(pid); it != all_.end(); it = all_.find(it->second.parent)) {
      if (it->second.parent == ancestor) return true;
      if (it->second.parent <= 1) return false;
    }
    return false;
  }
  std::map<pid_t, Proc> all_;
};

/// How many descriptors a process has open.
inline size_t open_descriptors(pid_t pid) {
  return sys::list_dir("/proc/" + std::to_string(pid) + "/fd").value_or(std::vector<std::string>{}).size();
}

/// What they are, one a line.
inline std::string descriptor_list(pid_t pid) {
  const std::string dir = "/proc/" + std::to_string(pid) + "/fd";
  std::string text;
  for (const auto& fd : sys::list_dir(dir).value_or(std::vector<std::string>{}))
    text += fd + " " + sys::read_link(dir + "/" + fd).value_or("?") + "\n";
  return text;
}

/// What its threads do: name, state and what they wait for in the kernel, one a line.
inline std::string thread_list(pid_t pid) {
  const std::string dir = "/proc/" + std::to_string(pid) + "/task";
  std::string text;
  for (const auto& tid : sys::list_dir(dir).value_or(std::vector<std::string>{})) {
    const auto file = [&](const char* name) { return io::read_file(dir + "/" + tid + "/" + name, 4096).value_or("?"); };
    text += file("stat").substr(0, 40) + " " + file("wchan") + " " + file("syscall");
  }
  return text;
}

}  // namespace godwit::test
