// Restorer: from a PodState and arriving memory to a process tree that stands complete and stopped.
//
// The problem. A process tree must come to life with its PIDs, parents, sessions, areas, descriptors, threads and
// registers, on a machine where the program isn't running; as little of that as possible may happen while the source is
// frozen; and until the commit any of it may have to vanish without a trace.
//
// The idea. Nothing is injected and no program of ours is exec'ed. This process clones *blank* processes that hold
// nothing but a shared trampoline (remote.h), and tells each through ptrace which system calls to make. Blank processes
// and their areas are built from an *outline*, which is made while the unit still runs; memory streams straight into
// them. prepare() only builds the difference between what stands and what the new outline says, so the last one, at the
// freeze, usually finds everything done.
//
// Stages, and why each must come where it does:
//   prepare()    tree.cc      processes: parents before children; setsid() between the children that were born before
//                             the parent's setsid and those after; orphans through a helper that dies
//                areas.cc     old mappings out, vDSO in, areas mapped
//                shared_objects.cc   what several of them map: made once
//                fill.cc      new areas made ready for many pages
//   [memory arrives: PageWriter, page_writer.cc]
//   restore()    files.cc     every open file made here, then handed to each process over one socket (SCM_RIGHTS) and moved
//                             to its number: all files exist before any kind's connect() looks for another
//                process.cc   what a process has as a whole; timers late, since they start to run
//                threads.cc   threads, each with what is its own; credentials after everything that needs root;
//                             seccomp filters last of all
//   resume()                  after the commit: kinds' activate() (locks, names that the source held until now),
//                             trampoline out, registers in, let go
//
// Every process is seized with PTRACE_O_EXITKILL: if this process dies before resume(), they all die.
//
// Limits: x86-64; one level of PID namespaces; see refusals.cc.
// Sources: ptrace(2), clone3's set_tid in clone(2), prctl(2) PR_SET_MM_MAP, credentials(7), pid_namespaces(7);
// measured orders and costs in docs/design/pod.md.
//
// Threads: one, except PageWriter's methods.
#pragma once

#include <sys/uio.h>

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <shared_mutex>
#include <string>
#include <vector>

#include "base/clock.h"
#include "godwit/pod.pb.h"
#include "pod/kinds.h"
#include "pod/proc.h"
#include "pod/remote.h"
#include "pod/restore/late_memory.h"
#include "pod/restore/plan.h"
#include "pod/tracee.h"

namespace godwit::pod {

using engine::PageRun;
using engine::SpaceId;

struct RestoreOptions {
  /// The process that is to be the parent of the tree's orphans and roots: a unit's init, stopped or not; 0: this process
  /// itself clones the root (kept PIDs in the caller's own namespace).
  pid_t init_host_pid = 0;
  std::string scratch_dir = "/tmp";
  bool close_connections = false;
  /// Standard streams that led out of the tree become this process's own.
  bool inherit_stdio = false;
  /// Offsets of the unit's time namespace against this process's clocks.
  Nanos monotonic_offset{0};
  Nanos boottime_offset{0};
  bool assume_foreign_vdso = false;  ///< tests only
  bool outlives_engine = false;  ///< the tree goes on when this process has ended
  uint64_t forbidden_capabilities = 0;
  bool sockets_of_tree = false;
};

/// Which pieces of anonymous memory have one anon_vma; see families.cc.
struct Families {
  struct Piece {
    uint64_t end = 0;
    uint32_t family = 0;
    std::string vm_flags;
  };
  std::map<uint64_t, Piece> pieces;  ///< by start
  uint32_t last = 0;
};

class Restorer final : public RestoreContext, public engine::PageWriter {
 public:
  Restorer(const ProcFs& proc, RestoreOptions options);
  ~Restorer() override;

  Result<void> prepare(const pb::Outline& outline);  ///< memory may arrive from here on
  Result<void> restore(pb::PodState state);
  /// Of the restored state: does resume() take what a frozen source still holds?
  bool takes_over() const;
  Result<void> resume();
  Result<void> discard();
  /// Before restore(): these pages come after the resume (late_memory.h).
  void expect_late(std::vector<PageRun> later, engine::LatePages& pages);
  LateMemory* late() { return late_.get(); }
  /// Host pid of the tree's root; valid after prepare().
  pid_t root_host_pid() const;
  /// Of any process of the tree; 0 when there is none.
  pid_t host_pid_of(pid_t pid_in_tree) const;
  /// Called in this process before the first process is cloned, when the trampoline is mapped: starts the unit's init.
  /// It must keep descriptor `keep_fd` open and give its pid as this process sees it.
  void set_init_starter(std::function<Result<pid_t>(int keep_fd)> starter) { init_starter_ = std::move(starter); }

