// What the files of the runtime know of each other. Private: others include portable/abi.h only.
//
//     start.cc        the entry: native thread-locals, environment, first start or restore
//     arena.cc        the header at the arena's beginning; neutral mmap and its kin
//     frames.cc       shadow frames
//     threads.cc      the table of threads: begin, end, numbers
//     stop.cc         how all threads come to rest and go on again
//     request.cc      who asks for a save, and the answer
//     syscalls.cc     the table of system calls; calls_*.cc: those that need translation
//     exchange.cc     structures behind the pointers of a call, on a foreign processor; layouts.cc: which ones
//     clocks.cc       time that goes on smoothly
//     signals.cc      dispositions, and handlers at adaptation points
//     descriptors.cc  open files: what can move, and opening them again; kinds.cc: those that aren't files, a file of each kind:
//                     sockets*.cc, epoll.cc, pipes.cc, pairs.cc, eventfds.cc, timerfds.cc; made.cc: who else has them
//     save.cc         writes an image         restore.cc  reads one
//     vdso.cc         the clock without a system call
//     text, mem, hash, sys, arch.S            no libc: what one would have used of it
//
// Two kinds of state. The unit's own is in the arena's header and moves with it: everything in `Header`. What belongs to
// this process only (kernel thread ids, native stacks, locks, whether a stop is on) is in native globals, and is never saved.
//
// Locks, in this order: threads, arena, sockets. None is held while neutral code runs or a call may block.
#pragma once

#include "portable/abi.h"
#include "portable/image.h"
#include "portable/runtime/sys.h"
#include "portable/runtime/text.h"

extern "C" {
void* memcpy(void* __restrict to, const void* __restrict from, size_t size);
void* memmove(void* to, const void* from, size_t size);
void* memset(void* to, int value, size_t size);
int memcmp(const void* one, const void* other, size_t size);

long godwit_arch_clone(unsigned long flags, void* stack, uint32_t* ptid, void* tls, uint32_t* ctid,
                       void (*entry)(void*), void* argument);
[[noreturn]] void godwit_arch_on_stack(void (*entry)(void*), void* argument, void* stack);
void godwit_arch_sigreturn();
/// A system call that isn't begun when a signal has come: see stop.cc.
long godwit_arch_wait(const uint32_t* attention, long number, const long* arguments);
// NOLINTNEXTLINE(readability-identifier-naming): labels in arch.S
extern const char godwit_arch_wait_begin[], godwit_arch_wait_end[], godwit_arch_wait_abort[];
}

