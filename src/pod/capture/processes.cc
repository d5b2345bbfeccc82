// What a process has as a whole: its memory, directories, limits, signal actions and timers; most of it only the process
// itself can tell, in one batch.
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <span>
#include <vector>

#include "pod/capture/capture.h"
#include "pod/capture/thread_questions.h"
#include "pod/kernel_abi.h"

namespace godwit::pod {
namespace {

constexpr int kSignals = 64;
constexpr int kRlimits = RLIM_NLIMITS;
constexpr size_t kMaxTimers = 256;

// Where the remote batch of a process puts its answers in the scratch memory.
struct ProcessAnswers {
  abi::KernelSigaction actions[kSignals];
  rlimit rlimits[kRlimits];
  itimerval itimers[3];
  uint64_t xcomp_perm;
  int child_subreaper;
  int tsc_mode;
  ThreadQuestions::Answers leader;
  itimerspec timers[kMaxTimers];  // last: only as many are read as there are
};
static_assert(sizeof(ProcessAnswers) <= kScratchSize);

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

// Signals whose action isn't the default one, and SIGCHLD: SA_NOCLDWAIT counts with the default action, too (sigaction(2)); other
// flags and masks mean nothing without a handler. A process has two or three of 64, and each question is a call in it.
std::vector<int> signals_with_actions(const ProcStatus& status) {
  std::vector<int> out;
  for (int s = 1; s <= kSignals; s++) {
    if (s == SIGCHLD || ((status.ignored | status.caught) >> (s - 1) & 1) != 0) out.push_back(s);
  }
  return out;
}

// What needs nothing but the answer itself.
void put_answers(const ProcessAnswers& answers, std::span<const int> own_actions, pb::Process& out) {
  for (const int s : own_actions) {
    const auto& a = answers.actions[s - 1];
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
    limit->set_soft(answers.rlimits[r].rlim_cur);
    limit->set_hard(answers.rlimits[r].rlim_max);
  }
  for (int t = 0; t < 3; t++) {
    const auto& value = answers.itimers[t];
    if (micros(value.it_value) == 0 && micros(value.it_interval) == 0) continue;
    auto* timer = out.add_itimers();
    timer->set_which(t);
    timer->set_value_us(micros(value.it_value));
    timer->set_interval_us(micros(value.it_interval));
  }
}

}  // namespace

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
  demand_file(cwd, wire::FileDemand::DIRECTORY, 0, "working directory of " + process.name());
  TRY(const auto& oom, look(process).oom_score_adj);
  out.set_oom_score_adj(std::atoi(oom.c_str()));
  if (inspecting()) return {};
  TRY_DO(capture_process_remotely(process, status, out, space));
  TRY_DO(capture_continued(process));
  TRY_DO(capture_thread(process, 0, *out.mutable_threads(0)));
  for (size_t i = 1; i < process.threads.size(); i++) {
    auto& thread = *out.add_threads();
    TRY_DO(capture_thread(process, i, thread));
    TRY_DO(ask_thread(process, process.threads[i], thread));
  }
  TRY(const auto pending, process.leader().pending(true));
  for (const auto& info : pending) out.add_pending(siginfo_bytes(info));
  mark_fired_timers(out);
  return {};
}

// Its first thread is asked in the same batch: a round costs more than the calls.
Result<void> Capture::capture_process_remotely(FrozenProcess& process, const ProcStatus& status, pb::Process& out,
                                               pb::AddressSpace& space) {
  TRY(Remote * remote, frozen_->remote(process));
  const uint64_t scratch = raw(remote->scratch());
  auto timers = parse_timers(look(process).timers.value_or(""));
  if (timers.size() > kMaxTimers) return fail(Code::kRefused, "more than 256 POSIX timers");
  const auto own_actions = signals_with_actions(status);
  Batch batch;
  for (const int s : own_actions) {
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
  const ThreadQuestions leader(batch, RemoteAddress{ANSWER(leader)});
  auto answers = std::make_unique_for_overwrite<ProcessAnswers>();
  const size_t used = offsetof(ProcessAnswers, timers) + timers.size() * sizeof(itimerspec);
  TRY_DO(remote->run(process.leader(), batch, std::as_writable_bytes(std::span(answers.get(), 1)).first(used)));
  leader.put(batch, answers->leader, process.leader(), *out.add_threads());
  put_answers(*answers, own_actions, out);
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
