// System calls of the neutral family, which are those of riscv64: numbers of asm-generic/unistd.h, structures of 64 bits.
//
// The table has a row for every call. What isn't in it doesn't exist for a portable program: -ENOSYS. A row is one of
//
//     PASS(number, name)              the native call of that name with the same arguments. Right where all flags and structures
//                                     are the same on every 64-bit Linux, which they nearly always are
//     WAIT(number, name)              the same for a call that may wait, and that signal(7) lets return EINTR
//     CALL(number, name, function)    a function that translates
//     WIDE(number, name, plain, narrow)    the second where a register is narrower than an argument
//     REFUSE(number, name, error)     known, and not for portable programs: it would tie the unit to a machine, or make state
//                                     that can't be saved where a C library has another way
//
// To add a row: look at the architectures' structures and flags (asm/ against asm-generic/). A function whose call can wait
// goes through wait() or sys_wait(), which know what to do when it is interrupted; a relative time limit needs wait_at_most().
//
// A call is an adaptation point of its own. It isn't begun when threads shall stop, and one that waits is interrupted; in
// both cases the runtime's frame is pushed and the call is issued again, with the same arguments, where the unit goes on.
// A result that the kernel has given is never thrown away: the thread then stops at its next adaptation point instead.
#include <asm/errno.h>

#include "portable/runtime/runtime.h"

#if !defined(__NR_accept)  // s390x: the same with no flags, and that argument is zero
#define __NR_accept __NR_accept4
#endif

