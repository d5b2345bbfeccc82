// The tree, and what a process has as a whole.
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <ctime>
#include <optional>
#include <set>

#include "base/clock.h"
#include "base/io.h"
#include "base/sys.h"
#include "pod/capture/capture.h"
#include "pod/kernel_abi.h"
#include "pod/kinds/tty.h"
#include "pod/vdso.h"

namespace godwit::pod {
namespace {

constexpr int kSignals = 64;
constexpr int kRlimits = RLIM_NLIMITS;

// Where the remote batch of a process puts its answers in the scratch memory.
struct ProcessAnswers {
  abi::KernelSigaction actions[kSignals];
  rlimit rlimits[kRlimits];
  itimerval itimers[3];
  uint64_t xcomp_perm;
  int child_subreaper;
  int tsc_mode;
  itimerspec timers[256];
  int64_t unused;
};
static_assert(sizeof(ProcessAnswers) <= kScratchSize);
constexpr size_t kMaxTimers = 256;

#define ANSWER(field) (scratch + offsetof(ProcessAnswers, field))

std::string siginfo_bytes(const siginfo_t& info) { return {reinterpret_cast<const char*>(&info), sizeof info}; }

// One timer of /proc/PID/timers (proc_pid_timers(5)).
struct ListedTimer {
  int id = 0, signal = 0, notify = 0, clock = 0, tid = 0;
  uint64_t value = 0;
};

std::vector<ListedTimer> parse_timers(std::string_view text) {
  std::vector<ListedTimer> list;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string line(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    int id = 0, signal = 0, clock = 0;
    unsigned long value = 0;
    if (std::sscanf(line.c_str(), "ID: %d", &id) == 1) {
      list.push_back({.id = id});
    } else if (list.empty()) {
      continue;
    } else if (std::sscanf(line.c_str(), "signal: %d/%lx", &signal, &value) == 2) {
      list.back().signal = signal;
      list.back().value = value;
    } else if (line.starts_with("notify:")) {
      list.back().notify = line.find("none") != std::string::npos ? SIGEV_NONE : SIGEV_SIGNAL;
      if (const size_t at = line.find("tid."); at != std::string::npos) {
        list.back().notify |= SIGEV_THREAD_ID;
        list.back().tid = std::atoi(line.c_str() + at + 4);
      }
    } else if (std::sscanf(line.c_str(), "ClockID: %d", &clock) == 1) {
      list.back().clock = clock;
    }
  }
  return list;
}

int64_t nanos(const timespec& t) { return t.tv_sec * 1'000'000'000 + t.tv_nsec; }
int64_t micros(const timeval& t) { return t.tv_sec * 1'000'000 + t.tv_usec; }

// A pending SI_TIMER signal is the timer's own and can't be queued by hand.
void mark_fired_timers(pb::Process& process) {
  auto mark = [&](const std::string& bytes) {
    siginfo_t info;
    std::memcpy(&info, bytes.data(), sizeof info);
    if (info.si_code != SI_TIMER) return;
    for (auto& timer : *process.mutable_timers()) {
      if (timer.id() == info.si_timerid) timer.set_fired(true);
    }
  };
  for (const auto& bytes : process.pending()) mark(bytes);
  for (const auto& thread : process.threads()) {
    for (const auto& bytes : thread.pending()) mark(bytes);
  }
}

}  // namespace

// Two processes with one memory. A process that is exiting has none any more, and kcmp would call any two of those equal;
// a vfork(2) child has its parent's until it execs, which the freeze waits for (the parent can't be stopped before).
bool Capture::is_memory_shared(const FrozenProcess& a, const FrozenProcess& b) const {
  if (!memories_.same(a.host_pid, b.host_pid)) return false;
  const auto size = proc_.read(a.host_pid, "statm");
  if (!size || size->starts_with("0 ")) return false;
  if (!inspecting()) return true;
  for (const auto& p : {a.host_pid, b.host_pid}) {
    const auto stat = proc_.stat(p);
    if (!stat || stat->state == 'D' || stat->state == 'Z' || stat->state == 'X') return false;
  }
  return true;
}

namespace {

// The offsets of the time namespace a process is in (time_namespaces(7)).
Result<std::pair<int64_t, int64_t>> time_offsets(const ProcFs& proc, pid_t pid) {
  int64_t monotonic = 0, boottime = 0;
  auto text = proc.read(pid, "timens_offsets");
  if (!text) return std::pair{monotonic, boottime};  // a kernel without time namespaces
  long seconds = 0, nanoseconds = 0;
  if (const size_t at = text->find("monotonic");
      at != std::string::npos && std::sscanf(text->c_str() + at, "monotonic %ld %ld", &seconds, &nanoseconds) == 2) {
    monotonic = seconds * 1'000'000'000 + nanoseconds;
  }
  if (const size_t at = text->find("boottime");
      at != std::string::npos && std::sscanf(text->c_str() + at, "boottime %ld %ld", &seconds, &nanoseconds) == 2) {
    boottime = seconds * 1'000'000'000 + nanoseconds;
  }
  return std::pair{monotonic, boottime};
}

}  // namespace

Result<pb::HostFacts> host_facts(const ProcFs& proc, pid_t host_pid) {
  pb::HostFacts facts;
  utsname uts;
  ::uname(&uts);
  facts.set_kernel_release(uts.release);
  TRY(auto boot, io::read_file_at(proc.dir(), "sys/kernel/random/boot_id"));
  while (boot.ends_with('\n')) boot.pop_back();
  facts.set_boot_id(boot);
  TRY(const auto target, time_offsets(proc, host_pid));
  TRY(const auto own, time_offsets(proc, ::getpid()));
  facts.set_monotonic_ns(clock_now(CLOCK_MONOTONIC).count() + target.first - own.first);
  facts.set_boottime_ns(clock_now(CLOCK_BOOTTIME).count() + target.second - own.second);
  facts.set_monotonic_offset_ns(target.first);
  facts.set_boottime_offset_ns(target.second);
  facts.set_realtime_ns(clock_now(CLOCK_REALTIME).count());
  facts.set_vdso_digest(own_vdso_digest());
  facts.set_vdso_image(own_vdso().data(), own_vdso().size());
  return facts;
}

Result<std::vector<FrozenProcess>> look_at_tree(const ProcFs& proc, pid_t root) {
  const auto ended = [&] { return fail(Code::kGone, "process " + std::to_string(root) + " has ended, or never was"); };
  if (proc.has_ended(root)) return ended();
  std::vector<FrozenProcess> list;
  std::vector<pid_t> todo = {root};
  while (!todo.empty()) {
    const pid_t pid = todo.back();
    todo.pop_back();
    // Seen before it got another parent.
    if (std::ranges::find(list, pid, &FrozenProcess::host_pid) != list.end()) continue;
    auto stat = proc.stat(pid);
    auto status = proc.status(pid);
    if (!stat || !status) {
      const Error error = !stat ? stat.error() : status.error();
      if (error.code != Code::kGone) return std::unexpected(error);
      if (pid == root) return ended();
      continue;
    }
    FrozenProcess p;
    p.host_pid = pid;
    p.pid = status->ns_pid.back();
    p.host_parent = stat->ppid;
    p.comm = stat->comm;
    p.zombie = stat->state == 'Z' || stat->exiting;
    list.push_back(std::move(p));
    if (auto children = proc.children(pid)) todo.insert(todo.end(), children->begin(), children->end());
  }
  return list;
}

pb::Process* Capture::captured(pid_t pid) {
  auto& list = *state_.mutable_processes();
  const auto it = std::ranges::find(list, pid, &pb::Process::pid);
  return it == list.end() ? nullptr : &*it;
}

Result<void> Capture::run() {
  TRY_DO(check_caller());
  TRY_DO(capture_tree());
  TRY_DO(capture_descriptors());
  for (auto& process : processes_) {
    if (process.host_pid == options_.init_host_pid) continue;
    pb::Process* out = captured(process.pid);
    if (out == nullptr) continue;
    auto done = capture_process(process, *out);
    if (!done && !has_vanished(done.error())) return std::unexpected(done.error().in(process.name()));
  }
  for (const auto* kind : section_kinds()) {
    auto text = kind->dump(*this);
    if (!text && !has_vanished(text.error())) return std::unexpected(text.error());
    if (!text || text->empty()) continue;
    auto* section = state_.add_sections();
    section->set_kind(std::string(kind->name));
    section->set_state(std::move(*text));
  }
  TRY_DO(dump_files());
  return {};
}

Result<void> Capture::run_outline() {
  TRY_DO(capture_tree());
  for (auto& process : processes_) {
    if (process.zombie || process.host_pid == options_.init_host_pid || captured(process.pid) == nullptr) continue;
    auto done = capture_space(process, *state_.add_spaces());
    if (!done) {
      if (!has_vanished(done.error())) return std::unexpected(done.error().in(process.name()));
      state_.mutable_spaces()->RemoveLast();
    }
  }
  return {};
}

pb::Outline Capture::outline() const {
  pb::Outline outline;
  for (const auto& p : state_.processes()) {
    auto* o = outline.add_processes();
    o->set_pid(p.pid());
    o->set_ppid(p.ppid());
    o->set_sid(p.sid());
    o->set_pgid(p.pgid());
    o->set_zombie(p.state() == pb::ZOMBIE);
    o->set_exit_signal(p.exit_signal());
    o->set_shares_files_with(p.shares_files_with());
    o->set_shares_fs_with(p.shares_fs_with());
    o->set_terminal(p.terminal());
    o->set_is_init(p.is_init());
    o->set_child_subreaper(p.child_subreaper());
    for (const auto& s : state_.spaces()) {
      if (s.pid() == p.pid() && p.state() != pb::ZOMBIE && !p.is_init()) o->set_space(s.id());
    }
  }
  for (const auto& s : state_.spaces()) {
    auto* space = outline.add_spaces();
    space->set_id(s.id());
    space->set_pid(s.pid());
    *space->mutable_areas() = s.areas();
  }
  *outline.mutable_shared() = state_.shared();
  *outline.mutable_host() = state_.host();
  outline.set_own_pid_namespace(state_.own_pid_namespace());
  return outline;
}

void Capture::check_process(const FrozenProcess& process, const ProcStatus& status) {
  if (process.zombie && status.threads > 1) refuse("dead-leader", process.name(), {});
  if (inspecting() && status.tracer != 0) refuse("ptraced", process.name(), "by pid " + std::to_string(status.tracer));
}

// A tree that isn't a unit must live in the caller's namespaces.
Result<void> Capture::check_caller() {
  const FrozenProcess& root = processes_.front();
  if (options_.own_pid_namespace || root.zombie) return {};
  for (size_t i = 0; i < kNamespaces.size(); i++) {
    TRY(const auto own, proc_.link(::getpid(), "ns/" + std::string(kNamespaces[i])));
    TRY(const auto& wanted, look(root).namespaces[i]);
    if (own != wanted && kNamespaces[i] != "cgroup")
      refuse("foreign-namespace", root.name(), std::string(kNamespaces[i]) + " namespace");
  }
  return {};
}

// Everybody must live in the root's.
void Capture::check_namespaces(const FrozenProcess& process) {
  const FrozenProcess& root = processes_.front();
  if (root.zombie || process.host_pid == root.host_pid) return;
  for (size_t i = 0; i < kNamespaces.size(); i++) {
    const auto& have = look(process).namespaces[i];
    const auto& wanted = look(root).namespaces[i];
    if (have && wanted && *have != *wanted)
      refuse("nested-namespace", process.name(), std::string(kNamespaces[i]) + " namespace");
  }
}

// Terminals must be known before processes are made: only a fork hands a controlling terminal on.
void Capture::capture_terminals() {
  std::optional<std::set<uint32_t>> held;
  for (auto& out : *state_.mutable_processes()) {
    if (out.sid() != out.pid() || out.is_init() || out.state() == pb::ZOMBIE) continue;
    const auto host = host_pid(out.pid());
    const auto stat = host ? stat_of(*process_of(*host)) : Result<ProcStat>(std::unexpected(host.error()));
    const auto index = stat ? pty_index(stat->terminal) : std::nullopt;
    if (!index) continue;
    if (!held) held = held_terminals(proc_.dir(), processes());
    if (held->contains(*index)) out.set_terminal(*index + 1);
  }
}

void Capture::find_shared(const FrozenProcess& process, pb::Process& out) {
  // Processes that are on their way out have no memory and no table, and in that they are all the same.
  const auto ending = [&] {
    if (!inspecting()) return false;
    const auto now = proc_.stat(process.host_pid);
    return !now || now->exiting || now->state == 'Z';
  };
  bool with_sibling = false;
  for (const auto& other : processes_) {
    if (other.host_pid == process.host_pid || other.zombie) continue;
    // Shared by clone(2) alone, so nearly always with the parent.
    const bool parent = other.host_pid == process.host_parent;
    if (!parent && other.host_parent != process.host_parent) continue;
    if (is_memory_shared(process, other) && !ending())
      refuse("shared-memory-map", process.name(), "with " + other.name());
    if (tables_.same(process.host_pid, other.host_pid)) {
      if (parent)
        out.set_shares_files_with(other.pid);
      else if (other.pid < process.pid)
        with_sibling = true;
    }
    if (parent && directories_.same(process.host_pid, other.host_pid)) out.set_shares_fs_with(other.pid);
  }
  if (with_sibling && out.shares_files_with() == 0 && !ending()) refuse("shared-descriptor-table", process.name(), {});
}

Result<void> Capture::capture_tree() {
  state_.set_version(1);
  state_.set_own_pid_namespace(options_.own_pid_namespace);
  if (options_.known_spaces != nullptr) {
    for (const auto& [pid, id] : *options_.known_spaces) next_space_ = std::max(next_space_, id + 1);
  }
  if (options_.known_shared != nullptr) {
    next_space_ = std::max(next_space_, options_.known_shared->next);
    for (const auto& [key, id] : options_.known_shared->ids) next_space_ = std::max(next_space_, id + 1);
  }
  // The clocks: of a process of the tree that isn't its init (init may have been made before the time namespace counted).
  TRY(*state_.mutable_host(), host_facts(proc_, processes_.back().host_pid));
  for (const auto& process : processes_) {
    if (process.zombie) continue;
    for (auto* groups : {&memories_, &tables_, &directories_}) groups->add(process.host_pid);
  }
  for (auto& process : processes_) {
    auto status = status_of(process);
    auto stat = stat_of(process);
    if (!status || !stat) {
      if (inspecting()) continue;
      return std::unexpected(!status ? status.error() : stat.error());
    }
    auto& out = *state_.add_processes();
    out.set_pid(process.pid);
    if (const auto* parent = process_of(process.host_parent)) out.set_ppid(parent->pid);
    out.set_pgid(status->ns_pgid.back());
    out.set_sid(status->ns_sid.back());
    out.set_exit_signal(stat->exit_signal);
    out.set_is_init(process.host_pid == options_.init_host_pid);
    if (process.zombie) {
      out.set_state(pb::ZOMBIE);
      out.set_exit_status(stat->exit_code);
      out.set_comm(process.comm);
    } else if (!process.threads.empty() && process.leader().group_stop_signal() != 0) {
      out.set_state(pb::STOPPED);
      out.set_stop_signal(process.leader().group_stop_signal());
      // fs/proc/array.c shows the group's exit code while it is stopped; waitid(2) takes it away when it reports the stop.
      out.set_stop_reported(stat->exit_code == 0);
    }
    check_process(process, *status);
    if (!process.zombie && !out.is_init()) find_shared(process, out);
  }
  // Parents before children, the root first: what the restore relies on.
  std::vector<pb::Process> sorted;
  std::vector<pid_t> done;
  auto& list = *state_.mutable_processes();
  while (!list.empty()) {
    const auto ready = std::ranges::find_if(
        list, [&](const pb::Process& p) { return p.ppid() == 0 || std::ranges::find(done, p.ppid()) != done.end(); });
    if (ready == list.end()) {
      if (inspecting()) break;  // a parent ended between two looks: the next look finds the children elsewhere
      return fail(Code::kFailed, "the process tree changed while it was read");
    }
    done.push_back(ready->pid());
    sorted.push_back(std::move(*ready));
    list.erase(ready);
  }
  list.Clear();
  for (auto& p : sorted) *list.Add() = std::move(p);
  capture_terminals();
  return {};
}

Result<void> Capture::capture_process(FrozenProcess& process, pb::Process& out) {
  if (process.zombie) return {};
  check_namespaces(process);
  auto& space = *state_.add_spaces();
  TRY_DO(capture_space(process, space));
  out.set_space(space.id());
  TRY(const auto status, status_of(process));
  out.set_umask(status.umask);
  space.set_thp_disable(!status.thp_enabled);
  out.set_thp_disable(!status.thp_enabled);
  TRY(const auto& cwd, look(process).cwd);
  out.set_cwd(cwd);
  TRY(const auto& root, look(process).root);
  out.set_root(root);
  demand_file(cwd, pb::FileDemand::DIRECTORY, 0, "working directory of " + process.name());
  TRY(const auto& oom, look(process).oom_score_adj);
  out.set_oom_score_adj(std::atoi(oom.c_str()));
  if (inspecting()) return {};
  TRY_DO(capture_process_remotely(process, out, space));
  TRY_DO(capture_continued(process));
  for (size_t i = 0; i < process.threads.size(); i++) TRY_DO(capture_thread(process, i, out));
  TRY(const auto pending, process.leader().pending(true));
  for (const auto& info : pending) out.add_pending(siginfo_bytes(info));
  mark_fired_timers(out);
  return {};
}

Result<void> Capture::capture_process_remotely(FrozenProcess& process, pb::Process& out, pb::AddressSpace& space) {
  TRY(Remote * remote, frozen_->remote(process));
  const uint64_t scratch = raw(remote->scratch());
  auto timers = parse_timers(look(process).timers.value_or(""));
  if (timers.size() > kMaxTimers) return fail(Code::kRefused, "more than 256 POSIX timers");
  Batch batch;
  for (int s = 1; s <= kSignals; s++) {
    batch.add(SYS_rt_sigaction, s, 0, ANSWER(actions) + (s - 1) * sizeof(abi::KernelSigaction), 8);
  }
  for (int r = 0; r < kRlimits; r++) batch.add(SYS_prlimit64, 0, r, 0, ANSWER(rlimits) + r * sizeof(rlimit));
  for (int t = 0; t < 3; t++) batch.add(SYS_getitimer, t, ANSWER(itimers) + t * sizeof(itimerval));
  const auto brk = batch.add(SYS_brk, 0);
  const auto dumpable = batch.add(SYS_prctl, PR_GET_DUMPABLE, 0, 0, 0, 0);
  batch.add(SYS_prctl, PR_GET_CHILD_SUBREAPER, ANSWER(child_subreaper), 0, 0, 0);
  batch.add(SYS_prctl, PR_GET_TSC, ANSWER(tsc_mode), 0, 0, 0);
  const auto mdwe = batch.add(SYS_prctl, abi::kPrGetMdwe, 0, 0, 0, 0);
  const auto perm = batch.add(SYS_arch_prctl, abi::kArchGetXcompPerm, ANSWER(xcomp_perm));
  const auto personality = batch.add(SYS_personality, 0xffff'ffffu);  // asks only
  std::vector<size_t> close_on_exec;
  for (const auto& d : out.descriptors()) close_on_exec.push_back(batch.add(SYS_fcntl, d.fd(), F_GETFD));
  std::vector<size_t> overruns;
  for (size_t i = 0; i < timers.size(); i++) {
    batch.add(SYS_timer_gettime, timers[i].id, ANSWER(timers) + i * sizeof(itimerspec));
    overruns.push_back(batch.add(SYS_timer_getoverrun, timers[i].id));
  }
  TRY_DO(remote->run(process.leader(), batch));
  auto answers = std::make_unique<ProcessAnswers>();
  TRY_DO(remote->read_scratch(0, std::as_writable_bytes(std::span(answers.get(), 1))));
  for (int s = 1; s <= kSignals; s++) {
    const auto& a = answers->actions[s - 1];
    if (a.handler == 0 && a.flags == 0 && a.mask == 0) continue;
    auto* action = out.add_actions();
    action->set_signal(s);
    action->set_handler(a.handler);
    action->set_flags(a.flags);
    action->set_restorer(a.restorer);
    action->set_mask(a.mask);
  }
  for (int r = 0; r < kRlimits; r++) {
    auto* limit = out.add_rlimits();
    limit->set_resource(static_cast<uint32_t>(r));
    limit->set_soft(answers->rlimits[r].rlim_cur);
    limit->set_hard(answers->rlimits[r].rlim_max);
  }
  for (int t = 0; t < 3; t++) {
    const auto& value = answers->itimers[t];
    if (micros(value.it_value) == 0 && micros(value.it_interval) == 0) continue;
    auto* timer = out.add_itimers();
    timer->set_which(t);
    timer->set_value_us(micros(value.it_value));
    timer->set_interval_us(micros(value.it_interval));
  }
  for (size_t i = 0; i < timers.size(); i++) {
    auto* timer = out.add_timers();
    timer->set_id(timers[i].id);
    timer->set_clock(timers[i].clock);
    timer->set_notify(timers[i].notify);
    timer->set_signal(timers[i].signal);
    timer->set_value(timers[i].value);
    if ((timers[i].notify & SIGEV_THREAD_ID) != 0) {
      if (auto tid = pid_in_tree(timers[i].tid)) timer->set_tid(*tid);
    }
    timer->set_value_ns(nanos(answers->timers[i].it_value));
    timer->set_interval_ns(nanos(answers->timers[i].it_interval));
    timer->set_overrun(static_cast<int>(std::max<int64_t>(0, batch.result(overruns[i]))));
  }
  space.mutable_fields()->set_brk(static_cast<uint64_t>(batch.result(brk)));
  out.set_dumpable(static_cast<uint32_t>(std::max<int64_t>(0, batch.result(dumpable))));
  out.set_child_subreaper(answers->child_subreaper != 0);
  out.set_tsc_mode(answers->tsc_mode);
  if (batch.result(mdwe) > 0) out.set_mdwe(static_cast<uint32_t>(batch.result(mdwe)));
  if (batch.result(perm) == 0) out.set_xcomp_perm(answers->xcomp_perm);
  out.set_personality(static_cast<uint32_t>(batch.result(personality)));
  for (int i = 0; i < out.descriptors_size(); i++) {
    const int64_t flags = batch.result(close_on_exec[static_cast<size_t>(i)]);
    out.mutable_descriptors(i)->set_close_on_exec(flags > 0 && (flags & FD_CLOEXEC) != 0);
  }
  return {};
}

}  // namespace godwit::pod
