// Collector: what rescheduling must know of this machine and of its units, from /proc and the cgroup file system. Called once a
// heartbeat, by one thread.
//
// Where numbers come from, and what they are worth:
//   CPU of a unit      the growth of its processes' times (the keeper's sum); children that ended are missing, so it may fall
//   threads            num_threads of /proc/PID/stat
//   reads, writes      rchar and wchar of /proc/PID/io: what went through calls, page cache included; not what was mapped
//   progress, reads:   the furthest position of a descriptor on that file in the unit, over its size; after the last one is closed,
//                      what was seen last. Compared by device and inode, as the path means another file in the unit's own view.
//   progress, file:    "DONE TOTAL", which the program writes: a small regular file, looked up in the unit's own view
//   pressure           PSI, "some avg10" (kernel 4.20, may be off), of the machine or of the cgroup that limits the daemon
//   CPUs, busy         affinity, and quotas of the cgroups that the daemon is in (both versions); busy is counted within them
// Dirty rates aren't here: asking the kernel which pages were written costs the unit something. Past moves tell (controller).
//
// The unit is not trusted: what it can write is read through its own root, small, and only from regular files. Nor may it delay the
// heartbeat by having many processes, threads or descriptors: files of /proc are opened for it up to a budget (Budget), and
// the next look goes on where this one stopped.
#pragma once

#include <algorithm>
#include <cstddef>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "godwit/sched.pb.h"
#include "sched/sched.h"

namespace godwit::node {

/// "some avg10=1.23 avg60=…" → 1.23.
double psi_some_avg10(std::string_view text);
/// "pos:\t1234\n…" of fdinfo.
std::optional<uint64_t> fdinfo_position(std::string_view text);
/// "DONE TOTAL", blanks between; neither negative, nor infinite, TOTAL more than 0.
struct Said {
  double done = 0, total = 0;
};
std::optional<Said> parse_said(std::string_view text);
/// "max 100000" or "50000 100000" → CPUs; nothing when there is no limit.
std::optional<double> cgroup_cpus(std::string_view cpu_max);
/// Speed of one CPU by a short calculation; counts the time that this thread ran, so a busy machine isn't a slow one.
double measure_speed();

/// How many files of /proc may still be looked at. One costs some 5 us, so all units together take a tenth of a second at most.
class Budget {
 public:
  static constexpr size_t kOfAll = 16384, kOfUnit = 4096, kLeast = 64;
  explicit Budget(size_t files = kOfUnit) : left_(files) {}
  /// Of one unit among so many.
  static Budget of_one(size_t units) {
    return Budget(std::max(kLeast, std::min(kOfUnit, kOfAll / std::max<size_t>(1, units))));
  }
  [[nodiscard]] bool take() { return left_ > 0 && left_-- > 0; }
  [[nodiscard]] size_t left() const { return left_; }

 private:
  size_t left_;
};

class Collector {
 public:
  /// Other roots than the usual ones are for tests.
  explicit Collector(std::string proc = "/proc", std::string cgroups = "/sys/fs/cgroup");

  wire::NodeActivity node(double time_s);
  /// `progress` is UnitSpec's.
  wire::UnitActivity unit(const std::string& id, int init_pid, double cpu_seconds, const std::string& progress,
                          double time_s);
  /// Drops what is known of other units.
  void keep_only(const std::set<std::string>& ids);

 private:
  struct Row {
    sched::Rate cpu{10}, read{10}, write{10};
    double done = 0, total = 0;
    int next = 0;  ///< the process at which the next look for descriptors begins
  };
  [[nodiscard]] std::vector<int> tree(int root, Budget& budget) const;
  /// What the daemon and its units may use, and where its use is counted.
  struct Limit {
    double cpus = 1;
    std::string group;  ///< directory of the cgroup whose limit it is; empty: the machine's
    std::string usage;  ///< file that counts what the group used
  };
  [[nodiscard]] Limit limit() const;
  [[nodiscard]] std::optional<double> used(const Limit& limit) const;
  void look_at_reads(std::vector<int> pids, int init_pid, const std::string& path, Row& row, Budget& budget) const;
  void look_at_file(int init_pid, const std::string& path, Row& row) const;

  const std::string proc_, cgroups_;
  const double speed_;
  sched::Rate busy_{10};
  std::map<std::string, Row> rows_;
};

}  // namespace godwit::node