namespace godwit::portable {
namespace {

struct Row {
  int number;
  int native;
  Handler handler;  ///< null: refused
  int error;
};

#define PASS(number, name) {number, __NR_##name, pass, 0}
#define WAIT(number, name) {number, __NR_##name, wait, 0}
#define CALL(number, name, function) {number, __NR_##name, function, 0}
// The first where a register has 64 bits; else calls_wide.cc's.
#define WIDE(number, name, plain, narrow) \
  {number, __NR_##name, kNarrow ? static_cast<Handler>(narrow) : static_cast<Handler>(plain), 0}
#define REFUSE(number, name, error) {number, -1, nullptr, -(error)}

constexpr Row kRows[] = {
    // clang-format off
    REFUSE(0, io_setup, ENOSYS), REFUSE(1, io_destroy, ENOSYS), REFUSE(2, io_submit, ENOSYS),
    REFUSE(3, io_cancel, ENOSYS), REFUSE(4, io_getevents, ENOSYS), PASS(5, setxattr), PASS(6, lsetxattr),
    PASS(7, fsetxattr), PASS(8, getxattr), PASS(9, lgetxattr), PASS(10, fgetxattr), PASS(11, listxattr),
    PASS(12, llistxattr), PASS(13, flistxattr), PASS(14, removexattr), PASS(15, lremovexattr), PASS(16, fremovexattr),
    PASS(17, getcwd), REFUSE(18, lookup_dcookie, ENOSYS), CALL(19, eventfd2, call_eventfd), PASS(20, epoll_create1),
    CALL(21, epoll_ctl, call_epoll_ctl), CALL(22, epoll_pwait, call_epoll_pwait), PASS(23, dup), PASS(24, dup3),
    CALL(25, fcntl, call_fcntl), PASS(26, inotify_init1), PASS(27, inotify_add_watch), PASS(28, inotify_rm_watch),
    WAIT(29, ioctl), PASS(30, ioprio_set), PASS(31, ioprio_get), WAIT(32, flock), PASS(33, mknodat),
    PASS(34, mkdirat), PASS(35, unlinkat), PASS(36, symlinkat), PASS(37, linkat), PASS(39, umount2), PASS(40, mount),
    REFUSE(41, pivot_root, ENOSYS), CALL(43, statfs, call_statfs),
    CALL(44, fstatfs, call_statfs), WIDE(45, truncate, pass, call_truncate),
    WIDE(46, ftruncate, pass, call_truncate),
    WIDE(47, fallocate, pass, call_fallocate), PASS(48, faccessat), PASS(49, chdir), PASS(50, fchdir), REFUSE(51, chroot, ENOSYS),
    PASS(52, fchmod), PASS(53, fchmodat), PASS(54, fchownat), PASS(55, fchown), CALL(56, openat, call_openat),
    CALL(57, close, call_close), REFUSE(58, vhangup, ENOSYS), CALL(59, pipe2, call_pipe2), REFUSE(60, quotactl, ENOSYS),
    PASS(61, getdents64), WIDE(62, lseek, pass, call_lseek), WIDE(63, read, wait, call_read), CALL(64, write, call_write), WAIT(65, readv),
    CALL(66, writev, call_writev), WIDE(67, pread64, wait, call_at_offset), WIDE(68, pwrite64, wait, call_at_offset),
    WIDE(69, preadv, wait, call_vectors_at_offset), WIDE(70, pwritev, wait, call_vectors_at_offset), WAIT(71, sendfile),
    CALL(72, pselect6, call_pselect6), CALL(73, ppoll, call_ppoll), REFUSE(74, signalfd4, ENOSYS), WAIT(75, vmsplice),
    WAIT(76, splice), WAIT(77, tee), PASS(78, readlinkat), CALL(79, newfstatat, call_fstatat),
    CALL(80, fstat, call_fstat), PASS(81, sync), PASS(82, fsync), PASS(83, fdatasync), WIDE(84, sync_file_range, pass, call_range),
    PASS(85, timerfd_create), CALL(86, timerfd_settime, call_timerfd_settime), PASS(87, timerfd_gettime),
    PASS(88, utimensat), REFUSE(89, acct, ENOSYS), PASS(90, capget), PASS(91, capset), PASS(92, personality),
    CALL(93, exit, call_exit), CALL(94, exit_group, call_exit), WAIT(95, waitid),
    CALL(96, set_tid_address, call_set_tid_address), REFUSE(97, unshare, ENOSYS), CALL(98, futex, call_futex),
    REFUSE(99, set_robust_list, ENOSYS), REFUSE(100, get_robust_list, ENOSYS), CALL(101, nanosleep, call_nanosleep),
    PASS(102, getitimer), PASS(103, setitimer), REFUSE(104, kexec_load, ENOSYS), REFUSE(105, init_module, ENOSYS),
    REFUSE(106, delete_module, ENOSYS), REFUSE(107, timer_create, ENOSYS), REFUSE(108, timer_gettime, ENOSYS),
    REFUSE(109, timer_getoverrun, ENOSYS), REFUSE(110, timer_settime, ENOSYS), REFUSE(111, timer_delete, ENOSYS),
    PASS(112, clock_settime), CALL(113, clock_gettime, call_clock_gettime), PASS(114, clock_getres),
    CALL(115, clock_nanosleep, call_clock_nanosleep), PASS(116, syslog), REFUSE(117, ptrace, ENOSYS),
    CALL(118, sched_setparam, call_thread), CALL(119, sched_setscheduler, call_thread),
    CALL(120, sched_getscheduler, call_thread), CALL(121, sched_getparam, call_thread),
    CALL(122, sched_setaffinity, call_thread), CALL(123, sched_getaffinity, call_thread), PASS(124, sched_yield),
    PASS(125, sched_get_priority_max), PASS(126, sched_get_priority_min),
    CALL(127, sched_rr_get_interval, call_thread), REFUSE(128, restart_syscall, ENOSYS), CALL(129, kill, call_kill),
    CALL(130, tkill, call_tkill), CALL(131, tgkill, call_tgkill), CALL(132, sigaltstack, call_sigaltstack),
    CALL(133, rt_sigsuspend, call_sigsuspend), CALL(134, rt_sigaction, call_sigaction),
    CALL(135, rt_sigprocmask, call_sigprocmask), PASS(136, rt_sigpending),
    CALL(137, rt_sigtimedwait, call_sigtimedwait), CALL(138, rt_sigqueueinfo, call_kill),
    REFUSE(139, rt_sigreturn, ENOSYS), PASS(140, setpriority), PASS(141, getpriority), REFUSE(142, reboot, ENOSYS),
    PASS(143, setregid), PASS(144, setgid), PASS(145, setreuid), PASS(146, setuid), PASS(147, setresuid),
    PASS(148, getresuid), PASS(149, setresgid), PASS(150, getresgid), PASS(151, setfsuid), PASS(152, setfsgid),
    PASS(153, times), CALL(154, setpgid, call_own_pid), CALL(155, getpgid, call_own_pid),
    CALL(156, getsid, call_own_pid), PASS(157, setsid), PASS(158, getgroups), PASS(159, setgroups), PASS(160, uname),
    PASS(161, sethostname), PASS(162, setdomainname), WIDE(163, getrlimit, pass, call_getrlimit), WIDE(164, setrlimit, pass, call_setrlimit),
    PASS(165, getrusage), PASS(166, umask), PASS(167, prctl), PASS(168, getcpu), WIDE(169, gettimeofday, pass, call_gettimeofday),
    WIDE(170, settimeofday, pass, call_missing), PASS(171, adjtimex), CALL(172, getpid, call_getpid), PASS(173, getppid),
    PASS(174, getuid), PASS(175, geteuid), PASS(176, getgid), PASS(177, getegid), CALL(178, gettid, call_gettid),
    PASS(179, sysinfo), REFUSE(180, mq_open, ENOSYS), REFUSE(181, mq_unlink, ENOSYS),
    REFUSE(182, mq_timedsend, ENOSYS), REFUSE(183, mq_timedreceive, ENOSYS), REFUSE(184, mq_notify, ENOSYS),
    REFUSE(185, mq_getsetattr, ENOSYS), REFUSE(186, msgget, ENOSYS), REFUSE(187, msgctl, ENOSYS),
    REFUSE(188, msgrcv, ENOSYS), REFUSE(189, msgsnd, ENOSYS), REFUSE(190, semget, ENOSYS),
    REFUSE(191, semctl, ENOSYS), REFUSE(192, semtimedop, ENOSYS), REFUSE(193, semop, ENOSYS),
    REFUSE(194, shmget, ENOSYS), REFUSE(195, shmctl, ENOSYS), REFUSE(196, shmat, ENOSYS), REFUSE(197, shmdt, ENOSYS),
    PASS(198, socket), CALL(199, socketpair, call_socketpair), PASS(200, bind), CALL(201, listen, call_listen), WAIT(202, accept),
    WAIT(203, connect), PASS(204, getsockname), PASS(205, getpeername), CALL(206, sendto, call_sendto), CALL(207, recvfrom, call_recvfrom),
    CALL(208, setsockopt, call_setsockopt), PASS(209, getsockopt), CALL(210, shutdown, call_shutdown), CALL(211, sendmsg, call_sendmsg), WAIT(212, recvmsg),
    WIDE(213, readahead, pass, call_readahead), CALL(214, brk, call_brk), CALL(215, munmap, call_munmap), CALL(216, mremap, call_mremap),
    REFUSE(217, add_key, ENOSYS), REFUSE(218, request_key, ENOSYS), REFUSE(219, keyctl, ENOSYS),
    CALL(220, clone, call_clone), PASS(221, execve), CALL(222, mmap, call_mmap), WIDE(223, fadvise64, pass, call_range),
    REFUSE(224, swapon, ENOSYS), REFUSE(225, swapoff, ENOSYS), CALL(226, mprotect, call_mprotect), PASS(227, msync),
    PASS(228, mlock), PASS(229, munlock), PASS(230, mlockall), PASS(231, munlockall), PASS(232, mincore),
    CALL(233, madvise, call_madvise), REFUSE(234, remap_file_pages, ENOSYS), REFUSE(235, mbind, ENOSYS),
    REFUSE(236, get_mempolicy, ENOSYS), REFUSE(237, set_mempolicy, ENOSYS), REFUSE(238, migrate_pages, ENOSYS),
    REFUSE(239, move_pages, ENOSYS), REFUSE(240, rt_tgsigqueueinfo, ENOSYS), REFUSE(241, perf_event_open, ENOSYS),
    WAIT(242, accept4), WAIT(243, recvmmsg), WAIT(260, wait4), CALL(261, prlimit64, call_prlimit),
    PASS(262, fanotify_init), PASS(263, fanotify_mark), REFUSE(264, name_to_handle_at, ENOSYS),
    REFUSE(265, open_by_handle_at, ENOSYS), PASS(266, clock_adjtime), PASS(267, syncfs), REFUSE(268, setns, ENOSYS),
    CALL(269, sendmmsg, call_sendmmsg), PASS(270, process_vm_readv), PASS(271, process_vm_writev), REFUSE(272, kcmp, ENOSYS),
    REFUSE(273, finit_module, ENOSYS), CALL(274, sched_setattr, call_thread), CALL(275, sched_getattr, call_thread),
    PASS(276, renameat2), REFUSE(277, seccomp, ENOSYS), WAIT(278, getrandom), PASS(279, memfd_create),
    REFUSE(280, bpf, ENOSYS), PASS(281, execveat), REFUSE(282, userfaultfd, ENOSYS), PASS(283, membarrier),
    REFUSE(284, mlock2, ENOSYS), WAIT(285, copy_file_range), WIDE(286, preadv2, wait, call_vectors_at_offset),
    WIDE(287, pwritev2, wait, call_vectors_at_offset),
    REFUSE(288, pkey_mprotect, ENOSYS), REFUSE(289, pkey_alloc, ENOSYS), REFUSE(290, pkey_free, ENOSYS),
    PASS(291, statx), REFUSE(292, io_pgetevents, ENOSYS), REFUSE(293, rseq, ENOSYS),
    REFUSE(294, kexec_file_load, ENOSYS), PASS(424, pidfd_send_signal), REFUSE(425, io_uring_setup, ENOSYS),
    REFUSE(426, io_uring_enter, ENOSYS), REFUSE(427, io_uring_register, ENOSYS), REFUSE(428, open_tree, ENOSYS),
    REFUSE(429, move_mount, ENOSYS), REFUSE(430, fsopen, ENOSYS), REFUSE(431, fsconfig, ENOSYS),
    REFUSE(432, fsmount, ENOSYS), REFUSE(433, fspick, ENOSYS), PASS(434, pidfd_open), REFUSE(435, clone3, ENOSYS),
    PASS(436, close_range), CALL(437, openat2, call_openat2), REFUSE(438, pidfd_getfd, ENOSYS), PASS(439, faccessat2),
    REFUSE(440, process_madvise, ENOSYS), CALL(441, epoll_pwait2, call_epoll_pwait2),
    REFUSE(442, mount_setattr, ENOSYS), REFUSE(443, quotactl_fd, ENOSYS),
    REFUSE(444, landlock_create_ruleset, ENOSYS), REFUSE(445, landlock_add_rule, ENOSYS),
    REFUSE(446, landlock_restrict_self, ENOSYS), REFUSE(447, memfd_secret, ENOSYS),
    REFUSE(448, process_mrelease, ENOSYS), REFUSE(449, futex_waitv, ENOSYS),
    REFUSE(450, set_mempolicy_home_node, ENOSYS),
    // clang-format on
};

constexpr int kNumbers = 451;

struct Table {
  Row rows[kNumbers];
};

consteval Table by_number() {
  Table table = {};
  for (Row& row : table.rows) row.error = -ENOSYS;
  for (const Row& row : kRows) table.rows[row.number] = row;
  return table;
}

constexpr Table kTable = by_number();

#if defined(__aarch64__) || defined(__riscv)
consteval bool numbers_agree() {
  for (const Row& row : kRows) {
    if (row.handler && row.number != row.native) return false;
  }
  return true;
}
static_assert(numbers_agree(), "a row's number isn't that of its name");
#endif

constexpr long kExit = 93, kExitGroup = 94;
constexpr long kPselect = 72, kPpoll = 73, kEpollPwait = 22, kEpollPwait2 = 441, kNanosleep = 101,
               kClockNanosleep = 115, kSigsuspend = 133, kSigtimedwait = 137;

/// signal(7): these return -EINTR whatever SA_RESTART says.
bool never_restarted(const Call& call) {
  switch (call.number) {
    case kPselect:
    case kPpoll:
    case kEpollPwait:
    case kEpollPwait2:
    case kNanosleep:
    case kClockNanosleep:
    case kSigsuspend:
    case kSigtimedwait: return true;
    default: return call.left >= 0;
  }
}

int64_t dispatch(Call& call) {
  if (static_cast<unsigned long>(call.number) >= kNumbers) return -ENOSYS;
  const Row& row = kTable.rows[call.number];
  if (!row.handler) return row.error;
  call.native = row.native;
  if constexpr (kForeign) return exchange(call, row.handler);
  return row.handler(call);
}

/// The call and the handlers around it, in a thread of which somebody may want something. False: return at once.
bool run_call(Call& call, OwnFrame& frame) {
  bool restart = true;
  for (;;) {
    if (!frame.finished) {
      if (!run_handlers(frame, restart)) return false;
      if (read_shared(stopping)) break;
      frame.result = dispatch(call);
      if (frame.result == kStopHere) break;
      frame.finished = 1;
    }
    restart = true;
    if (!run_handlers(frame, restart)) return false;
    if (frame.result != -EINTR || !restart || never_restarted(call)) return true;
    frame.finished = 0;
    call.resumed = false;
  }
  frame.result = 0;
  frame.left = call.left;
  frame.progress = call.progress;
  begin_saving(frame);
  return false;
}

}  // namespace

Interrupted interrupted() {
  if (signal_due()) return Interrupted::kTell;
  return read_shared(stopping) ? Interrupted::kStop : Interrupted::kAgain;
}

long sys_wait_list(long number, const long* arguments) {
  Native& native = *tls_native;
  write_shared(native.attention, 0);
  if (signal_due() || read_shared(stopping)) return -EINTR;
  return godwit_arch_wait(&native.attention, number, arguments);
}

namespace {

/// What a register can't hold, signed or not, is no argument for this kernel.
bool fits(const Call& call) {
  if constexpr (!kNarrow) return true;
  for (const int64_t a : call.a) {
    if (a != static_cast<int32_t>(a) && a != static_cast<uint32_t>(a)) return false;
  }
  return true;
}

}  // namespace

int64_t pass(Call& call) {
  if (!fits(call)) return -EINVAL;
  return sys(call.native, call.a[0], call.a[1], call.a[2], call.a[3], call.a[4], call.a[5]);
}

int64_t wait(Call& call, int64_t a, int64_t b, int64_t c, int64_t d, int64_t e, int64_t f) {
  for (;;) {
    const long result = sys_wait(call.native, a, b, c, d, e, f);
    if (result != -EINTR) return result;
    switch (interrupted()) {
      case Interrupted::kAgain: break;
      case Interrupted::kStop: return kStopHere;
      case Interrupted::kTell: return result;
    }
  }
}

int64_t wait(Call& call) {
  if (!fits(call)) return -EINVAL;
  return wait(call, call.a[0], call.a[1], call.a[2], call.a[3], call.a[4], call.a[5]);
}

}  // namespace godwit::portable

extern "C" int64_t __godwit_syscall(int64_t number, int64_t a, int64_t b, int64_t c, int64_t d, int64_t e, int64_t f) {
  using namespace godwit::portable;
  Call call = {.number = static_cast<long>(number),
               .a = {a, b, c, d, e, f},
               .native = 0,
               .resumed = false,
               .left = -1,
               .progress = 0};
  OwnFrame frame = {.kind = kCallFrame};
  if (__builtin_expect(__godwit_state == GODWIT_RESTORING, 0)) {
    frame = pop_own_frame(kCallFrame);
    call.resumed = true;
    call.left = frame.left;
    call.progress = frame.progress;
  } else if (__godwit_state != GODWIT_RUNNING || number == kExit || number == kExitGroup) {
    return dispatch(call);
  } else if (__builtin_expect(read_shared(__godwit_request) == 0, 1)) {
    frame.result = dispatch(call);
    if (frame.result != kStopHere && !read_shared(__godwit_request)) return frame.result;
    if (frame.result == kStopHere) {
      frame.left = call.left;
      frame.progress = call.progress;
      begin_saving(frame);
      return 0;
    }
    frame.finished = 1;
  }
  return run_call(call, frame) ? +frame.result : 0;
}
