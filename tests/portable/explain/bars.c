// What bars a move while it lasts. Run with a number, the program does what that case says and comes to adaptation points: it must be
// refused when the case's line is warned of, and be saved when it isn't.
#define _GNU_SOURCE
#include <fcntl.h>
#include <godwit.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <syslog.h>
#include <unistd.h>

static int fds[2], name;

static void lock_by_fcntl(int file) {
  struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
  fcntl(file, F_SETLK, &lock);  // expect: warning file-lock
}

static void child(void) {
  if (fork() == 0) {  // expect: warning child
    for (int i = 0; i < 20; i++) usleep(100000);
    _exit(0);
  }
}

static struct sockaddr local = {.sa_family = AF_UNIX};

/// Of a socket that listens at a name which the kernel chooses.
static socklen_t size_of_local(void) {
  const int listener = socket(AF_UNIX, SOCK_STREAM, 0);
  socklen_t size = sizeof local;
  bind(listener, &local, sizeof local.sa_family);
  listen(listener, 1);
  getsockname(listener, &local, &size);
  return size;
}

static void do_case(int which, int file) {
  switch (which) {
    case 0: connect(socket(AF_UNIX, SOCK_STREAM, 0), &local, size_of_local()); break;  // expect: warning connection
    case 1: socketpair(AF_UNIX, SOCK_STREAM, 0, fds); break;
    case 2: pipe(fds); break;
    case 3: pipe2(fds, O_CLOEXEC); break;
    case 4: eventfd(0, 0); break;
    case 5: epoll_create1(0), socket(AF_UNIX, SOCK_STREAM, 0), size_of_local(); break;
    case 6: timerfd_create(CLOCK_MONOTONIC, 0); break;
    case 7: inotify_init(); break;  // expect: warning kernel-object
    case 8: tmpfile(); break;  // expect: warning nameless-file
    case 9: memfd_create("godwit", 0); break;  // expect: warning nameless-file
    case 10: posix_openpt(O_RDWR | O_NOCTTY); break;  // expect: warning terminal
    case 11: openpty(fds, fds + 1, 0, 0, 0); break;  // expect: warning terminal
    case 12: child(); break;
    case 13: flock(file, LOCK_EX); break;  // expect: warning file-lock
    case 14: lockf(file, F_LOCK, 0); break;  // expect: warning file-lock
    case 15: lock_by_fcntl(file); break;
    case 16: open("/dev/ptmx", O_RDWR | O_NOCTTY); break;  // expect: warning device
    case 17: mkfifo("fifo", 0600), open("fifo", O_RDWR); break;  // expect: warning pipe
    case 18: open("/dev/null", O_RDWR); break;
    case 19: fcntl(file, F_SETFL, O_APPEND); break;
    case 20: alarm(100); break;
    case 21: open("/proc/self/maps", O_RDONLY); break;  // expect: warning machine-file
    default: exit(9);
  }
}

int main(int argc, char** argv) {
  do_case(argc > 1 ? atoi(argv[1]) : 99, open("bars-file", O_RDWR | O_CREAT, 0600));
  for (int i = 0; i < 100; i++) godwit_adaptation_point();
  puts("not stopped");
  return name;
}
