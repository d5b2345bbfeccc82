// Reading /proc of other processes through one directory descriptor, so that it works after the caller has entered a
// mount namespace whose /proc shows other PIDs. Values only; nothing here stops or changes a process.
#pragma once

#include <sys/types.h>

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/fd.h"
#include "base/result.h"

namespace godwit::pod {

/// /proc/PID/status, the lines we use (proc_pid_status(5)).
struct ProcStatus {
  char state = '?';
  pid_t tgid = 0;
  pid_t tracer = 0;
  std::array<uint32_t, 4> uids{}, gids{};
  std::vector<uint32_t> groups;
  /// From the reader's namespace inwards; the last is what the process itself sees.
  std::vector<pid_t> ns_pid, ns_tgid, ns_pgid, ns_sid;
  uint64_t cap_inh = 0, cap_prm = 0, cap_eff = 0, cap_bnd = 0, cap_amb = 0;
  uint64_t sig_pending = 0, shared_pending = 0, blocked = 0, ignored = 0, caught = 0;
  uint32_t umask = 0;
  int seccomp = 0;
  int seccomp_filters = 0;
  bool no_new_privs = false;
  int threads = 0;
  bool thp_enabled = true;
};

/// /proc/PID/stat, the fields we use (proc_pid_stat(5)).
struct ProcStat {
  char state = '?';
  bool exiting = false;  ///< on its way out: it may have no memory and no descriptors any more
  pid_t ppid = 0;
  unsigned terminal = 0;  ///< tty_nr: the controlling terminal's device, 0 if none
  std::string comm;
  int exit_signal = 0;
  int exit_code = 0;
  uint64_t start_time = 0;
  int threads = 0;
  uint64_t start_code = 0, end_code = 0, start_stack = 0, start_data = 0, end_data = 0, start_brk = 0;
  uint64_t arg_start = 0, arg_end = 0, env_start = 0, env_end = 0;
};

/// One line of /proc/PID/maps, with what smaps adds.
struct MapEntry {
  uint64_t start = 0, end = 0;
  int prot = 0;
  bool shared = false;
  uint64_t offset = 0;
  dev_t device = 0;
  uint64_t inode = 0;
  std::string name;
  std::string vm_flags;  ///< smaps only: "rd wr mr mw me ac"
  int protection_key = 0;
  bool same_place(const MapEntry& o) const {
    return start == o.start && end == o.end && prot == o.prot && shared == o.shared && offset == o.offset &&
           device == o.device && inode == o.inode && name == o.name;
  }
};

class ProcFs {
 public:
  explicit ProcFs(Fd dir) : dir_(std::move(dir)) {}
  static Result<ProcFs> open(const std::string& path = "/proc");

  const Fd& dir() const { return dir_; }
  /// Text of /proc/PID/NAME. A process that ended is Code::kGone.
  Result<std::string> read(pid_t pid, std::string_view name) const;
  Result<std::string> link(pid_t pid, std::string_view name) const;
  Result<std::vector<std::string>> list(pid_t pid, std::string_view name) const;
  Result<Fd> open(pid_t pid, std::string_view name, int flags) const;

  Result<ProcStatus> status(pid_t pid, pid_t tid = 0) const;
  Result<ProcStat> stat(pid_t pid, pid_t tid = 0) const;
  /// No such process, or one of which only its exit status is left.
  bool has_ended(pid_t pid) const;
  Result<std::vector<MapEntry>> maps(pid_t pid) const;
  /// Also VmFlags and protection keys; walks the page tables, so a few ms for a GiB of small pages.
  Result<std::vector<MapEntry>> smaps(pid_t pid) const;
  Result<std::vector<pid_t>> threads(pid_t pid) const;
  /// Children of all threads. Right only when none of them can fork meanwhile.
  Result<std::vector<pid_t>> children(pid_t pid) const;
  /// Of one thread.
  Result<std::vector<pid_t>> children(pid_t pid, pid_t tid) const;

 private:
  Fd dir_;
};

/// Exposed for tests and fuzzing.
Result<ProcStatus> parse_status(std::string_view text);
Result<ProcStat> parse_stat(std::string_view text);
Result<std::vector<MapEntry>> parse_maps(std::string_view text);

}  // namespace godwit::pod
