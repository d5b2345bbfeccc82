// What the system calls of the table are called on a processor with 32 bits: numbers of users had 16 bits once, times and offsets
// 32. The older names are redefined, so that a row finds the call whose structures are the neutral ones.
#pragma once

#include <asm/unistd.h>

// NOLINTBEGIN(bugprone-reserved-identifier): the kernel's names.
#if __SIZEOF_LONG__ == 4
#undef __NR_getuid
#undef __NR_geteuid
#undef __NR_getgid
#undef __NR_getegid
#undef __NR_setuid
#undef __NR_setgid
#undef __NR_setreuid
#undef __NR_setregid
#undef __NR_setresuid
#undef __NR_getresuid
#undef __NR_setresgid
#undef __NR_getresgid
#undef __NR_setfsuid
#undef __NR_setfsgid
#undef __NR_getgroups
#undef __NR_setgroups
#undef __NR_fchown
#undef __NR_fcntl
#undef __NR_sendfile
#undef __NR_futex
#undef __NR_clock_gettime
#undef __NR_clock_nanosleep
#undef __NR_pselect6
#undef __NR_ppoll
#undef __NR_utimensat
#undef __NR_rt_sigtimedwait
#undef __NR_sched_rr_get_interval
#undef __NR_statfs
#undef __NR_fstatfs
#undef __NR_truncate
#undef __NR_ftruncate
#undef __NR_clock_settime
#undef __NR_clock_getres
#undef __NR_lseek
#undef __NR_timerfd_settime
#undef __NR_timerfd_gettime
#define __NR_getuid __NR_getuid32
#define __NR_geteuid __NR_geteuid32
#define __NR_getgid __NR_getgid32
#define __NR_getegid __NR_getegid32
#define __NR_setuid __NR_setuid32
#define __NR_setgid __NR_setgid32
#define __NR_setreuid __NR_setreuid32
#define __NR_setregid __NR_setregid32
#define __NR_setresuid __NR_setresuid32
#define __NR_getresuid __NR_getresuid32
#define __NR_setresgid __NR_setresgid32
#define __NR_getresgid __NR_getresgid32
#define __NR_setfsuid __NR_setfsuid32
#define __NR_setfsgid __NR_setfsgid32
#define __NR_getgroups __NR_getgroups32
#define __NR_setgroups __NR_setgroups32
#define __NR_fchown __NR_fchown32
#define __NR_fcntl __NR_fcntl64
#define __NR_sendfile __NR_sendfile64
#define __NR_futex __NR_futex_time64
#define __NR_clock_gettime __NR_clock_gettime64
#define __NR_clock_settime __NR_clock_settime64
#define __NR_clock_getres __NR_clock_getres_time64
#define __NR_clock_nanosleep __NR_clock_nanosleep_time64
#define __NR_pselect6 __NR_pselect6_time64
#define __NR_ppoll __NR_ppoll_time64
#define __NR_utimensat __NR_utimensat_time64
#define __NR_rt_sigtimedwait __NR_rt_sigtimedwait_time64
#define __NR_sched_rr_get_interval __NR_sched_rr_get_interval_time64
#define __NR_statfs __NR_statfs64
#define __NR_fstatfs __NR_fstatfs64
#define __NR_truncate __NR_truncate64
#define __NR_ftruncate __NR_ftruncate64
#define __NR_timerfd_settime __NR_timerfd_settime64
#define __NR_timerfd_gettime __NR_timerfd_gettime64
#define __NR_newfstatat __NR_fstatat64
#define __NR_mmap __NR_mmap2
#define __NR_lseek __NR__llseek
#define __NR_getrlimit __NR_ugetrlimit
#define __NR_fadvise64 __NR_arm_fadvise64_64
#define __NR_sync_file_range __NR_arm_sync_file_range
#endif
// NOLINTEND(bugprone-reserved-identifier)