namespace godwit::portable {

// ---- The arena's header --------------------------------------------------------------------------------------------

inline constexpr uint32_t kMaxThreads = 4096;
inline constexpr uint32_t kMaxRegions = GODWIT_IMAGE_REGIONS_MAX;
inline constexpr int kSignals = 64;

using Region = godwit_image_region;

/// The kernel's sigaction of the neutral family. handler: 0 default, 1 ignored, else a thunk.
struct Action {
  Le<uint64_t> handler;
  Le<uint64_t> flags;
  Le<uint64_t> mask;
};

struct Thread {
  Le<uint32_t> number;  ///< the unit's own; 0: the row is free
  Le<uint32_t> ended;  ///< only of the first thread: its row stays, so that nobody else becomes the first
  Le<uint64_t> function;  ///< 0: __godwit_main
  Le<uint64_t> argument;
  Le<uint64_t> tp;
  Le<uint64_t> stack;
  Le<uint64_t> stack_size;
  Le<uint64_t> sp;  ///< while it is at rest: what lies above in its stack means nothing
  Le<uint64_t> shadow;  ///< the newest chunk of its frames, or 0
  Le<uint64_t> ctid;
  Le<uint64_t> signal_mask;  ///< while it is at rest
  Le<uint64_t> pending;  ///< while it is at rest: blocked ones that the kernel holds for it
  Le<uint64_t> signals;  ///< arrived for this thread, their handlers didn't run yet
  Le<uint64_t> handlers_block;  ///< what the handlers that are running keep away from themselves
  Le<int64_t> cpu_offset;  ///< CPU time of earlier lives
  Le<int64_t> saved_cpu;  ///< while it is at rest: its CPU time in all lives
};

struct Header {
  godwit_arena_head head;  ///< for who looks at this process's memory from outside
  Le<uint32_t> pid;
  Le<uint32_t> next_number;
  Le<uint32_t> regions_used;
  Le<uint32_t> argc;
  Le<uint64_t> argv;
  Le<uint64_t> envp;
  Le<int64_t> monotonic_offset;  ///< neutral = native + offset, of the clocks that count from a boot
  Le<int64_t> cpu_offset;
  Le<int64_t> saved_monotonic;  ///< neutral, when the image was written
  Le<int64_t> saved_cpu;
  Le<uint64_t> pending;  ///< blocked signals that the kernel held for the process
  uint8_t signal_info[kSignals + 1][128];  ///< what came with the newest of each number
  Action actions[kSignals + 1];
  Le<uint64_t> timers[3][4];  ///< setitimer's, in the order ITIMER_REAL, VIRTUAL, PROF; filled in when saved
  Thread threads[kMaxThreads];
  Region regions[kMaxRegions];
};

inline constexpr uint64_t kHeaderSize = UINT64_C(4) << 20;
static_assert(sizeof(Header) <= kHeaderSize);

/// The address that a number in the unit's memory is.
template <class Pointer>
Pointer as_pointer(uint64_t address) {
  return reinterpret_cast<Pointer>(static_cast<uintptr_t>(address));
}

/// What neutral code takes where its source says T*: on a narrow processor a number of 64 bits.
template <class Pointer>
auto neutral(uint64_t address) {
  if constexpr (sizeof(void*) == 4) {
    return address;
  } else {
    return as_pointer<Pointer>(address);
  }
}

inline Header& header() { return *as_pointer<Header*>(godwit_program.arena); }

inline constexpr uint64_t page_up(uint64_t value) { return (value + GODWIT_PAGE - 1) & ~(GODWIT_PAGE - 1); }
inline constexpr uint64_t page_down(uint64_t value) { return value & ~(GODWIT_PAGE - 1); }

/// Whether the kernel's structures are others than the neutral family's.
inline constexpr bool kNarrow = sizeof(void*) == 4;
inline constexpr bool kForeign = kBigEndian || kNarrow;

// ---- Small things --------------------------------------------------------------------------------------------------

/// A lock between native threads, for a few instructions. Not for signal handlers.
class Lock {
 public:
  void take();
  void give();
  /// In the child of a fork, whose other threads are gone.
  void forget() { word_ = 0; }

 private:
  uint32_t word_ = 0;
};

class Held {
 public:
  explicit Held(Lock& lock) : lock_(lock) { lock_.take(); }
  Held(const Held&) = delete;
  Held& operator=(const Held&) = delete;
  ~Held() { lock_.give(); }

