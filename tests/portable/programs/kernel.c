// Every: 3
// Structures that go to the kernel and come back, of all shapes: on a foreign processor the runtime carries each over. What is
// open only for a while is used between two points, so that a move never meets a pipe or a socket.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysinfo.h>
#include <sys/time.h>
#include <sys/times.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "step.h"

static void show(const char* what, long value) {
  printf("%s %ld\n", what, value);
  step();
}

static void files(void) {
  struct stat s, again;
  int fd = open("kernel.data", O_RDWR | O_CREAT | O_TRUNC, 0640);
  show("write", write(fd, "0123456789", 10));
  const struct timespec times[2] = {{1000000000, 123456789}, {1100000000, 987654321}};
  show("futimens", futimens(fd, times));
  fstat(fd, &s);
  show("size", s.st_size);
  show("mode", s.st_mode);
  show("links", (long)s.st_nlink);
  show("modified", s.st_mtim.tv_sec + s.st_mtim.tv_nsec);
  show("same", stat("kernel.data", &again) == 0 && s.st_ino == again.st_ino && s.st_dev == again.st_dev);
  show("blocks", s.st_blksize >= 512 && s.st_uid == getuid());
  struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 2, .l_len = 3}, got = lock;
  int locked = fcntl(fd, F_SETLK, &lock);
  if (fork() == 0) {
    fcntl(fd, F_GETLK, &got);
    _exit(got.l_type == F_WRLCK && got.l_start == 2 && got.l_len == 3 && got.l_pid == getppid() ? 21 : 22);
  }
  int status = 0;
  wait(&status);
  lock.l_type = F_UNLCK;
  fcntl(fd, F_SETLK, &lock);
  show("lock", locked + WEXITSTATUS(status));
  char a[4] = {0}, b[8] = {0};
  struct iovec parts[2] = {{a, 3}, {b, 5}};
  lseek(fd, 0, SEEK_SET);
  show("readv", readv(fd, parts, 2));
  printf("%s %s\n", a, b);
  show("pread", pread(fd, b, 4, 6));
  printf("%.4s\n", b);
  show("end", lseek(fd, -1, SEEK_END));
  show("truncate", ftruncate(fd, 5000000000) + 1);
  fstat(fd, &s);
  show("large", s.st_size - 4999999000);
  struct statfs fs;
  show("statfs", fstatfs(fd, &fs) == 0 && fs.f_bsize > 0 && fs.f_blocks >= fs.f_bfree && fs.f_namelen == 255);
  close(fd);
  unlink("kernel.data");
}

static int by_name(const struct dirent** a, const struct dirent** b) { return strcmp((*a)->d_name, (*b)->d_name); }

static void directories(void) {
  mkdir("kernel.dir", 0755);
  for (int i = 0; i < 5; i++) {
    char name[64];
    snprintf(name, sizeof name, "kernel.dir/entry-%d-%.*s", i, i * 3, "abcdefghijklmnop");
    close(open(name, O_WRONLY | O_CREAT, 0600));
  }
  struct dirent** list;
  int count = scandir("kernel.dir", &list, 0, by_name);
  for (int i = 0; i < count; i++) {
    if (list[i]->d_name[0] != '.') {
      char name[300];
      snprintf(name, sizeof name, "kernel.dir/%s", list[i]->d_name);
      printf("%s %d %d\n", list[i]->d_name, list[i]->d_type == DT_REG, list[i]->d_ino != 0);
      unlink(name);
    }
    free(list[i]);
  }
  free(list);
  show("rmdir", rmdir("kernel.dir"));
}

static void waiting(void) {
  int ends[2], ready[4];
  char byte = 'x';
  pipe(ends);
  struct pollfd fds[2] = {{ends[0], POLLIN, 0}, {ends[1], POLLOUT, 0}};
  ready[0] = poll(fds, 2, 0) * 100 + fds[0].revents * 10 + fds[1].revents;
  write(ends[1], &byte, 1);
  ready[1] = poll(fds, 2, -1) * 100 + fds[0].revents * 10 + fds[1].revents;
  fd_set readable, writable;
  FD_ZERO(&readable);
  FD_ZERO(&writable);
  FD_SET(ends[0], &readable);
  FD_SET(ends[1], &writable);
  struct timeval limit = {1, 0};
  ready[2] = select((ends[0] > ends[1] ? ends[0] : ends[1]) + 1, &readable, &writable, NULL, &limit) * 100 +
             !!FD_ISSET(ends[0], &readable) * 10 + !!FD_ISSET(ends[1], &writable);
  int set = epoll_create1(EPOLL_CLOEXEC);
  struct epoll_event event = {.events = EPOLLIN, .data.u64 = 0x1234567812345678}, got[4];
  epoll_ctl(set, EPOLL_CTL_ADD, ends[0], &event);
  ready[3] = epoll_wait(set, got, 4, 1000) * 100 + (got[0].data.u64 == event.data.u64) * 10 + (int)got[0].events;
  close(set);
  close(ends[0]);
  close(ends[1]);
  for (int i = 0; i < 4; i++) show("ready", ready[i]);
}

