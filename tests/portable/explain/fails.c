// Calls that fail in a portable program. Each is on a line of its own; run, the program prints the lines of those that have failed, and
// these must be the ones that are warned of.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/ptrace.h>
#include <sys/reboot.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static void failed_if(int condition, int line) {
  if (condition) printf("%d\n", line);
}
#define TRY(call, bad) failed_if((call)bad, __LINE__)

int main(void) {
  timer_t timer;
  struct itimerspec time = {{0, 0}, {1, 0}};
  pid_t pid;
  char* argv[] = {"true", 0};
  char* envp[] = {0};
  sigset_t set;
  struct sembuf operation = {0, 0, 0};
  struct msqid_ds queue;
  pthread_mutexattr_t attributes;
  void* memory = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  int file = open("shared-mapping", O_RDWR | O_CREAT, 0600);
  ftruncate(file, 4096);
  sigemptyset(&set);
  pthread_mutexattr_init(&attributes);
  TRY(timer_create(CLOCK_MONOTONIC, 0, &timer), != 0);  // expect: warning posix-timers
  TRY(timer_settime(0, 0, &time, 0), != 0);  // expect: warning posix-timers
  TRY(system("true"), == -1);  // expect: warning processes
  TRY(popen("true", "r"), == 0);  // expect: warning processes
  TRY(posix_spawn(&pid, "/bin/true", 0, 0, argv, envp), != 0);  // expect: warning processes
  TRY(posix_spawnp(&pid, "true", 0, 0, argv, envp), != 0);  // expect: warning processes
  TRY(shmget(IPC_PRIVATE, 4096, 0600), == -1);  // expect: warning system-v-ipc
  TRY(shmat(0, 0, 0), == (void*)-1);  // expect: warning system-v-ipc
  TRY(semget(IPC_PRIVATE, 1, 0600), == -1);  // expect: warning system-v-ipc
  TRY(semop(0, &operation, 1), == -1);  // expect: warning system-v-ipc
  TRY(msgget(IPC_PRIVATE, 0600), == -1);  // expect: warning system-v-ipc
  TRY(msgctl(0, IPC_STAT, &queue), == -1);  // expect: warning system-v-ipc
  TRY(mq_open("/godwit", O_CREAT | O_RDWR, 0600, (struct mq_attr*)0), == -1);  // expect: warning message-queues
  TRY(sem_open("/godwit", O_CREAT, 0600, 1), == SEM_FAILED);  // expect: warning named-semaphores
  TRY(pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST), != 0);  // expect: warning robust-mutexes
  TRY(pthread_mutexattr_setprotocol(&attributes, PTHREAD_PRIO_INHERIT), != 0);  // expect: warning robust-mutexes
  TRY(signalfd(-1, &set, 0), == -1);  // expect: warning signalfd
  TRY(dlopen("libm.so.6", RTLD_NOW), == 0);  // expect: warning libraries
  TRY(dlsym(RTLD_DEFAULT, "puts"), == 0);  // expect: warning libraries
  TRY(ptrace(PTRACE_TRACEME, 0, 0, 0), == -1);  // expect: warning debugging
  TRY(unshare(0), == -1);  // expect: warning machine
  TRY(setns(0, 0), == -1);  // expect: warning machine
  TRY(chroot("/"), == -1);  // expect: warning machine
  TRY(syscall(SYS_io_uring_setup, 1, 0), == -1);  // expect: warning system-call
  TRY(syscall(SYS_perf_event_open, 0, 0, 0, 0, 0), == -1);  // expect: warning system-call
  TRY(syscall(SYS_seccomp, 0, 0, 0), == -1);  // expect: warning system-call
  TRY(mmap(0, 4096, PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), == MAP_FAILED);  // expect: warning machine-code
  TRY(mprotect(memory, 4096, PROT_READ | PROT_EXEC), == -1);  // expect: warning machine-code
  TRY(mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0), == MAP_FAILED);  // expect: warning shared-mapping
  // These don't.
  TRY(pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_STALLED), != 0);
  TRY(pthread_mutexattr_setprotocol(&attributes, PTHREAD_PRIO_NONE), != 0);
  TRY(syscall(SYS_getpid), == -1);
  TRY(mmap(0, 4096, PROT_READ, MAP_PRIVATE, file, 0), == MAP_FAILED);
  TRY(mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0), == MAP_FAILED);
  TRY(mprotect(memory, 4096, PROT_READ), == -1);
  return 0;
}
