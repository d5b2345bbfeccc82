#include "portable/explain/checks.h"

namespace godwit::portable {
namespace {

constexpr auto kRemark = Severity::kRemark;
constexpr auto kWarning = Severity::kWarning;
constexpr auto kError = Severity::kError;

/// The table. The first row that fits counts. Each says what is true of the runtime in ../runtime and the C library in ../libc:
/// tests/portable/explain runs the calls of which it says that they fail or bar a move.
constexpr Check kChecks[] = {
    // ---- What godwit cc refuses.
    {"assembly", kError, Where::kRefusal, "inline assembly", "inline assembly", "it is for one processor",
     "write it in C, keep it out with #ifndef __godwit__, or mark its function GODWIT_ALLOW (<godwit.h>)"},
    {"assembly", kError, Where::kClang, " constraint '", "inline assembly with registers of one processor",
     "it is for one processor", "write it in C, or keep it out with #ifndef __godwit__"},
    {"assembly", kError, Where::kClang, "unknown register name", "inline assembly with registers of one processor",
     "it is for one processor", "write it in C, or keep it out with #ifndef __godwit__"},
    {"setjmp-cleanup", kError, Where::kRefusal, "setjmp in a function with",
     "setjmp beside a try block or a destructor", "a jump into a function that has clean-ups isn't carried",
     "put the setjmp into a function of its own, without objects"},
    {"allowed-stops", kError, Where::kRefusal, "GODWIT_ALLOW", "a call that may stop in a function with GODWIT_ALLOW",
     "such a function isn't left for a move", "call it from a function without GODWIT_ALLOW"},
    {"tail-call", kError, Where::kRefusal, "must be a tail call", "a tail call that must be one",
     "its caller's frame can't be left for a move", "leave out [[clang::musttail]]"},
    {"vfork", kError, Where::kCall, "vfork", "{}()", "a function that returns twice isn't carried, but for setjmp",
     "use fork(); its child bars a move until it has ended"},
    {"returns-twice", kError, Where::kRefusal, "returns twice", "a function that returns twice",
     "it isn't carried, but for setjmp", "use setjmp, or a function that returns once"},
    {"contexts", kError, Where::kCall, "getcontext setcontext makecontext swapcontext", "{}() isn't there",
     "a context holds the registers of one processor", "use threads, or coroutines of C++20"},
    {"clone", kError, Where::kCall, "clone __clone", "{}() isn't there",
     "a thread that the C library doesn't know can't be moved", "use pthread_create() or fork()"},
    {"processor-header", kError, Where::kClang, "This header is only meant to be used on",
     "a header of intrinsics for one processor", "portable programs are compiled for several",
     "use clang's vector types (__attribute__((vector_size(16)))) or keep it out with #ifndef __godwit__"},
    {"processor-header", kError, Where::kClang, "support not enabled", "a header of intrinsics for one processor",
     "portable programs are compiled for several",
     "use clang's vector types (__attribute__((vector_size(16)))) or keep it out with #ifndef __godwit__"},
    {"processor-header", kError, Where::kClang, "intrinsics not available", "a header of intrinsics for one processor",
     "portable programs are compiled for several",
     "use clang's vector types (__attribute__((vector_size(16)))) or keep it out with #ifndef __godwit__"},
    {"processor-builtin", kError, Where::kClang, "__builtin_ia32_", "an intrinsic of one processor",
     "portable programs are compiled for several",
     "use clang's vector types or plain C, or keep it out with #ifndef __godwit__"},
    {"processor-builtin", kError, Where::kClang, "'_mm", "an intrinsic of one processor",
     "portable programs are compiled for several",
     "use clang's vector types or plain C, or keep it out with #ifndef __godwit__"},
    {"processor-builtin", kError, Where::kClang, "builtin is not supported on this target",
     "an intrinsic of one processor", "portable programs are compiled for several",
     "use plain C, or keep it out with #ifndef __godwit__"},
    {"missing-header", kError, Where::kClang, "file not found", "a header that isn't there",
     "neither the program nor the portable libraries (musl, libc++) have it",
     "compile the library that it belongs to with godwit cc, and name its folder with -I"},
    {"compile", kError, Where::kClang, "", "it isn't compiled", "clang says so", "mend it"},
    {"not-carried", kError, Where::kRefusal, "", "it isn't carried", "a pass of godwit cc refuses it",
     "write it otherwise"},
    {"undefined", kError, Where::kMissing, "", "'{}' is nowhere defined",
     "none of these files has it, nor do the portable libraries (musl, libc++)",
     "name the file that has it, too, or compile its library with godwit cc"},

    // ---- Calls that fail on every machine.
    {"processes", kWarning, Where::kCall, "system popen posix_spawn posix_spawnp", "{}() always fails",
     "what it would start isn't a part of the program that could be taken along, and there is no vfork",
     "use fork() and exec, and wait for the child before a move"},
    {"posix-timers", kWarning, Where::kCall, "timer_create timer_settime timer_gettime timer_delete timer_getoverrun",
     "{}() always fails", "the kernel's POSIX timers can't be saved: the runtime answers ENOSYS",
     "use setitimer() or alarm(), which move, or a thread that sleeps"},
    {"system-v-ipc", kWarning, Where::kCall,
     "shmget shmat shmctl shmdt semget semop semctl semtimedop msgget msgsnd msgrcv msgctl", "{}() always fails",
     "its objects belong to one machine: the runtime answers ENOSYS",
     "use threads with a mutex, or files; between programs, message passing"},
    {"message-queues", kWarning, Where::kCall,
     "mq_open mq_unlink mq_send mq_receive mq_timedsend mq_timedreceive mq_notify mq_setattr mq_getattr",
     "{}() always fails", "its objects belong to one machine: the runtime answers ENOSYS",
     "use threads with a queue of their own"},
    {"named-semaphores", kWarning, Where::kCall, "sem_open", "{}() always fails",
     "it needs a shared writable mapping of a file, whose changes can't be followed on another machine",
     "use sem_init() between threads"},
    {"robust-mutexes", kWarning, Where::kCall, "pthread_mutexattr_setrobust pthread_mutexattr_setprotocol",
     "{}() always fails", "the kernel would have to know the lock, and what it knows can't be saved",
     "use a mutex with the defaults", When::kSecondNotZero},
    {"signalfd", kWarning, Where::kCall, "signalfd", "{}() always fails", "the runtime answers ENOSYS",
     "use sigwaitinfo() or a handler"},
    {"libraries", kWarning, Where::kCall, "dlopen dlsym dladdr dlinfo", "{}() always fails",
     "a portable program can't load libraries: their code would be for one processor", "link the code statically"},
    {"debugging", kWarning, Where::kCall, "ptrace", "{}() always fails", "the runtime answers ENOSYS",
     "debug the program from outside"},
    {"machine", kWarning, Where::kCall,
     "unshare setns chroot pivot_root acct vhangup reboot quotactl swapon swapoff init_module delete_module "
     "name_to_handle_at open_by_handle_at remap_file_pages",
     "{}() always fails", "it would tie the program to one machine: the runtime answers ENOSYS",
     "do it before the program is started, outside of it"},
    {"system-call", kWarning, Where::kCall, "syscall", "the system call {} always fails",
     "the runtime answers ENOSYS: its state couldn't be saved, or it would tie the program to one machine",
     "see that the program does without", When::kRefusedCall},
    {"machine-code", kWarning, Where::kCall, "mmap mprotect", "{}() with PROT_EXEC always fails",
     "code that the program makes itself is for one processor", "interpret instead", When::kExecutable},
    {"shared-mapping", kWarning, Where::kCall, "mmap", "a shared writable mapping of a file always fails",
     "what another program writes there, or this one, couldn't be followed on another machine",
     "use read() and write(), or MAP_PRIVATE", When::kSharedFile},
    {"fault-handler", kWarning, Where::kCall, "signal sigaction bsd_signal", "a handler for a fault never runs",
     "a handler waits for the next adaptation point, and a faulting instruction can't: the program ends",
     "check before the fault; keep handlers for what is sent", When::kFault},

    // ---- What bars a move while it lasts.
    {"connection", kWarning, Where::kCall, "connect accept accept4", "an open connection bars a move",
     "its other end is on this machine or knows it by this machine's address",
     "close it before a move, and connect again behind it; sockets that only listen are no bar"},
    {"syslog", kWarning, Where::kCall, "openlog syslog vsyslog",
     "{}() keeps a socket open that needs a log elsewhere, too",
     "it is connected to /dev/log again where the program goes on, or can't go there",
     "call closelog() behind it, or write to a file"},
    {"pipe", kWarning, Where::kCall, "mkfifo mkfifoat", "an open FIFO bars a move",
     "its other end may be another program's", "close it before a move, or use pipe(), which moves with both its ends"},
    {"kernel-object", kWarning, Where::kCall, "inotify_init inotify_init1 fanotify_init",
     "the descriptor of {}() bars a move", "it is an object of this kernel, without a name that another machine knows",
     "close it before a move, and make it again behind it"},
    {"nameless-file", kWarning, Where::kCall, "tmpfile memfd_create", "the file of {}() bars a move",
     "files are taken along by their names, and it has none", "give it a name: mkstemp(), removed at the end"},
    {"terminal", kWarning, Where::kCall, "posix_openpt openpty forkpty getpt login_tty",
     "the descriptor of {}() bars a move", "a terminal belongs to this machine",
     "use the standard descriptors, which are taken over where the program goes on"},
    {"child", kWarning, Where::kCall, "fork _Fork daemon", "a child process bars a move",
     "one process is moved, not its children", "wait for the child to end, or use threads"},
    {"file-lock", kWarning, Where::kCall, "flock lockf", "a file lock bars a move",
     "it ends with the process, so another program could come in between", "give the lock back before a move"},
    {"file-lock", kWarning, Where::kCall, "fcntl", "a file lock bars a move",
     "it ends with the process, so another program could come in between", "give the lock back before a move",
     When::kFileLock},
    {"device", kWarning, Where::kCall, "open open64 openat openat64 fopen fopen64 freopen",
     "an open device bars a move: {}", "only null, zero, full, random, urandom and tty are the same on each machine",
     "close it before a move", When::kDevice},

    // ---- What is otherwise on the other side.
    {"not-kept", kWarning, Where::kCall,
     "setpriority nice sched_setaffinity sched_setscheduler sched_setparam pthread_setaffinity_np "
     "pthread_setschedparam setrlimit "
     "prlimit prctl mlock mlockall setuid setgid seteuid setegid setreuid setregid setresuid setresgid setgroups "
     "personality",
     "what {}() sets isn't kept by a move", "the program goes on with what the other machine gives it",
     "set it again behind a move, or from outside", When::kSets},
    {"machine-file", kWarning, Where::kCall, "open open64 openat openat64 fopen fopen64 freopen",
     "{} says something else on another machine", "it is the kernel's, not a file that is taken along",
     "read it anew instead of keeping it open or keeping what it said", When::kProc},
    {"machine-fact", kRemark, Where::kCall,
     "gethostname uname gethostid sysinfo get_nprocs get_nprocs_conf getcpu sched_getcpu sched_getaffinity getloadavg "
     "getifaddrs",
     "what {}() says may be another thing after a move", "it is about this machine", "ask again instead of keeping it"},
    {"machine-fact", kRemark, Where::kCall, "sysconf", "the number of processors may be another one after a move",
     "it is about this machine", "ask again instead of keeping it", When::kProcessors},
    {"machine-fact", kRemark, Where::kCall, "_ZNSt3__16thread20hardware_concurrencyEv",
     "the number of processors may be another one after a move", "it is about this machine",
     "ask again instead of keeping it"},
    {"long-double", kRemark, Where::kCode, "long-double", "long double is computed by software",
     "it has 113 bits on every machine of the family, so results differ from an x86_64 compiler's 64, and are slower",
     "use double where it is enough"},
    {"processor-branch", kWarning, Where::kDirective,
     "__x86_64 __amd64 __i386 _M_X64 _M_AMD64 _M_IX86 _M_ARM64 __aarch64__ __arm__ __arm64__ __ARM_ __riscv __s390 "
     "__powerpc __ppc "
     "__PPC __mips __sparc __loongarch __SSE __AVX __MMX__ __FMA__ __BMI",
     "{} isn't defined", "the code is for several processors, so what it guards is left out",
     "see that what remains is right on every processor; keep out what is for one with #ifndef __godwit__"},

    // ---- How long a thread may be out of reach.
    {"unbounded-loop", kWarning, Where::kStretch, "none", "a thread in this loop can't be moved until it leaves it",
     "it has no adaptation point, and nothing says how often it goes round",
     "call godwit_adaptation_point() (<godwit.h>) in it"},
    {"longest-stretch", kRemark, Where::kStretch, "longest", "the longest stretch between two adaptation points",
     "this loop has none: {}", "if that may take long, call godwit_adaptation_point() (<godwit.h>) in it"},
};

}  // namespace

std::span<const Check> checks() { return kChecks; }

bool is_listed(std::string_view word, std::string_view list) {
  for (size_t at = 0; at < list.size();) {
    const size_t blank = std::min(list.find(' ', at), list.size());
    if (list.substr(at, blank - at) == word) return true;
    at = blank + 1;
  }
  return false;
}

}  // namespace godwit::portable
