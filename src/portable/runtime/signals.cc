// Signals: dispositions that move with the unit, and handlers that run at adaptation points.
//
// A neutral handler can't run where the kernel interrupts: the code there may be in the middle of anything, and a thread
// that has a native signal frame on its stack can't unwind. So the native handler only notes the signal, in the record of the
// thread that got it, and lets adaptation points take the slow path. __godwit_poll and __godwit_syscall then call the neutral
// handler as an ordinary function, on the thread's own stacks. It may itself be saved and re-entered: the runtime's frame,
// which is pushed after those of the handler, says that there is one.
//
// What differs from a native program: a handler waits for the next adaptation point or system call; signals of a number that
// arrive before it ran become one, real-time ones too; the ucontext that SA_SIGINFO passes is zero; SIGSEGV and the like, when the
// program's own instruction raises them, can't be put off and end it as if they had no handler; sigaltstack is accepted and
// not used.
//
// The reserved signal is 64, the last one. qemu's user mode has no 63 and 64 for its program and delivers the host's 64
// as 62, so a program finds out at its start which of them arrives, and keeps all three from the program's hands.
#include <asm/errno.h>
#include <asm/sigcontext.h>
#include <asm/siginfo.h>
#include <asm/signal.h>
#if defined(__arm__)
#include <asm-generic/ucontext.h>
#else
#include <asm/ucontext.h>
#endif

#include "portable/protocol.h"
#include "portable/runtime/runtime.h"