  // RestoreContext
  Result<const Fd*> file(FileId id) override;
  Result<pid_t> any_host_pid() override;
  Result<pid_t> host_pid(pid_t pid_in_tree) override;
  Result<int64_t> remote_call(pid_t pid_in_tree, long number, std::span<const uint64_t> arguments) override;
  Result<uint64_t> remote_scratch(pid_t pid_in_tree) override;
  Result<void> remote_write(pid_t pid_in_tree, uint64_t address, std::span<const std::byte> data) override;
  Result<void> remote_read(pid_t pid_in_tree, uint64_t address, std::span<std::byte> data) override;
  Result<const Fd*> contents(uint32_t space) override;
  const std::string& scratch_dir() override { return options_.scratch_dir; }
  bool close_connections() const override { return options_.close_connections; }
  const Fd& proc_dir() override { return proc_.dir(); }
  Nanos clock(clockid_t clock) override;
  Result<Fd> inherit(int fd, const std::string& link) override;
  Result<Fd> internet_socket(int domain, int type) override;

  // PageWriter
  Result<void> write(std::span<const PageRun> runs, std::span<const std::byte> data) override;
  Result<void> zero(std::span<const PageRun> runs) override;

 private:
  /// A process that stands for one of the unit's, or for its init.
  struct Blank {
    pid_t pid = 0;  ///< in the tree's view
    pid_t host_pid = 0;
    pid_t parent = 0;  ///< in the tree's view; 0: outside
    pid_t session = 0;  ///< what it is in now
    pid_t wanted_session = 0;
    uint32_t terminal = 0;  ///< as OutlineProcess.terminal
    bool zombie = false;
    bool is_init = false;
    SpaceId space = 0;
    std::vector<pb::Area> areas;  ///< built so far
    std::vector<pb::Area> fresh;  ///< of these, what the last outline mapped
    Families families;
    std::vector<Tracee> threads;  ///< the leader first
    std::unique_ptr<Remote> remote;
    Tracee& leader() { return threads.front(); }
  };
  struct SharedObject {
    Fd fd;
    std::byte* memory = nullptr;
    uint64_t size = 0;
    int sysv_id = -1;  ///< of a System V segment: attached by shmat(2), not mapped
  };

  // tree.cc
  Result<void> build_tree(const pb::Outline& outline);
  Result<void> remove_missing(const pb::Outline& outline);
  Result<void> start_trampoline(const pb::Outline& outline);
  Result<Blank*> adopt_init();
  Result<Blank*> clone_root(const pb::OutlineProcess& wanted);
  /// kShared: for a helper that is born of a process whose memory is there, and would copy its page tables.
  enum class Memory { kBlank, kShared };
  Result<Blank*> clone_from(Blank& creator, const pb::OutlineProcess& wanted, Memory memory = Memory::kBlank);
  Result<pid_t> remote_clone(Blank& creator, pid_t set_tid, uint64_t flags, int exit_signal);
  Result<void> make_blank(Blank& blank, bool from_engine);
  Result<void> build_children(Blank& parent, const pb::Outline& outline);
  const Blank* reaper_above(const Blank& from, pid_t adopting, const pb::Outline& outline);
  Blank* creator_in_session(const pb::OutlineProcess& wanted, const pb::Outline& outline);
  Result<void> build_orphan(const pb::OutlineProcess& wanted, const pb::Outline& outline);
  Result<void> start_session(Blank& blank);
  Result<void> end_helper(Blank& parent, pid_t helper_host_pid);
  Blank* find(pid_t pid_in_tree);
  // shared_objects.cc
  Result<void> build_shared_objects(const pb::Outline& outline);
  Result<SharedObject> build_shared_object(const pb::SharedMemory& wanted);
  const SharedObject* sysv_segment(const pb::Area& area) const;
  void attach_segments(Batch& batch, std::span<const pb::Area> pieces) const;
  // areas.cc
  Result<void> start_space(Blank& blank, const pb::AddressSpace& space);
  Result<void> build_space(Blank& blank, const pb::AddressSpace& space);
  Result<void> map_held_files(Blank& blank, const pb::AddressSpace& space);
  Result<void> map_pieces(Blank& blank, std::vector<pb::Area> pieces, std::vector<std::pair<uint64_t, uint64_t>> unmap);
  Result<int> mapped_file(const pb::Area& area);
  Result<void> map_vdso(Blank& blank, const pb::AddressSpace& space);
  Result<void> register_late(Blank& blank, const pb::AddressSpace& space);
  Result<void> empty_for_late(Blank& blank, SpaceId space, std::span<const std::pair<uint64_t, uint64_t>> areas);
  static Result<void> finish_areas(Plan& plan, const pb::AddressSpace& space);
  // families.cc
  static void found_families(Blank& blank, Batch& batch, std::span<const pb::Area> pieces,
                             std::span<const std::pair<uint64_t, uint64_t>> unmapped);
  Result<void> join_families(Blank& blank, const pb::AddressSpace& space);
  Result<void> build_as_one(Blank& blank, const std::vector<pb::Area>& chain, const pb::AddressSpace& space);
  // files.cc
  Result<void> restore_files();
  Result<void> restore_file(const pb::OpenFile& file);
  Result<void> deliver(Blank& blank, std::span<const int> fds);
  Result<void> deliver(Plan& plan, std::span<const int> fds);
  Result<void> install_descriptors(Blank& blank, const pb::Process& process);
  Result<void> connect_files();
  Result<void> set_owners();
  Result<void> raise_channel();
  // process.cc
  Result<void> restore_process(Blank& blank, const pb::Process& process);
  Result<void> set_memory_fields(Plan& plan, const pb::AddressSpace& space);
  static Result<void> set_actions(Plan& plan, const pb::Process& process);
  void set_limits(Plan& plan, Blank& blank, const pb::Process& process);
  Result<void> set_timers(Plan& plan, Blank& blank, const pb::Process& process);
  Result<void> join_groups();
  Result<void> end_zombies();
  Result<void> queue_signals(Plan& plan, Blank& blank, const pb::Process& process);
  void drain_signals(Plan& plan, Blank& blank);
  // threads.cc
  Result<void> clone_threads(Blank& blank, const pb::Process& process);
  Result<void> restore_thread(Plan& plan, Blank& blank, Tracee& tracee, const pb::Thread& thread);
  Result<void> set_xstate(Plan& plan, Blank& blank, Tracee& tracee, const pb::Thread& thread);
  Result<void> set_credentials(Plan& plan, const pb::Thread& thread) const;
  static Result<void> set_seccomp(Plan& plan, const pb::Thread& thread);
  Result<void> arm_restart(Blank& blank, Tracee& tracee, const pb::Thread& thread);
  Result<void> finish_thread(Blank& blank, Tracee& tracee, const pb::Thread& thread);
  Result<void> drop_trampoline(Blank& blank, const pb::AddressSpace& space);

