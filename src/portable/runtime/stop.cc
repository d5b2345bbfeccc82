// How all threads come to rest, and go on.
//
//     running ──ask_to_stop()──▶ stopping ──every thread in rest()──▶ still ──release_threads()──▶ running
//                                    └───────limit passed: named, release_threads()─────────────────┘
//
// The waiter is a native thread that isn't one of the unit's (request.cc), so that all threads of the unit are alike. A
// thread notices `stopping` at an adaptation point or at its next system call; each of its functions pushes a frame and
// returns, until run() in threads.cc finds itself with the state kSaving and calls rest(). After the release each thread
// is re-entered from the top, here as on another machine: leaving a unit running is a restore without the image.
//
// A thread that waits in the kernel is interrupted by the reserved signal, whose handler is installed without SA_RESTART. A
// signal that arrives after the last look at `stopping` but before the kernel is entered would be lost, so calls that wait
// are made by godwit_arch_wait, a window of a few instructions: a look at the thread's `attention`, which every handler sets,
// then the call. A handler that interrupts within the window leads the thread out of it, as if the call had returned -EINTR
// (musl does the same for cancellation). Besides, the waiter sends its signal again, every few milliseconds, to whoever
// hasn't arrived: for a thread that was anywhere else the handler ran without effect, and may be waiting by now.
//
// A thread that was on its way into rest() when the others were released finds `stopping` false there, and turns back.
#include <asm/errno.h>
#include <asm/unistd.h>
#include <linux/futex.h>

#include "portable/runtime/runtime.h"

namespace godwit::portable {

uint32_t stopping;

namespace {

constexpr int64_t kSendAgain = 5000000;

uint32_t generation;  ///< counts releases
uint32_t arrivals;  ///< counts whatever the waiter should look at

constexpr uint64_t kOwnFrameSize = sizeof(OwnFrame);
static_assert(kOwnFrameSize % 16 == 0);

}  // namespace

void Lock::take() {
  uint32_t free = 0;
  if (__atomic_compare_exchange_n(&word_, &free, 1, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)) return;
  while (__atomic_exchange_n(&word_, 2, __ATOMIC_ACQUIRE) != 0) futex_wait(word_, 2);
}

void Lock::give() {
  if (__atomic_exchange_n(&word_, 0, __ATOMIC_RELEASE) == 2) futex_wake(word_, 1);
}

void futex_wait(const uint32_t& word, uint32_t value, int64_t nanoseconds) {
  Timespec timeout = {nanoseconds / kSecond, nanoseconds % kSecond};
  sys(__NR_futex, &word, FUTEX_WAIT_PRIVATE, value, nanoseconds < 0 ? nullptr : &timeout, nullptr, 0);
}

void futex_wake(const uint32_t& word, uint32_t how_many) {
  sys(__NR_futex, &word, FUTEX_WAKE_PRIVATE, how_many, nullptr, nullptr, 0);
}

void begin_saving(const OwnFrame& frame) {
  current().sp = reinterpret_cast<uint64_t>(__godwit_sp);
  *static_cast<OwnFrame*>(__godwit_push(kOwnFrameSize)) = frame;
  __godwit_state = GODWIT_SAVING;
}

OwnFrame pop_own_frame(uint64_t kind) {
  const OwnFrame frame = *static_cast<OwnFrame*>(__godwit_pop());
  if (frame.kind != kind) fatal("the frames of thread ", current().number, " don't lead to where it was");
  if (frame.handling) return frame;
  __godwit_state = GODWIT_RUNNING;
  __atomic_fetch_sub(&__godwit_request, GODWIT_REQUEST_RESTORING, __ATOMIC_SEQ_CST);
  release_frames();
  return frame;
}

void begin_restoring() {
  __atomic_fetch_add(&__godwit_request, GODWIT_REQUEST_RESTORING, __ATOMIC_SEQ_CST);
  __godwit_state = GODWIT_RESTORING;
}

void refresh_request() {
  // First: what a handler notes after this isn't overwritten.
  __atomic_fetch_and(&__godwit_request, ~GODWIT_REQUEST_ASKED, __ATOMIC_SEQ_CST);
  bool due = read_shared(stopping) || counting();
  for_each_thread([&](const Thread& thread, const Native&) { due = due || thread.signals; });
  if (due) request_for_signal();
}

void request_for_signal() { __atomic_fetch_or(&__godwit_request, GODWIT_REQUEST_ASKED, __ATOMIC_SEQ_CST); }

void ask_to_stop() {
  write_shared(stopping, 1);
  refresh_request();
}

void tell_waiter() {
  __atomic_fetch_add(&arrivals, 1, __ATOMIC_SEQ_CST);
  futex_wake(arrivals, 1);
}

bool wait_for_rest(int64_t limit_ns, Line& why) {
  const uint32_t pid = own_pid();
  const int64_t begun = native_clock(1);
  for (;;) {
    const uint32_t seen = read_shared(arrivals);
    uint32_t missing = 0;
    const bool late = native_clock(1) - begun > limit_ns;
    {
      Held held(threads_lock());
      for_each_thread([&](const Thread& thread, const Native& native) {
        if (native.arrived) return;
        if (late) why << (missing ? ", " : "thread ") << thread.number;
        ++missing;
        if (!late) sys(__NR_tgkill, pid, native.tid, stop_signal());
      });
    }
    if (!missing) return true;
    if (late) {
      why << (missing == 1 ? " hasn't" : " haven't") << " reached an adaptation point in " << limit_ns / kSecond
          << " s";
      return false;
    }
    futex_wait(arrivals, seen, kSendAgain);
  }
}

void release_threads() {
  {
    Held held(threads_lock());
    write_shared(stopping, 0);
    for_each_thread([](Thread&, Native& native) { native.arrived = 0; });
    __atomic_fetch_add(&generation, 1, __ATOMIC_SEQ_CST);
  }
  refresh_request();
  futex_wake(generation, INT32_MAX);
}

void rest() {
  Native& native = *tls_native;
  Thread& thread = *native.record;
  thread.tp = reinterpret_cast<uint64_t>(__godwit_tp);
  thread.pending = held_signals();
  thread.signal_mask = swap_signal_mask(~UINT64_C(0));
  thread.saved_cpu = thread.cpu_offset + native_clock(3 /* CLOCK_THREAD_CPUTIME_ID */);
  uint32_t seen = 0;
  {
    Held held(threads_lock());
    seen = generation;
    native.arrived = read_shared(stopping);
  }
  if (native.arrived) {
    tell_waiter();
    while (read_shared(generation) == seen) futex_wait(generation, seen);
  }
  swap_signal_mask(thread.signal_mask);
  __godwit_sp = as_pointer<char*>(thread.stack);
  __godwit_tp = as_pointer<char*>(thread.tp);
  begin_restoring();
}

}  // namespace godwit::portable

extern "C" void __godwit_poll(void) {
  using namespace godwit::portable;
  OwnFrame frame = {.kind = kPollFrame};
  if (__godwit_state == GODWIT_RESTORING) {
    frame = pop_own_frame(kPollFrame);
    if (!frame.handling) return;
  } else if (__godwit_state != GODWIT_RUNNING) {
    return;  // thrown or jumping: the next one
  }
  bool restart = true;
  if (!run_handlers(frame, restart)) return;
  test_count_point();
  if (read_shared(stopping)) begin_saving(frame);
}