namespace godwit::portable {
namespace {

constexpr int kRequestSignal = GODWIT_REQUEST_SIGNAL;
constexpr int kRequestSignalInQemu = 62;
constexpr uint64_t bit(int signal) { return UINT64_C(1) << (signal - 1); }
constexpr uint64_t kReserved = bit(62) | bit(63) | bit(64);
constexpr uint64_t kFaults = bit(SIGSEGV) | bit(SIGBUS) | bit(SIGILL) | bit(SIGFPE) | bit(SIGTRAP) | bit(SIGSYS);

/// What a handler may find behind its third argument: a ucontext_t has up to 960 bytes in the neutral family.
constexpr uint64_t kContextSize = 1024;
constexpr uint64_t kHandlerRoom = sizeof(KernelInfo) + kContextSize;

struct NativeAction {
  void (*handler)(int, KernelInfo*, void*);
  unsigned long flags;
#if !defined(__riscv)
  void (*restorer)();
#endif
  unsigned long mask[8 / sizeof(long)];
};

int reserved_signal = kRequestSignal;
uint64_t initial_mask;
uint32_t probed;

void set_native(int signal, void (*handler)(int, KernelInfo*, void*), unsigned long flags) {
  NativeAction action = {};
  action.handler = handler;
  action.flags = flags;
#if defined(__x86_64__) || defined(__s390x__)
  action.flags |= 0x04000000;  // SA_RESTORER
  action.restorer = godwit_arch_sigreturn;
#endif
  for (auto& word : action.mask) word = ~0ul;
  sys(__NR_rt_sigaction, signal, &action, nullptr, 8);
}

bool own_interruption(const KernelInfo& info) { return info.code == SI_TKILL && info.pid == own_pid(); }

/// A call of this thread that the kernel hasn't begun returns instead of being begun.
void abort_wait(void* context) {
  tls_native->attention = 1;
#if defined(__x86_64__)
  auto& pc = static_cast<ucontext*>(context)->uc_mcontext.rip;
#elif defined(__aarch64__)
  auto& pc = static_cast<ucontext*>(context)->uc_mcontext.pc;
#elif defined(__s390x__)
  auto& pc = static_cast<ucontext*>(context)->uc_mcontext.regs.psw.addr;
#elif defined(__arm__)
  auto& pc = static_cast<ucontext*>(context)->uc_mcontext.arm_pc;
#else
  auto& pc = static_cast<ucontext*>(context)->uc_mcontext.sc_regs.pc;
#endif
  const auto at = [](const char* label) { return reinterpret_cast<uint64_t>(label); };
  if (pc >= at(godwit_arch_wait_begin) && pc < at(godwit_arch_wait_end)) pc = at(godwit_arch_wait_abort);
}

void on_reserved(int, KernelInfo* info, void* context) {
  probed = 1;
  abort_wait(context);
  if (!own_interruption(*info)) helper_for_request();
}

void on_signal(int signal, KernelInfo* info, void* context) {
  if (info->code > 0 && bit(signal) & kFaults) {
    set_native(signal, nullptr, 0);
    return;
  }
  keep_info(*info, header().signal_info[signal]);
  __atomic_fetch_or(&raw_of(current().signals), turned(bit(signal)), __ATOMIC_SEQ_CST);
  request_for_signal();
  abort_wait(context);
}

void install(int signal) {
  const Action& action = header().actions[signal];
  if (action.handler <= 1) {
    set_native(signal, as_pointer<void (*)(int, KernelInfo*, void*)>(action.handler), action.flags & SA_NOCLDWAIT);
  } else {
    set_native(signal, on_signal, SA_SIGINFO | (action.flags & (SA_NOCLDSTOP | SA_NOCLDWAIT)));
  }
}

/// What the kernel has delivered wasn't blocked, if only within a ppoll or sigsuspend, and its handler may run; but not inside
/// of a handler that keeps it away. A handler left by siglongjmp has set the mask back: hence the look at the mask.
uint64_t due_signals() {
  const Thread& thread = current();
  const uint64_t arrived = turned(__atomic_load_n(&raw_of(thread.signals), __ATOMIC_SEQ_CST));
  if (!(arrived & thread.handlers_block)) return arrived;
  uint64_t mask = 0;
  sys(__NR_rt_sigprocmask, SIG_BLOCK, nullptr, &mask, 8);
  return arrived & ~(thread.handlers_block & mask);
}

/// Calls a handler, for the first time or again. False: `frame` was pushed, or the thread is on its way elsewhere.
bool call_handler(OwnFrame& frame, char* info) {
  const auto signal = static_cast<int>(frame.handling);
  __godwit_sp = info + kHandlerRoom;
  using Argument = decltype(neutral<void*>(0));
  auto* handler = as_pointer<void (*)(int, Argument, Argument)>(frame.handler);
  const auto address = reinterpret_cast<uintptr_t>(info);
  handler(signal, neutral<void*>(address), neutral<void*>(address + sizeof(KernelInfo)));
  if (__godwit_state == GODWIT_SAVING) *static_cast<OwnFrame*>(__godwit_push(sizeof frame)) = frame;
  __godwit_sp = info;
  if (__godwit_state != GODWIT_RUNNING) return false;
  current().handlers_block = frame.blocked;
  swap_signal_mask(frame.mask);
  frame.handling = 0;
  return true;
}

bool begin_handler(OwnFrame& frame, int signal, bool& restart) {
  Action& action = header().actions[signal];
  __atomic_fetch_and(&raw_of(current().signals), turned(~bit(signal)), __ATOMIC_SEQ_CST);
  if (action.handler <= 1) return true;  // set back meanwhile
  char* info = __godwit_sp;
  memcpy(info, header().signal_info[signal], sizeof(KernelInfo));
  memset(info + sizeof(KernelInfo), 0, kContextSize);
  if (!(action.flags & SA_RESTART)) restart = false;
  uint64_t blocked = action.mask & ~kReserved;
  if (!(action.flags & SA_NODEFER)) blocked |= bit(signal);
  frame.handling = static_cast<uint64_t>(signal);
  frame.handler = action.handler;
  frame.blocked = current().handlers_block;
  current().handlers_block |= blocked;
  uint64_t mask = 0;
  sys(__NR_rt_sigprocmask, SIG_BLOCK, &blocked, &mask, 8);
  frame.mask = mask;
  if (action.flags & SA_RESETHAND) {
    action.handler = 0;
    install(signal);
  }
  return call_handler(frame, info);
}

}  // namespace

void begin_signals() {
  initial_mask = swap_signal_mask(~UINT64_C(0));
  constexpr int kCandidates[] = {kRequestSignal, kRequestSignalInQemu};
  for (int signal : kCandidates) set_native(signal, on_reserved, SA_SIGINFO);
  const uint64_t reserved = kReserved;
  sys(__NR_rt_sigprocmask, SIG_UNBLOCK, &reserved, nullptr, 8);
  for (int signal : kCandidates) {
    probed = 0;
    sys(__NR_tgkill, own_pid(), sys(__NR_gettid), signal);
    if (!__atomic_load_n(&probed, __ATOMIC_SEQ_CST)) continue;
    reserved_signal = signal;
    block_all_signals();
    return;
  }
  fatal("signal ", kRequestSignal, " doesn't arrive here");
}

uint64_t initial_signal_mask() { return initial_mask & ~kReserved; }

int stop_signal() { return reserved_signal; }

void restore_signals() {
  for (int signal = 1; signal <= kSignals; ++signal) {
    if (header().actions[signal].handler && !(bit(signal) & kReserved)) install(signal);
  }
}

void block_all_signals() {
  const uint64_t all = ~UINT64_C(0);
  sys(__NR_rt_sigprocmask, SIG_SETMASK, &all, nullptr, 8);
}

uint64_t swap_signal_mask(uint64_t mask) {
  uint64_t old = 0;
  sys(__NR_rt_sigprocmask, SIG_SETMASK, &mask, &old, 8);
  return old;
}

uint64_t held_signals() {
  uint64_t held = 0;
  sys(__NR_rt_sigpending, &held, 8);
  return held & ~kReserved;
}

/// The kernel shows each thread its own and the process's. What all have is taken to be the process's.
void sort_held_signals() {
  uint64_t shared = ~UINT64_C(0);
  for_each_thread([&](const Thread& thread, const Native&) { shared &= thread.pending; });
  for_each_thread([&](Thread& thread, const Native&) { thread.pending &= ~shared; });
  header().pending = shared;
}

void raise_held_signals(uint64_t signals, bool for_process) {
  const uint32_t pid = own_pid();
  for (int signal = 1; signal <= kSignals; ++signal) {
    if (!(signals & bit(signal))) continue;
    if (for_process) {
      sys(__NR_kill, pid, signal);
    } else {
      sys(__NR_tgkill, pid, sys(__NR_gettid), signal);
    }
  }
}

bool signal_due() { return due_signals() != 0; }

bool run_handlers(OwnFrame& frame, bool& restart) {
  if (frame.handling) {
    if (!call_handler(frame, __godwit_sp)) return false;
    restart = false;  // which is what a program must always be ready for
  }
  while (const uint64_t due = due_signals()) {
    if (!begin_handler(frame, __builtin_ctzll(due) + 1, restart)) return false;
  }
  if (__builtin_expect(read_shared(__godwit_request) != 0, 0)) refresh_request();
  return true;
}

// ---- System calls ----

int64_t call_sigaction(Call& call) {
  const auto signal = static_cast<int>(call.a[0]);
  const auto* wanted = reinterpret_cast<const Action*>(call.a[1]);
  auto* old = reinterpret_cast<Action*>(call.a[2]);
  if (call.a[3] != 8 || signal < 1 || signal > kSignals) return -EINVAL;
  if (wanted && (signal == SIGKILL || signal == SIGSTOP || bit(signal) & kReserved)) return -EINVAL;
  Held held(threads_lock());
  Action& action = header().actions[signal];
  const Action before = action;
  if (wanted) {
    action = *wanted;
    install(signal);
  }
  if (old) *old = before;
  return 0;
}

int64_t call_sigprocmask(Call& call) {
  const auto* set = reinterpret_cast<const uint64_t*>(call.a[1]);
  uint64_t wanted = 0;
  if (set) wanted = *set & ~kReserved;
  return sys(__NR_rt_sigprocmask, call.a[0], set ? &wanted : nullptr, call.a[2], call.a[3]);
}

int64_t call_sigsuspend(Call& call) {
  const uint64_t mask = *reinterpret_cast<const uint64_t*>(call.a[0]) & ~kReserved;
  return wait(call, reinterpret_cast<long>(&mask), 8, 0, 0, 0, 0);
}

int64_t call_sigtimedwait(Call& call) {
  const uint64_t set = *reinterpret_cast<const uint64_t*>(call.a[0]) & ~kReserved;
  const auto* limit = reinterpret_cast<const Timespec*>(call.a[2]);
  return wait_at_most(call, limit ? limit->seconds * kSecond + limit->nanoseconds : -1,
                      [&](Timespec* left) { return sys_wait(__NR_rt_sigtimedwait, &set, call.a[1], left, 8); });
}

/// Handlers run on the thread's own stack in the arena, which a native overflow doesn't touch.
int64_t call_sigaltstack(Call& call) {
  struct Stack {
    uint64_t address;
    int flags;
    uint64_t size;
  };
  if (auto* old = reinterpret_cast<Stack*>(call.a[1])) *old = {0, 2 /* SS_DISABLE */, 0};
  return 0;
}

}  // namespace godwit::portable
