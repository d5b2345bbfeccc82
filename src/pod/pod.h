// pod: transparent checkpoint and restore of unmodified Linux programs (x86-64, kernels from 5.14 on, best from 6.7 on).
//
// What it does: stops a process tree from outside, reads its whole state, and builds the same tree again on this or
// another machine, in another PID namespace if need be. What it never does: run code of its own inside the program beyond
// single system calls; touch a program that it will refuse; leave a process half built.
//
//     pod::SourceOptions options;
//     options.root = 4242;
//     TRY(auto source, pod::make_source(std::move(options)));
//     TRY(const auto found, source->inspect());                       // blockers, demands, outline
//     TRY(const auto outline, source->freeze());
//     TRY(const auto state, source->capture(sink));
//     TRY_DO(source->thaw());                                         // or discard()
//
// Threads: an engine lives in one thread (it is a ptrace tracer); its PageReader and PageWriter are thread-safe.
// Failure: every error before resume() leaves the source able to run and nothing at the destination; see engine.h.
#pragma once

#include <sys/types.h>

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/fd.h"
#include "base/result.h"
#include "engine/engine.h"
#include "pod/refusals.h"

namespace godwit::pod {

struct SourceOptions {
  pid_t root = 0;  ///< root of the tree, as this process sees it
  bool own_pid_namespace = false;  ///< the tree is a unit with namespaces of its own; `root` is its init
  pid_t main_pid = 0;  ///< a unit's main process, in the tree's own view
  /// Its wait status, once init has told that it ended. Asked when it isn't in the tree any more.
  std::function<std::optional<int>()> main_status;
  bool close_connections = false;  ///< established TCP connections are carried as closed ones instead of refused
  bool inherit_stdio = false;  ///< standard streams that lead out of the tree are replaced by the restorer's own
  Fd proc;  ///< a /proc that shows this process; invalid: "/proc"
};
Result<std::unique_ptr<engine::SourceEngine>> make_source(SourceOptions options);

struct DestinationOptions {
  std::string scratch_dir = "/tmp";  ///< for files that exist only by descriptor; should be on the unit's own storage
  bool close_connections = false;
  bool inherit_stdio = false;
  /// Starts the unit's init when the first process is to be made; must keep descriptor `keep_fd` open. Null: no PID
  /// namespace of its own, PIDs are those of the caller's namespace.
  std::function<Result<pid_t>(int keep_fd)> start_init;
  /// Told at the end of restore() that the unit's main process had ended at the source, with which wait status.
  std::function<void(int status)> main_ended;
  /// Offsets of the unit's time namespace against this process's clocks.
  Nanos monotonic_offset{0};
  Nanos boottime_offset{0};
  bool assume_foreign_vdso = false;  ///< tests only: treat the source's vDSO as another kernel's
  bool outlives_engine = false;  ///< the tree and its init go on when this process has ended
  /// Capabilities that no thread may have, or come to have; a state that says otherwise is refused.
  uint64_t forbidden_capabilities = 0;
  /// Internet sockets are made by a process of the tree: they belong to the control group of who makes them, for ever.
  bool sockets_of_tree = false;
  Fd proc;
};
/// What a destination engine can tell beyond the interface.
class PodDestination : public engine::DestinationEngine {
 public:
  virtual pid_t root_host_pid() const = 0;
  /// Of a process of the tree; 0 when there is none.
  virtual pid_t host_pid_of(pid_t pid_in_tree) const = 0;
};
Result<std::unique_ptr<PodDestination>> make_destination(DestinationOptions options);

/// Offsets that make the unit's clocks go on: from the outline's or state's host facts (read at the source just before it
/// was sent) to this host's clocks. `rewind`: the image is old; its clocks continue where they stood.
struct ClockOffsets {
  Nanos monotonic{0}, boottime{0};
};
Result<ClockOffsets> clock_offsets_for(const std::string& outline);

/// Namespaces of a unit, entered by the keeper itself, and its init.
struct SandboxOptions {
  bool new_pid = true, new_ipc = true, new_uts = true, new_mount = true;
  std::optional<ClockOffsets> time;  ///< a time namespace with these offsets; none when equal to the host's
  std::string hostname;  ///< empty: the host's
  Fd proc;  ///< a /proc that shows init
  std::function<Result<void>()> build_view;  ///< called inside the new mount namespace, before init mounts /proc
};
class Sandbox {
 public:
  /// unshare(2)s this process (it must be single-threaded for a user namespace). After it, children are in the unit's
  /// PID and time namespaces.
  static Result<std::unique_ptr<Sandbox>> enter(SandboxOptions options);
  ~Sandbox();
  /// What init is put into before it does anything, and so everybody who descends from it. Descriptors stay the caller's.
  struct Bonds {
    std::vector<int> groups;  ///< "0" is written to them: files cgroup.procs
    int ruleset = -1;  ///< of Landlock; -1: none
    struct PathRule {
      std::string path;
      uint64_t access = 0, access_of_file = 0;  ///< the latter when it is no directory
    };
    /// Added to the ruleset when the unit's own /proc is mounted: a rule from before would be of what lies beneath.
    std::vector<PathRule> late;
    uint64_t capabilities = ~uint64_t{0};  ///< that stay in the bounding set
  };
  void bind(Bonds bonds) { bonds_ = std::move(bonds); }
  /// Forks the unit's init: PID 1, reaps, dies with this process. It keeps `keep_fd` (-1: none).
  Result<pid_t> start_init(int keep_fd);
  /// Forks the unit's init with a program as its first child. `stdio`: three descriptors of this process.
  /// A second child of init, launched after the program and like it part of the unit; its descriptors are 0, 1, ….
  struct Companion {
    std::string path;
    std::vector<std::string> argv;
    std::vector<int> fds;
  };
  struct Program {
    std::vector<std::string> argv, env;
    std::string cwd;
    int stdio[3] = {0, 1, 2};
    bool controlling_terminal = false;  ///< stdio[0] is a terminal that becomes the session's
    std::optional<uid_t> uid;
    std::optional<gid_t> gid;
    std::optional<Companion> companion;
  };
  Result<pid_t> launch(const Program& program);
  pid_t init_host_pid() const { return init_; }
  /// Pid of the program in the unit's own view, after launch().
  pid_t main_pid() const { return main_pid_; }
  void set_main_pid(pid_t pid) { main_pid_ = pid; }
  /// Readable when init has reaped somebody; at its end init is gone and so is the unit.
  const Fd& exits() const { return exits_; }
  /// Takes what init reported: the main process's wait status once it ended.
  Result<void> read_exits();
  std::optional<int> main_status() const { return main_status_; }
  /// The main process ended before the unit came to be here.
  void set_main_status(int status) { main_status_ = status; }
  bool ended() const { return ended_; }
  /// Kills everything in the unit and waits for it.
  void kill();
  /// The unit goes on without this process (DestinationOptions::outlives_engine); its init ends with the last of it.
  void let_go();

