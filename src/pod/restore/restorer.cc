#include "pod/restore/restorer.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <mutex>
#include <ranges>

#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "base/heap.h"
#include "base/log.h"
#include "base/sys.h"
#include "pod/kernel_abi.h"
#include "pod/pinning.h"
#include "pod/validate.h"

namespace godwit::pod {

pb::Outline outline_of(const pb::PodState& state) {
  pb::Outline outline;
  for (const auto& p : state.processes()) {
    auto* o = outline.add_processes();
    o->set_pid(p.pid());
    o->set_ppid(p.ppid());
    o->set_sid(p.sid());
    o->set_pgid(p.pgid());
    o->set_space(p.space());
    o->set_zombie(p.state() == pb::ZOMBIE);
    o->set_is_init(p.is_init());
    o->set_child_subreaper(p.child_subreaper());
    o->set_exit_signal(p.exit_signal());
    o->set_shares_files_with(p.shares_files_with());
    o->set_shares_fs_with(p.shares_fs_with());
    o->set_terminal(p.terminal());
  }
  *outline.mutable_spaces() = state.spaces();
  *outline.mutable_shared() = state.shared();
  *outline.mutable_host() = state.host();
  outline.set_own_pid_namespace(state.own_pid_namespace());
  outline.set_descriptors_below(descriptors_below(state));
  return outline;
}

Restorer::Restorer(const ProcFs& proc, RestoreOptions options) : proc_(proc), options_(std::move(options)) {
  if (const auto own = proc_.read(::getpid(), "oom_score_adj")) oom_score_adj_ = std::atoi(own->c_str());
}

Restorer::~Restorer() { (void)discard(); }

Result<void> Restorer::prepare(const pb::Outline& outline) {
  const size_t before = blanks_.size();
  TRY_DO(build(outline));
  if (blanks_.size() > before) own_heap();  // each was born with all of it
  const PinnedThread here(cpu_);
  for (auto& blank : blanks_) open_fill(*blank, blank->fresh);
  return {};
}

Result<void> Restorer::build(const pb::Outline& outline) {
  close_fills();
  for (const auto& blank : blanks_) blank->fresh.clear();
  host_ = outline.host();
  if (!trampoline_) TRY_DO(start_trampoline(outline));  // before pinning, which init would inherit
  const PinnedThread here(cpu_);
  cpu_ = here.cpu();
  TRY_DO(build_tree(outline));
  TRY_DO(build_shared_objects(outline));
  for (const auto& space : outline.spaces()) {
    Blank* blank = find(space.pid());
    if (blank == nullptr || blank->zombie) continue;
    const auto built = [&]() -> Result<void> {
      TRY_DO(build_space(*blank, space));
      return join_families(*blank, space);
    };
    TRY_IN("memory of pid " + std::to_string(space.pid()), built());
  }
  refresh_targets();
  outline_ = outline;
  return {};
}

void Restorer::expect_late(std::vector<PageRun> later, engine::LatePages& pages) {
  late_ = std::make_unique<LateMemory>(std::move(later), pages);
}

Result<void> Restorer::restore(pb::PodState state) {
  state_ = std::move(state);
  TRY_DO(build(outline_of(state_)));
  TRY_DO(raise_channel());
  // Before this thread is pinned, which the pager would inherit.
  if (late_) TRY_DO(late_->start(options_.init_host_pid));
  const PinnedThread here(cpu_);
  for (const auto& section : state_.sections()) {
    for (const auto* kind : section_kinds()) {
      if (kind->name == section.kind() && kind->restore != nullptr)
        TRY_IN(section.kind(), kind->restore(*this, section.state()));
    }
  }
  TRY_DO(restore_files());
  auto each = [&](auto action) -> Result<void> {
    for (const auto& process : state_.processes()) {
      if (process.is_init() || process.state() == pb::ZOMBIE) continue;
      Blank* blank = find(process.pid());
      if (blank == nullptr)
        return fail(Code::kCorrupt, "pid " + std::to_string(process.pid()) + " isn't in the outline");
      TRY_IN("pid " + std::to_string(process.pid()), action(*blank, process));
    }
    return {};
  };
  TRY_DO(each([&](Blank& b, const pb::Process& p) { return restore_process(b, p); }));
  // After all of restore_process(): a table that is shared must be empty until then.
  TRY_DO(each([&](Blank& b, const pb::Process& p) -> Result<void> {
    return p.shares_files_with() != 0 ? Result<void>{} : install_descriptors(b, p);
  }));
  TRY_DO(join_groups());
  TRY_DO(connect_files());
  TRY_DO(each([&](Blank& b, const pb::Process& p) { return clone_threads(b, p); }));
  TRY_DO(set_owners());
  TRY_DO(end_zombies());
  TRY_DO(each([&](Blank& b, const pb::Process& p) { return restore_rest(b, p); }));
  return late_ ? late_->guarded() : Result<void>();
}

// The leader last in each step, as what its process has as a whole is set through it.
Result<void> Restorer::restore_rest(Blank& blank, const pb::Process& process) {
  Plan plan(*blank.remote, blank.leader());
  TRY_DO(finish_areas(plan, *space_of(process.pid())));
  TRY_DO(set_actions(plan, process));
  set_limits(plan, blank, process);
  TRY_DO(queue_signals(plan, blank, process));
  TRY_DO(set_timers(plan, blank, process));
  const auto each_thread = [&](auto step) -> Result<void> {
    for (int i = process.threads_size(); i-- > 0;) {
      Tracee& tracee = blank.threads[static_cast<size_t>(i)];
      TRY_DO(plan.go_on_in(tracee));
      TRY_DO(step(tracee, process.threads(i)));
    }
    return {};
  };
  TRY_DO(each_thread([&](Tracee& tracee, const pb::Thread& t) { return restore_thread(plan, blank, tracee, t); }));
  // Filters before credentials: one that was installed by root without no_new_privs can only be installed by root. They
  // don't judge our own calls (PTRACE_O_SUSPEND_SECCOMP).
  TRY_DO(each_thread([&](Tracee&, const pb::Thread& t) { return set_seccomp(plan, t); }));
  TRY_DO(each_thread([&](Tracee&, const pb::Thread& t) { return set_credentials(plan, t); }));
  plan.add(SYS_prctl, PR_SET_DUMPABLE, process.dumpable() == 1 ? 1 : 0, 0, 0, 0);
  if (process.mdwe() != 0) plan.add(SYS_prctl, abi::kPrSetMdwe, process.mdwe(), 0, 0, 0);
  return plan.run();
}

// The unit's clock may not go back: offsets between two machines are a little short.
void Restorer::wait_for_clock() {
  const Nanos behind = Nanos(state_.host().monotonic_ns()) - clock(CLOCK_MONOTONIC);
  if (behind <= Nanos(0) || behind > std::chrono::seconds(1)) return;
  const timespec nap{0, static_cast<long>(behind.count())};
  ::nanosleep(&nap, nullptr);
}

bool Restorer::takes_over() const {
  const auto has_file = [](const auto& file) {
    const FileKind* kind = find_file_kind(file.kind());
    return kind != nullptr && kind->activate != nullptr;
  };
  const auto has_section = [](const auto& section) {
    return std::ranges::any_of(
        section_kinds(), [&](const auto* kind) { return kind->name == section.kind() && kind->activate != nullptr; });
  };
  return std::ranges::any_of(state_.files(), has_file) || std::ranges::any_of(state_.sections(), has_section);
}

Result<void> Restorer::resume() {
  wait_for_clock();
  const PinnedThread here(cpu_);
  for (const auto& file : state_.files()) {
    const FileKind* kind = find_file_kind(file.kind());
    if (kind != nullptr && kind->activate != nullptr)
      TRY_IN("activating " + file.kind(), kind->activate(*this, file, files_.at(file.id())));
  }
  for (const auto& section : state_.sections()) {
    for (const auto* kind : section_kinds()) {
      if (kind->name == section.kind() && kind->activate != nullptr)
        TRY_IN(section.kind(), kind->activate(*this, section.state()));
    }
  }
  // Those that are stopped here first, and children before their parents: while the parent is in our hands, it can be kept
  // from hearing of the stop again.
  for (const bool first : {true, false}) {
    for (const auto& process : state_.processes() | std::views::reverse) {
      Blank* blank = find(process.pid());
      const bool is_stopped = process.state() == pb::STOPPED || process.continued();
      if (blank == nullptr || process.is_init() || is_stopped != first) continue;
      TRY_IN("pid " + std::to_string(process.pid()), finish_process(*blank, process));
      if (is_stopped) TRY_IN("pid " + std::to_string(process.pid()), stop_again(*blank, process));
    }
  }
  if (Blank* init = options_.outlives_engine ? blanks_.front().get() : nullptr; init != nullptr && init->is_init)
    TRY_DO(init->remote->call(init->leader(), SYS_prctl, PR_SET_PDEATHSIG, 0, 0, 0, 0));
  released_ = true;
  Result<void> first;
  for (const auto& blank : blanks_) {
    for (auto& thread : blank->threads) {
      if (auto r = thread.release(); !r && first) first = r;
    }
  }
  files_.clear();
  for (auto& [id, object] : shared_) {  // a System V segment counts its users
    if (object.sysv_id >= 0 && object.memory != nullptr) ::munmap(std::exchange(object.memory, nullptr), object.size);
  }
  forget_all();
  return first;
}

Result<void> Restorer::finish_process(Blank& blank, const pb::Process& process) {
  for (int i = process.threads_size(); i-- > 0;) {
    TRY_DO(finish_thread(blank, blank.threads[static_cast<size_t>(i)], process.threads(i)));
  }
  TRY_DO(drop_trampoline(blank, *space_of(process.pid())));
  for (int i = 0; i < process.threads_size(); i++)
    allow_cpus(blank.threads[static_cast<size_t>(i)].tid(), process.threads(i).schedule().affinity());
  ::ptrace(PTRACE_SETOPTIONS, blank.host_pid, nullptr, nullptr);
  return {};
}

Result<void> Restorer::stop_again(Blank& blank, const pb::Process& process) {
  ::kill(blank.host_pid, process.stop_signal() != 0 ? process.stop_signal() : SIGSTOP);
  for (auto& thread : blank.threads) TRY_DO(thread.release());
  // It stops as soon as it is let go, before any code of its own runs.
  for (int spin = 0; spin < 100'000; spin++) {
    TRY(const auto stat, proc_.stat(blank.host_pid));
    if (stat.state == 'T') break;
  }
  if (process.continued()) ::kill(blank.host_pid, SIGCONT);
  if (!process.stop_reported() && !process.continued()) return {};
  Blank* parent = find(process.ppid());
  if (parent == nullptr || parent->is_init) return {};
  std::byte* scratch = parent->remote->local_scratch();
  const uint64_t base = raw(parent->remote->scratch());
  const uint64_t child_signal = 1ull << (SIGCHLD - 1);
  const timespec none{0, 0};
  std::memcpy(scratch, &child_signal, sizeof child_signal);
  std::memcpy(scratch + 8, &none, sizeof none);
  Batch batch;
  if (process.stop_reported()) batch.add(SYS_wait4, process.pid(), 0, WUNTRACED | WNOHANG, 0);
  const auto parent_state =
      std::ranges::find_if(state_.processes(), [&](const auto& p) { return p.pid() == process.ppid(); });
  const bool had_signal = std::ranges::any_of(parent_state->pending(), [](const std::string& info) {
    return info.size() >= sizeof(int) && *reinterpret_cast<const int*>(info.data()) == SIGCHLD;
  });
  if (!had_signal) batch.add(SYS_rt_sigtimedwait, base, 0, base + 8, 8);
  return parent->remote->run(parent->leader(), batch);
}

Result<void> Restorer::discard() {
  if (released_) return {};
  released_ = true;
  for (const auto& blank : blanks_) {
    if (!blank->is_init) ::kill(blank->host_pid, SIGKILL);
  }
  for (const auto& blank : blanks_) {
    if (blank->is_init) continue;
    for (size_t i = blank->threads.size(); i-- > 0;) {
      int status = 0;
      const pid_t tid = blank->threads[i].tid();
      blank->threads[i].forget();
      while (::waitpid(tid, &status, __WALL) == tid && WIFSTOPPED(status)) {
      }
    }
  }
  blanks_.clear();  // init is let go: it reaps what is left
  if (late_) (void)late_->finish();
  for (auto& [id, object] : shared_) {
    if (object.memory != nullptr) ::munmap(object.memory, object.size);
  }
  shared_.clear();
  files_.clear();
  forget_all();
  return {};
}

pid_t Restorer::root_host_pid() const {
  for (const auto& blank : blanks_) {
    if (!blank->is_init) return blank->host_pid;
  }
  return 0;
}

pid_t Restorer::host_pid_of(pid_t pid) const {
  for (const auto& blank : blanks_) {
    if (blank->pid == pid) return blank->host_pid;
  }
  return 0;
}

Result<const Fd*> Restorer::file(FileId id) {
  const auto it = files_.find(id);
  if (it == files_.end()) return fail(Code::kCorrupt, "no open file " + std::to_string(id));
  return &it->second;
}

Result<pid_t> Restorer::host_pid(pid_t pid) {
  for (const auto& blank : blanks_) {
    if (blank->pid == pid) return blank->host_pid;
    for (size_t i = 0; i < blank->threads.size(); i++) {
      for (const auto& p : state_.processes()) {
        if (p.pid() == blank->pid && static_cast<int>(i) < p.threads_size() &&
            p.threads(static_cast<int>(i)).tid() == pid)
          return blank->threads[i].tid();
      }
    }
  }
  return fail(Code::kNotFound, "no pid " + std::to_string(pid) + " in the tree");
}

Result<pid_t> Restorer::any_host_pid() {
  if (blanks_.empty()) return fail(Code::kFailed, "no process is there yet");
  return blanks_.back()->host_pid;
}

// By the first process, which is there from the beginning to the end: a unit's init.
Result<Fd> Restorer::internet_socket(int domain, int type) {
  if (!options_.sockets_of_tree || blanks_.empty()) return RestoreContext::internet_socket(domain, type);
  Blank& maker = *blanks_.front();
  TRY(const int64_t number, maker.remote->call(maker.leader(), SYS_socket, domain, type | SOCK_CLOEXEC, 0));
  TRY(const Fd pidfd, sys::pidfd_open(maker.host_pid));
  auto fd = sys::pidfd_getfd(pidfd, static_cast<int>(number));
  TRY_DO(maker.remote->call(maker.leader(), SYS_close, number));
  return fd;
}

Result<int64_t> Restorer::remote_call(pid_t pid, long number, std::span<const uint64_t> arguments) {
  Blank* blank = find(pid);
  if (blank == nullptr) return fail(Code::kNotFound, "no pid " + std::to_string(pid) + " in the tree");
  return blank->remote->call(blank->leader(), number, arguments);
}

Result<uint64_t> Restorer::remote_scratch(pid_t pid) {
  Blank* blank = find(pid);
  if (blank == nullptr) return fail(Code::kNotFound, "no pid " + std::to_string(pid) + " in the tree");
  return raw(blank->remote->scratch());
}

Result<void> Restorer::remote_write(pid_t pid, uint64_t address, std::span<const std::byte> data) {
  TRY(const pid_t host, host_pid(pid));
  return write_memory(proc_, host, address, data);
}

Result<void> Restorer::remote_read(pid_t pid, uint64_t address, std::span<std::byte> data) {
  TRY(const pid_t host, host_pid(pid));
  return read_memory(proc_, host, address, data);
}

Result<const Fd*> Restorer::contents(uint32_t space) {
  const auto it = shared_.find(space);
  if (it == shared_.end()) return fail(Code::kCorrupt, "no contents in space " + std::to_string(space));
  return &it->second.fd;
}

Result<Fd> Restorer::inherit(int fd, const std::string& link) {
  if (!options_.inherit_stdio) return RestoreContext::inherit(fd, link);
  return sys::dup(fd);
}

Nanos Restorer::clock(clockid_t clock) {
  // What the unit will see: this host's clock and the offsets of its time namespace.
  const Nanos now = clock_now(clock);
  if (clock == CLOCK_MONOTONIC || clock == CLOCK_MONOTONIC_RAW || clock == CLOCK_MONOTONIC_COARSE)
    return now + options_.monotonic_offset;
  if (clock == CLOCK_BOOTTIME || clock == CLOCK_BOOTTIME_ALARM) return now + options_.boottime_offset;
  return now;
}

}  // namespace godwit::pod