 private:
  Lock& lock_;
};

/// nanoseconds; negative: for ever.
void futex_wait(const uint32_t& word, uint32_t value, int64_t nanoseconds = -1);
void futex_wake(const uint32_t& word, uint32_t how_many);

inline uint32_t read_shared(const uint32_t& word) { return __atomic_load_n(&word, __ATOMIC_SEQ_CST); }
inline void write_shared(uint32_t& word, uint32_t value) { __atomic_store_n(&word, value, __ATOMIC_SEQ_CST); }

struct Timespec {
  int64_t seconds, nanoseconds;
};
inline constexpr int64_t kSecond = 1000000000;

/// Native CLOCK_…, nanoseconds.
int64_t native_clock(int clock);

// ---- vdso.cc -------------------------------------------------------------------------------------------------------

/// `image` is where AT_SYSINFO_EHDR says that the vDSO lies.
void use_vdso(uint64_t image);
/// clock_gettime of a native clock.
long read_clock(int clock, Timespec* now);

// ---- start.cc ------------------------------------------------------------------------------------------------------

/// Makes the native thread-locals of a new thread at the upper end of its stack. `tls` is what clone(CLONE_SETTLS) takes.
struct NativeTop {
  void* stack;
  void* tls;
};
NativeTop prepare_native_stack(uint64_t low, uint64_t size);
/// Anonymous native memory, with a guard below it. 0 when the kernel has none.
uint64_t map_native_stack(uint64_t size);

// ---- arena.cc ------------------------------------------------------------------------------------------------------

void map_header();
/// Address space in the arena, mapped. 0 when there is none.
uint64_t arena_take(uint64_t length, uint32_t protection, uint32_t kind);
void arena_give(uint64_t start, uint64_t length);
/// Maps what an image says was mapped, and only that, readable and writable until arena_protect(). What is mapped already, by
/// an earlier call, keeps its content. The rows are in order and don't overlap. False: these can't be mapped here.
bool arena_map_again(const Region* regions, uint32_t count);
/// Are these rows that arena_map_again() may take?
bool arena_rows_are_sound(const Region* regions, uint32_t count);
/// Sets the protection that the table says, after the content is there.
void arena_protect();
/// Held around a fork, so that the child finds the table whole.
Lock& arena_lock();

// ---- frames.cc -----------------------------------------------------------------------------------------------------

/// The current thread's frames have all been popped: gives their room back.
void release_frames();

// ---- threads.cc ----------------------------------------------------------------------------------------------------

/// A thread of this process. Row i belongs to header().threads[i].
struct Native {
  uint32_t tid;  ///< the kernel's; cleared by the kernel when the thread has gone, only then the row is used again
  uint32_t arrived;  ///< at rest, everything of it is in the arena
  uint32_t attention;  ///< a signal has come since this was last cleared
  uint64_t stack;
  Thread* record;
};

extern __thread Native* tls_native;

inline Thread& current() { return *tls_native->record; }

/// Row 0 is the first thread of this process, whichever of the unit's it runs.
Native& native_row(uint32_t index);
/// Rows from here on were never used.
uint32_t native_rows();
void begin_first_thread();
[[noreturn]] void run_first_thread();
/// After a restore: starts all others, each re-entered.
void begin_restored_threads();
/// Of those that haven't ended. Called with the lock.
template <class Each>
void for_each_thread(Each each) {
  for (uint32_t i = 0; i < native_rows(); ++i) {
    Thread& record = header().threads[i];
    if (record.number && !record.ended) each(record, native_row(i));
  }
}
Lock& threads_lock();
uint32_t own_pid();
/// The kernel's number for one of the unit's own; 0: no such thread.
uint32_t kernel_tid(long number);

// ---- stop.cc -------------------------------------------------------------------------------------------------------

/// Which of a thread's calls was the innermost one when it was saved: the first 8 bytes of the runtime's own frame.
enum : uint64_t { kPollFrame = UINT64_C(0x474f445749540001), kCallFrame = UINT64_C(0x474f445749540002) };

/// The runtime's own frame, the innermost of each thread (but for a handler's). Its layout is a part of the image's format.
struct OwnFrame {
  Le<uint64_t> kind;
  Le<int64_t> left = -1;  ///< kCallFrame: nanoseconds that a wait still has, -1 when it has no limit of its own
  Le<uint64_t> progress = 0;  ///< kCallFrame: bytes already written
  Le<int64_t> result = 0;  ///< kCallFrame: of the call, when `finished`
  Le<uint64_t> finished = 0;
  Le<uint64_t> handling = 0;  ///< the signal whose handler was running, or 0
  Le<uint64_t> handler = 0;
  Le<uint64_t> mask = 0;  ///< to be set again after the handler
  Le<uint64_t> blocked = 0;  ///< Thread::handlers_block before it
  Le<uint64_t> reserved = 0;
};

extern uint32_t stopping;  ///< all threads shall come to rest

/// Sets the state to kSaving and pushes the runtime's frame.
void begin_saving(const OwnFrame& frame);
/// Pops it. Unless it was in a handler, the thread runs again.
OwnFrame pop_own_frame(uint64_t kind);

/// Makes `stopping` true, so that threads begin to come to rest.
void ask_to_stop();
/// Waits until every thread is at rest. False: some aren't, and are named in `why`.
bool wait_for_rest(int64_t limit_ns, Line& why);
/// Everybody goes on.
void release_threads();
/// This thread will be re-entered from the top; the request word says so.
void begin_restoring();
/// A thread whose frames are all pushed comes here, and leaves to be re-entered.
void rest();
/// Somebody ended or came to rest: whoever waits looks again.
void tell_waiter();

/// Whether adaptation points take the slow path: a stop, a pending signal, a test that counts.
void refresh_request();
/// A signal waits for its handler in some thread.
void request_for_signal();

// ---- request.cc ----------------------------------------------------------------------------------------------------

/// For tests: stops at the n-th adaptation point. 0: never.
void test_stop_after(uint32_t points, const char* image);
void test_count_point();
void forget_requests();  ///< in a fork's child
/// From the handler of the reserved signal.
void helper_for_request();
bool counting();
/// Connects to an abstract UNIX socket whose owner is of this user, or root. -1: nobody like that listens.
int connect_to(const char* name);

// ---- signals.cc ----------------------------------------------------------------------------------------------------

/// siginfo_t, the same on all 64-bit targets; on a narrow one what follows the code isn't aligned to 8 bytes.
struct KernelInfo {
  int signo, error, code;
#if __SIZEOF_POINTER__ == 8
  int padding;
#endif
  uint32_t pid, uid;
  uint32_t rest[__SIZEOF_POINTER__ == 8 ? 26 : 27];
};
static_assert(sizeof(KernelInfo) == 128);

/// Installs the reserved signal's handler and finds out which signal arrives when this process is sent it. Leaves all
/// signals blocked: threads unblock them when there is a record to note them in.
void begin_signals();
uint64_t initial_signal_mask();
int stop_signal();
void restore_signals();
void block_all_signals();
/// Whether this thread has a signal whose handler may run now.
bool signal_due();
/// Runs handlers that are due; first the one that `frame` was saved in. False: the state isn't kRunning any more, and when it
/// is kSaving, `frame` has been pushed: the caller returns at once. `restart` becomes false if a handler wants -EINTR seen.
bool run_handlers(OwnFrame& frame, bool& restart);
uint64_t swap_signal_mask(uint64_t mask);
/// Blocked signals: what the kernel holds for this thread, which of them are for the process, and raising them again.
uint64_t held_signals();
void sort_held_signals();
void raise_held_signals(uint64_t signals, bool for_process);

// ---- syscalls.cc ---------------------------------------------------------------------------------------------------

/// A neutral system call on its way. A handler returns its result, or kStopHere: to be issued again when restored.
struct Call {
  long number;
  int64_t a[6];
  long native;
  bool resumed;
  int64_t left;
  uint64_t progress;
};
inline constexpr long kStopHere = -100000;

/// After -EINTR: what to do.
enum class Interrupted { kAgain, kStop, kTell };
Interrupted interrupted();
/// The native call with the neutral arguments.
int64_t pass(Call& call);
/// The same for a call that may wait: issued again when only the runtime's own signal has interrupted it.
int64_t wait(Call& call);
int64_t wait(Call& call, int64_t a, int64_t b, int64_t c, int64_t d, int64_t e, int64_t f);
/// A native call that may wait. -EINTR, without having begun, when the thread has something else to do first.
long sys_wait_list(long number, const long* arguments);
template <class... Arguments>
long sys_wait(long number, Arguments... arguments) {
  const long list[7] = {as_argument(arguments)..., 0};
  return sys_wait_list(number, list);
}

/// A call that waits at most `limit` ns (negative: for ever). `issue(Timespec*)`, null for ever. What is left is kept.
template <class Issue>
long wait_at_most(Call& call, int64_t limit, Issue issue) {
  if (call.resumed && call.left >= 0) limit = call.left;
  const int64_t begun = limit < 0 ? 0 : native_clock(1);
  int64_t left = limit;
  for (;;) {
    Timespec timeout = {left / kSecond, left % kSecond};
    const long result = issue(limit < 0 ? nullptr : &timeout);
    if (limit >= 0) {
      left = limit - (native_clock(1) - begun);
      if (left < 0) left = 0;
      call.left = left;
    }
    if (result != -4) return result;
    switch (interrupted()) {
      case Interrupted::kAgain: break;
      case Interrupted::kStop: return kStopHere;
      case Interrupted::kTell: return result;
    }
  }
}

/// Translation between neutral flags and native ones.
long native_open_flags(long neutral);
long neutral_open_flags(long native);

/// struct stat of the neutral family, in the processor's byte order.
struct NeutralStat {
  uint64_t dev, ino;
  uint32_t mode, nlink, uid, gid;
  uint64_t rdev, padding;
  int64_t size;
  int32_t block_size, padding2;
  int64_t blocks;
  int64_t access[2], modification[2], change[2];
  uint32_t unused[2];
};
static_assert(sizeof(NeutralStat) == 128);
/// Of a descriptor when there is no path.
long native_stat(long fd, const char* path, long flags, NeutralStat& neutral);

using Handler = int64_t (*)(Call&);
// exchange.cc
/// The same call, with structures of the native kernel behind its pointers.
int64_t exchange(Call& call, Handler handler);
/// siginfo_t as neutral code knows it, from the kernel's.
void keep_info(const KernelInfo& native, void* neutral);

// calls_memory.cc
int64_t call_brk(Call&), call_mmap(Call&), call_munmap(Call&), call_mremap(Call&), call_mprotect(Call&),
    call_madvise(Call&);
// calls_files.cc
int64_t call_openat(Call&), call_openat2(Call&), call_fcntl(Call&), call_fstat(Call&), call_fstatat(Call&),
    call_statfs(Call&), call_close(Call&), call_epoll_ctl(Call&), call_epoll_pwait(Call&), call_epoll_pwait2(Call&),
    call_pselect6(Call&), call_ppoll(Call&);
// calls_streams.cc
int64_t call_write(Call&), call_writev(Call&), call_sendto(Call&), call_recvfrom(Call&);
int64_t send_all(Call&);
// made.cc
int64_t call_pipe2(Call&), call_socketpair(Call&), call_eventfd(Call&), call_shutdown(Call&), call_sendmsg(Call&),
    call_sendmmsg(Call&);
/// After a fork, or when something was handed to another process.
void note_given_away();
// timerfds.cc
int64_t call_timerfd_settime(Call&);
// sockets_noted.cc
int64_t call_listen(Call&), call_setsockopt(Call&);
/// Of what is noted of sockets and pipes. Held around a fork, as the arena's.
Lock& sockets_lock();
// calls_wide.cc
int64_t call_lseek(Call&), call_at_offset(Call&), call_vectors_at_offset(Call&), call_truncate(Call&),
    call_fallocate(Call&), call_readahead(Call&), call_range(Call&), call_getrlimit(Call&), call_setrlimit(Call&),
    call_gettimeofday(Call&), call_missing(Call&), call_read(Call&);
// calls_process.cc
int64_t call_getpid(Call&), call_gettid(Call&), call_set_tid_address(Call&), call_exit(Call&), call_kill(Call&),
    call_tkill(Call&), call_tgkill(Call&), call_own_pid(Call&), call_thread(Call&), call_clone(Call&),
    call_prlimit(Call&);
// signals.cc
int64_t call_sigaction(Call&), call_sigprocmask(Call&), call_sigtimedwait(Call&), call_sigsuspend(Call&),
    call_sigaltstack(Call&);
// clocks.cc
int64_t call_clock_gettime(Call&), call_nanosleep(Call&), call_clock_nanosleep(Call&), call_futex(Call&);

// ---- clocks.cc -----------------------------------------------------------------------------------------------------

void clocks_before_save();
void clocks_after_restore();
/// Does the unit's offset apply to this clock?
bool from_boot(long clock);

// ---- descriptors.cc, save.cc, restore.cc ---------------------------------------------------------------------------

/// Blockers, a line each.
class Refusals {
 public:
  Refusals() : lines_(room_, sizeof room_) {}
  template <class... Parts>
  void add(const Parts&... parts) {
    ++count_;
    (void)((lines_ << "refused: ") << ... << parts);
    lines_ << "\n";
  }
  void clear() {
    lines_.clear();
    count_ = 0;
  }
  [[nodiscard]] uint32_t count() const { return count_; }
  [[nodiscard]] const Line& lines() const { return lines_; }