  // restorer.cc
  Result<void> build(const pb::Outline& outline);
  Result<void> restore_rest(Blank& blank, const pb::Process& process);
  Result<void> finish_process(Blank& blank, const pb::Process& process);
  void wait_for_clock();
  Result<void> stop_again(Blank& blank, const pb::Process& process);

  const pb::AddressSpace* space_of(pid_t pid) const;

  const ProcFs& proc_;
  RestoreOptions options_;
  std::function<Result<pid_t>(int)> init_starter_;
  std::optional<SharedTrampoline> trampoline_;
  std::vector<std::unique_ptr<Blank>> blanks_;
  Fd channel_ours_;  ///< this process's end of the socket that hands descriptors to blanks
  Fd channel_theirs_;  ///< the other end, until the first process has inherited it
  int channel_number_ = 0;  ///< its number in every blank
  int highest_channel_ = 0;  ///< what it may be at most
  std::map<SpaceId, SharedObject> shared_;
  std::map<std::string, Fd> mapped_files_;  ///< by "r:" or "w:" + path
  std::map<FileId, Fd> files_;
  pb::PodState state_;
  pb::Outline outline_;
  pb::HostFacts host_;  ///< the source's
  bool released_ = false;
  std::optional<int> oom_score_adj_;  ///< of this process, and so of every blank
  size_t xstate_size_ = 0;  ///< of a thread here, by PTRACE_GETREGSET
  int cpu_ = -1;  ///< where init, all that descends from it, and this thread stay while calls are made

  // page_writer.cc: where arriving pages go; written by prepare(), read by the stream threads.
  struct Target {
    pid_t host_pid = 0;
    bool late = false;  ///< what is missing there is late_'s to put in place
    Fd mem;
    std::vector<std::pair<uint64_t, uint64_t>> private_areas;  ///< sorted
    Fd fill;  ///< a userfaultfd of filled_areas, while nothing but pages that arrive may touch them
    std::vector<std::pair<uint64_t, uint64_t>> filled_areas;  ///< sorted
    SharedObject* object = nullptr;
  };
  std::shared_mutex targets_mutex_;
  std::map<SpaceId, Target> targets_;
  static Result<void> write_private(const Target& target, std::span<const iovec> remote,
                                    std::span<const std::byte> data);
  Result<void> check_runs(const Target& target, const PageRun& run) const;
  // fill.cc
  Result<Fd> make_fill(Blank& blank);
  void open_fill(Blank& blank, std::span<const pb::Area> mapped);
  void close_fills();
  static Result<void> fill(const Target& target, const PageRun& run, std::span<const std::byte> data);
  static Result<void> fill_part(const Target& target, uint64_t address, std::span<const std::byte> data);
  void refresh_targets();
  std::unique_ptr<LateMemory> late_;
};

pb::Outline outline_of(const pb::PodState& state);

}  // namespace godwit::pod