static void sockets(void) {
  int pair[2], fds[2] = {-1, -1};
  char text[8] = "passed", got[8] = {0};
  socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
  union {
    struct cmsghdr head;
    char room[CMSG_SPACE(sizeof(int))];
  } control = {0};
  struct iovec part = {text, sizeof text};
  struct msghdr message = {
      .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
  control.head = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
  memcpy(CMSG_DATA(&control.head), &pair[0], sizeof(int));
  long sent = sendmsg(pair[0], &message, 0);
  part.iov_base = got;
  memset(&control, 0, sizeof control);
  long received = recvmsg(pair[1], &message, 0);
  if (message.msg_controllen) memcpy(&fds[0], CMSG_DATA(&control.head), sizeof(int));
  long through = write(fds[0], "!", 1) == 1 && read(pair[1], got + 6, 1) == 1;
  close(fds[0]);
  close(pair[0]);
  close(pair[1]);

  int server = socket(AF_INET, SOCK_STREAM, 0), on = 1;
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}, peer = {0};
  setsockopt(server, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  socklen_t size = sizeof on;
  on = 0;
  long option = getsockopt(server, SOL_SOCKET, SO_REUSEADDR, &on, &size) == 0 && on != 0 && size == sizeof on;
  struct timeval limit = {2, 500000}, limit_got = {0};
  size = sizeof limit_got;
  setsockopt(server, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  getsockopt(server, SOL_SOCKET, SO_RCVTIMEO, &limit_got, &size);
  bind(server, (struct sockaddr*)&address, sizeof address);
  listen(server, 1);
  size = sizeof address;
  getsockname(server, (struct sockaddr*)&address, &size);
  int client = socket(AF_INET, SOCK_STREAM, 0);
  long connected = connect(client, (struct sockaddr*)&address, sizeof address);
  size = sizeof peer;
  int accepted = accept(server, (struct sockaddr*)&peer, &size);
  struct sockaddr_in own = {0};
  socklen_t own_size = sizeof own;
  getsockname(client, (struct sockaddr*)&own, &own_size);
  long same = peer.sin_port == own.sin_port && peer.sin_family == AF_INET && size == sizeof peer &&
              ntohl(peer.sin_addr.s_addr) == INADDR_LOOPBACK;
  close(accepted);
  close(client);
  close(server);
  printf("%s %ld %ld %ld %ld %ld %ld\n", got, sent, received, through, option, connected, same);
  show("limit", limit_got.tv_sec * 1000000 + limit_got.tv_usec);
}

static volatile int last_signal, last_value, last_code;
static volatile pid_t last_sender;
static void on_signal(int signal, siginfo_t* info, void* context) {
  last_signal = signal;
  last_value = info->si_value.sival_int;
  last_code = info->si_code;
  last_sender = info->si_pid;
}

static void signals(void) {
  struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO}, old;
  sigemptyset(&action.sa_mask);
  sigaction(SIGUSR1, &action, NULL);
  sigaction(SIGUSR1, NULL, &old);
  show("handler", old.sa_sigaction == on_signal && (old.sa_flags & SA_SIGINFO));
  sigqueue(getpid(), SIGUSR1, (union sigval){.sival_int = 4711});
  step();
  printf("%d %d %d %d\n", last_signal, last_value, last_code == SI_QUEUE, last_sender == getpid());
  sigset_t set, pending;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR2);
  sigaddset(&set, SIGRTMIN + 3);
  sigprocmask(SIG_BLOCK, &set, NULL);
  sigqueue(getpid(), SIGRTMIN + 3, (union sigval){.sival_int = -5});
  sigpending(&pending);
  siginfo_t info;
  const struct timespec second = {1, 0};
  int got = sigtimedwait(&set, &info, &second);
  show("waited", got == SIGRTMIN + 3 ? info.si_value.sival_int : 1000 + got);
  show("pending", sigismember(&pending, SIGRTMIN + 3) * 10 + sigismember(&pending, SIGUSR2));
  pid_t child = fork();
  if (child == 0) _exit(9);
  siginfo_t died = {0};
  waitid(P_PID, (id_t)child, &died, WEXITED);
  show("child", died.si_pid == child && died.si_code == CLD_EXITED ? died.si_status : -1);
}