 private:
  char room_[16384];
  Line lines_;
  uint32_t count_ = 0;
};

/// A stream of records on its way out; the first error stays.
struct ImageOut {
  int fd;
  long error;
  uint64_t chain;
  uint64_t records;
  uint64_t bytes;

  void put(uint32_t type, uint64_t address, const void* payload, uint64_t length);
  void write(const void* bytes, uint64_t length, const void* more = nullptr, uint64_t more_length = 0);
};

/// Descriptors from here on are the runtime's own (as far as the limit of open files lets them), and aren't saved.
inline constexpr int kOwnDescriptors = 900;
/// Moves one of the runtime's own out of the program's way.
int put_aside(int fd);
/// Makes the kernel enlarge the table of descriptors while there is one thread. With more of them it waits until every processor
/// has seen that (expand_fdtable, synchronize_rcu), which are 10 ms of the first request. So before a process gets its second
/// thread, be it the helper of a request. A table never shrinks, but a fork's is new.
void make_room_for_own_descriptors();
void forget_room_for_own_descriptors();

/// Where descriptors lie, with what follows each, until they are written, or used.
inline constexpr uint64_t kDescriptorRoom = UINT64_C(64) << 20;
/// Bytes that one has there: with a zero, and up to the next multiple of 8.
inline uint64_t described_size(const godwit_image_descriptor& descriptor) {
  return (sizeof descriptor + descriptor.detail_size + 8) & ~UINT64_C(7);
}
/// Looks at all open descriptors but two; blockers are refused by name.
void collect_descriptors(Refusals& refusals, int except_a, int except_b);
/// Writes a record for each that was collected, and forgets them.
void write_descriptors(ImageOut& out);
void forget_descriptors();
/// Closes all that the restoring process has, but 0, 1, 2 and one more.
void close_foreign_descriptors(int except);
/// False: `why` has the reason. `detail` is checked, and ends with a zero.
bool restore_descriptor(const godwit_image_descriptor& descriptor, const char* detail, Line& why);
/// When all descriptors are there.
void end_filling();
bool finish_descriptor(const godwit_image_descriptor& descriptor, const char* detail, Line& why);
/// What only the unit's owner may do, behind the commit: it listens. False: it can't, which is too late for a refusal.
bool publish_descriptor(const godwit_image_descriptor& descriptor, const char* detail, Line& why);
/// Can this follow this descriptor?
bool detail_is_sound(const godwit_image_descriptor& descriptor, const char* detail);
/// Names of UNIX sockets become theirs only with the commit; or are taken away again.
void publish_names();
void withdraw_names();

/// All threads are at rest. Adds to `refusals` and writes nothing when something bars it. Else bytes written, or -errno.
/// `apart`: without memory.
long save_image(int fd, int own_socket, bool apart, Refusals& refusals);
/// Reads the image, rebuilds all, waits for the commit if there is a `commit` descriptor (else -1), and starts the threads but the
/// first. Ends the process with a refusal when the image doesn't fit.
void restore_image(int fd, int commit);

// ---- arrive.cc -----------------------------------------------------------------------------------------------------

/// Waits for a unit whose memory is put into place from outside. The socket on which its image follows.
int await_arrival(const char* name);
/// Is this such a unit? Then its image has no memory.
bool arrives();

}  // namespace godwit::portable
