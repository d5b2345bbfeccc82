// Threads: the unit's table of them in the arena, and the native thread behind each row.
//
// A row of the arena's table is all that a thread is while it moves: what it runs, where its stack, its thread pointer and
// its frames lie. Native row i, with the kernel's number and the native stack, belongs to row i and is made anew elsewhere.
//
// Ending. The kernel clears Native::tid when a thread has really gone (CLONE_CHILD_CLEARTID); only then is its native stack
// used again, for a later thread, because a thread can't unmap what it stands on. What the program waits for, its own ctid
// word, is cleared and woken here, before the thread stops being counted: who saves finds it either still running, or with
// that word done. (Of musl's threads it is the lock of their list, which the ending one holds: what is restored with it taken
// hangs.) From then on nothing of the thread's neutral memory is touched. The process's first native thread never exits alone,
// it parks: without it /proc/self shows nothing any more.
#include <asm/errno.h>
#include <asm/signal.h>
#include <linux/futex.h>
#include <linux/sched.h>

#include "portable/runtime/runtime.h"

namespace godwit::portable {

__thread Native* tls_native;

namespace {

constexpr uint64_t kNativeStack = kNarrow ? UINT64_C(2) << 20 : UINT64_C(8) << 20;

Lock lock;
Native rows[kMaxThreads];
uint32_t rows_used = 1;
Native parked;  // what the first native thread is when it runs none of the unit's
uint32_t first_tid;

[[noreturn]] void park() {
  for (;;) futex_wait(first_tid, first_tid);
}

/// Runs a thread of the unit until it ends, through as many saves as there are.
[[noreturn]] void run(Native& native) {
  Thread& thread = *native.record;
  const Header& head = header();
  for (;;) {
    int status = 0;
    if (thread.function) {
      __godwit_thread(neutral<int (*)(void*)>(thread.function), neutral<void*>(thread.argument));
    } else {
      status = __godwit_main(static_cast<int>(head.argc), neutral<char**>(head.argv), neutral<char**>(head.envp));
    }
    if (__godwit_state == GODWIT_SAVING) {
      rest();
      continue;
    }
    if (__godwit_state != GODWIT_RUNNING) fatal("thread ", thread.number, " ended in state ", __godwit_state);
    Call call = {.number = thread.function ? 93 : 94, .a = {status}};
    call_exit(call);
  }
}

void enter(void* argument) {
  Native& native = *static_cast<Native*>(argument);
  tls_native = &native;
  Thread& thread = *native.record;
  __godwit_sp = as_pointer<char*>(thread.stack);
  __godwit_tp = as_pointer<char*>(thread.tp);
  if (thread.shadow) {
    begin_restoring();
    raise_held_signals(thread.pending, false);
  }
  swap_signal_mask(thread.signal_mask);
  run(native);
}

/// Starts the native thread of a row whose record is filled in. Called with all signals blocked: a handler finds its thread by
/// tls_native, which the thread itself sets first.
long spawn(Native& native) {
  make_room_for_own_descriptors();
  if (!native.stack) native.stack = map_native_stack(kNativeStack);
  if (!native.stack) return -EAGAIN;
  native.arrived = 0;
  const NativeTop top = prepare_native_stack(native.stack, kNativeStack);
  constexpr unsigned long flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM |
                                  CLONE_SETTLS | CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID;
  return godwit_arch_clone(flags, top.stack, &native.tid, top.tls, &native.tid, enter, &native);
}

Native* free_row() {
  for (uint32_t i = 0; i < kMaxThreads; ++i) {
    if (header().threads[i].number || read_shared(rows[i].tid)) continue;
    if (i >= rows_used) rows_used = i + 1;
    rows[i].record = &header().threads[i];
    return &rows[i];
  }
  return nullptr;
}

bool last_one() {
  uint32_t living = 0;
  for_each_thread([&](Thread&, Native&) { ++living; });
  return living == 0;
}

}  // namespace

Lock& threads_lock() { return lock; }
uint32_t own_pid() { return static_cast<uint32_t>(sys(__NR_getpid)); }
uint32_t native_rows() { return rows_used; }
Native& native_row(uint32_t index) { return rows[index]; }

uint32_t kernel_tid(long number) {
  Held held(lock);
  uint32_t tid = 0;
  for_each_thread([&](const Thread& thread, const Native& native) {
    if (number > 0 && thread.number == static_cast<uint32_t>(number)) tid = native.tid;
  });
  return tid;
}

void begin_first_thread() {
  first_tid = static_cast<uint32_t>(sys(__NR_gettid));
  tls_native = &parked;
}

void run_first_thread() {
  Native* row = nullptr;
  {
    Held held(lock);  // others run already, and make new ones
    for (uint32_t i = 0; i < rows_used; ++i) {
      Thread& thread = header().threads[i];
      if (!thread.number || thread.ended || thread.function) continue;
      row = &rows[i];
      row->tid = first_tid;
      row->record = &thread;
    }
  }
  if (row) enter(row);
  park();
}

/// The lock is held until all are there. The first of them runs at once, and a thread that it made would get a row in which the loop
/// would find it, and start it again. Whoever sends one a signal, or asks all to stop, waits until it has a number of the kernel's.
void begin_restored_threads() {
  Held held(lock);
  Header& head = header();
  for (uint32_t i = 0; i < kMaxThreads; ++i) {
    if (head.threads[i].number) rows_used = i + 1;
  }
  for (uint32_t i = 0; i < rows_used; ++i) {
    const Thread& thread = head.threads[i];
    if (!thread.number || thread.ended) continue;
    rows[i].record = &head.threads[i];
    if (!thread.function) {
      rows[i].tid = first_tid;  // which runs it soon, run_first_thread()
    } else if (failed(spawn(rows[i]))) {
      fatal("can't start thread ", thread.number);
    }
  }
}

int64_t call_gettid(Call&) { return current().number; }

int64_t call_set_tid_address(Call& call) {
  current().ctid = static_cast<uint64_t>(call.a[0]);
  return current().number;
}

/// exit (93) of one thread, exit_group (94) of all.
int64_t call_exit(Call& call) {
  Native& native = *tls_native;
  Thread& thread = *native.record;
  if (call.number == 94) {
    for (;;) sys(__NR_exit_group, call.a[0]);
  }
  block_all_signals();
  const bool parks = native.tid == first_tid;
  const auto ctid = as_pointer<uint32_t*>(thread.ctid);
  {
    Held held(lock);
    if (ctid) {
      write_shared(*ctid, 0);
      sys(__NR_futex, ctid, FUTEX_WAKE, 1, nullptr, nullptr, 0);  // not _PRIVATE: as the kernel does it
    }
    if (thread.function) {
      thread.number = 0;
    } else {
      thread.ended = 1;
    }
    if (last_one()) sys(__NR_exit_group, call.a[0]);
  }
  tell_waiter();
  if (parks) park();
  for (;;) sys(__NR_exit, 0);
}

/// Only fork (musl's is clone(SIGCHLD, 0)). The child is a unit of its own, of one thread.
int64_t call_clone(Call& call) {
  if (call.a[0] != SIGCHLD || call.a[1]) return -EINVAL;
  Lock* const locks[] = {&lock, &arena_lock(), &sockets_lock()};
  for (Lock* each : locks) each->take();
#if defined(__x86_64__)
  const long pid = sys(__NR_clone, SIGCHLD, nullptr, nullptr, nullptr, nullptr);
#elif defined(__s390x__)
  const long pid = sys(__NR_clone, nullptr, SIGCHLD, nullptr, nullptr, nullptr);
#else
  const long pid = sys(__NR_clone, SIGCHLD, nullptr);
#endif
  if (pid) {
    for (Lock* each : locks) each->give();
    note_given_away();
    return pid;
  }
  for (Lock* each : locks) each->forget();
  note_given_away();
  first_tid = static_cast<uint32_t>(sys(__NR_gettid));
  for (uint32_t i = 0; i < rows_used; ++i) {
    Native& native = rows[i];
    if (&native == tls_native) {
      native.tid = first_tid;
      continue;
    }
    native.tid = 0;
    if (native.record) native.record->number = 0;
  }
  header().pid = own_pid();
  forget_requests();
  return 0;
}

}  // namespace godwit::portable

extern "C" int64_t __godwit_clone(int (*fn)(void*), void* stack, uint64_t stack_size, void* arg, int* ptid, void* tls,
                                  int* ctid) {
  using namespace godwit::portable;
  Held held(threads_lock());
  Native* native = free_row();
  if (!native) return -EAGAIN;
  Thread& thread = *native->record;
  memset(&thread, 0, sizeof thread);
  thread.function = reinterpret_cast<uint64_t>(fn);
  thread.argument = reinterpret_cast<uint64_t>(arg);
  thread.tp = reinterpret_cast<uint64_t>(tls);
  thread.stack = reinterpret_cast<uint64_t>(stack);
  thread.stack_size = stack_size;
  thread.ctid = reinterpret_cast<uint64_t>(ctid);
  const uint32_t number = header().next_number++;
  if (ptid) *reinterpret_cast<Le<uint32_t>*>(ptid) = number;
  thread.number = number;
  thread.signal_mask = swap_signal_mask(~UINT64_C(0));
  const long result = spawn(*native);
  swap_signal_mask(thread.signal_mask);
  if (failed(result)) {
    thread.number = 0;
    return result;
  }
  return number;
}