static void processes(void) {
  int ends[2], status = 0;
  pipe(ends);
  fflush(stdout);
  pid_t child = fork();
  if (child == 0) {
    dup2(ends[1], 1);
    execle("/bin/sh", "sh", "-c", "echo $A $0 $1", "zero", "one", NULL, (char*[]){"A=letter", NULL});
    _exit(99);
  }
  close(ends[1]);
  char text[64] = {0};
  long size = read(ends[0], text, sizeof text - 1);
  close(ends[0]);
  struct rusage usage = {0};
  wait4(child, &status, 0, &usage);
  printf("%ld %s", size, text);
  show("status", WIFEXITED(status) ? WEXITSTATUS(status) : -1);
  show("usage", usage.ru_utime.tv_sec < 100 && usage.ru_maxrss > 0);
}

static void numbers(void) {
  struct rlimit limit = {0}, changed;
  getrlimit(RLIMIT_CORE, &limit);
  changed = (struct rlimit){0, limit.rlim_max};
  show("rlimit", setrlimit(RLIMIT_CORE, &changed) + getrlimit(RLIMIT_CORE, &changed) + (long)changed.rlim_cur);
  struct sysinfo info;
  show("sysinfo", sysinfo(&info) == 0 && info.mem_unit > 0 && info.totalram > info.freeram && info.procs > 0);
  struct tms tms;
  show("times", times(&tms) != -1 && tms.tms_utime >= 0 && tms.tms_utime < 10000);
  struct rusage usage;
  show("rusage", getrusage(RUSAGE_SELF, &usage) == 0 && usage.ru_utime.tv_usec < 1000000 && usage.ru_maxrss > 0);
  struct timeval now;
  gettimeofday(&now, NULL);
  show("now", now.tv_sec - time(NULL) < 2 && now.tv_sec > 1600000000 && now.tv_usec < 1000000);
  struct timespec resolution, before, after;
  clock_getres(CLOCK_MONOTONIC, &resolution);
  show("resolution", resolution.tv_sec == 0 && resolution.tv_nsec > 0);
  clock_gettime(CLOCK_MONOTONIC, &before);
  struct timespec until = before;
  until.tv_nsec += 20000000;
  if (until.tv_nsec >= 1000000000) until.tv_nsec -= 1000000000, until.tv_sec++;
  clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
  clock_gettime(CLOCK_MONOTONIC, &after);
  long slept = (after.tv_sec - before.tv_sec) * 1000 + (after.tv_nsec - before.tv_nsec) / 1000000;
  show("slept", slept >= 19 && slept < 10000);
  cpu_set_t cpus;
  show("cpus", sched_getaffinity(0, sizeof cpus, &cpus) == 0 && CPU_COUNT(&cpus) > 0);
  gid_t groups[256];
  show("groups", getgroups(256, groups) >= 0);
  uid_t real, effective, saved;
  show("users", getresuid(&real, &effective, &saved) == 0 && real == getuid() && effective == geteuid());
  struct itimerval timer = {{0, 0}, {1000, 5}}, left = {0};
  setitimer(ITIMER_VIRTUAL, &timer, NULL);
  step();
  getitimer(ITIMER_VIRTUAL, &left);
  show("timer", left.it_value.tv_sec > 900 && left.it_value.tv_sec <= 1000);
}

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t turned = PTHREAD_COND_INITIALIZER;
static int turn;
static void* other(void* name) {
  for (int i = 0; i < 5; i++) {
    pthread_mutex_lock(&mutex);
    while (turn % 2 == 0) pthread_cond_wait(&turned, &mutex);
    turn++;
    pthread_cond_signal(&turned);
    pthread_mutex_unlock(&mutex);
    step();
  }
  return name;
}

static void threads(void) {
  pthread_t thread;
  void* result = NULL;
  pthread_create(&thread, NULL, other, "other");
  for (int i = 0; i < 5; i++) {
    pthread_mutex_lock(&mutex);
    struct timespec limit;
    clock_gettime(CLOCK_REALTIME, &limit);
    limit.tv_sec += 1000;
    while (turn % 2 == 1) pthread_cond_timedwait(&turned, &mutex, &limit);
    turn++;
    pthread_cond_signal(&turned);
    pthread_mutex_unlock(&mutex);
    step();
  }
  pthread_join(thread, &result);
  printf("%s %d\n", (char*)result, turn);
}

int main(void) {
  setvbuf(stdout, NULL, _IOLBF, 0);
  files();
  directories();
  waiting();
  sockets();
  signals();
  processes();
  numbers();
  threads();
  return 4;
}