 private:
  Sandbox() = default;
  Result<pid_t> fork_init(const Program* program, int keep_fd);
  SandboxOptions options_;
  Bonds bonds_;
  pid_t init_ = 0;
  pid_t main_pid_ = 0;
  Fd exits_;
  std::optional<int> main_status_;
  bool ended_ = false;
};

/// All processes below `root`, parents before children, in a /proc that shows them; of a tree that runs, those that were met.
std::vector<pid_t> processes_below(const Fd& proc, pid_t root);
/// The number that a process has in its innermost PID namespace; 0 when it is gone.
pid_t pid_inside(const Fd& proc, pid_t pid);

// --- trees that Godwit did not start -----------------------------------------------------------------------------------

struct CheckReport {
  std::vector<engine::Blocker> blockers;
  std::string demands;
  uint64_t memory_bytes = 0;
  int processes = 0, threads = 0;
};
/// Everything that forbids moving the tree below `pid`; touches nothing.
Result<CheckReport> check_tree(pid_t pid);

struct TreeReport {
  double frozen_ms = 0, total_ms = 0;
  uint64_t memory_bytes = 0, stored_bytes = 0;
  int processes = 0, threads = 0;
  std::vector<engine::Timing> timings;
  pid_t root = 0;
  unsigned rounds = 0;  ///< of memory before the freeze
  std::optional<int> status;  ///< restore, attached: the root's wait status
};
struct CheckpointOptions {
  bool leave_running = false;
  bool stop_first = false;  ///< all of the memory is copied while the tree stands, as for a small one
  bool inherit_stdio = true;
  bool close_connections = false;
  Fd stream;  ///< when valid the image goes there as one file's bytes, and `path` is only what it is called
  std::function<Result<void>()> kept;  ///< asked when all of the image was written, before a tree that ends does
};
/// Dumps the tree below `pid` into directory or file `path`. Refusals fill `blockers`. Without leave_running the tree is
/// killed once the image is complete. More memory than is copied in some milliseconds goes in rounds while the tree runs,
/// as in a live move; then it stands only for what was written during the last one.
Result<TreeReport> checkpoint_tree(pid_t pid, const std::string& path, CheckpointOptions options,
                                   std::vector<engine::Blocker>& blockers);

struct RestoreTreeOptions {
  bool new_pids = false;  ///< in a PID namespace of its own instead of the caller's
  bool detach = false;
  std::string pid_file;
  bool close_connections = false;
  bool assume_foreign_vdso = false;  ///< tests only
};
Result<TreeReport> restore_tree(const std::string& path, const RestoreTreeOptions& options);

/// For `godwit image show`: the engine's state as JSON text.
Result<std::string> state_to_json(const std::string& state);

}  // namespace godwit::pod
