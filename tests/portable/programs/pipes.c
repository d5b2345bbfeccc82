// Pipes within the program: unread content, capacity, flags of each end, duplicates, ends that are closed, packets, threads that wait
// in read and in write, the self-pipe of a signal handler.
// Flags: -pthread
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#include "step.h"

static void must(int ok, const char* what) {
  if (ok) return;
  printf("%s: %s\n", what, strerror(errno));
  exit(3);
}

static void show(const char* what, int fd) {
  const int flags = fcntl(fd, F_GETFL);
  printf("%s: %d:%s%s%s, fd flags %d, room %d\n", what, fd, (flags & O_ACCMODE) == O_WRONLY ? " writes" : " reads",
         flags & O_NONBLOCK ? " at once" : "", flags & O_DIRECT ? " packets" : "", fcntl(fd, F_GETFD),
         fcntl(fd, F_GETPIPE_SZ));
}

static void read_some(int fd, size_t size) {
  char text[256] = "";
  const ssize_t got = read(fd, text, size);
  printf("read %zd '%s' %s\n", got, text, got < 0 ? strerror(errno) : "");
}

static void unread(void) {
  int p[2];
  must(pipe2(p, O_CLOEXEC) == 0, "pipe2");
  must(write(p[1], "hello, pipe", 11) == 11, "write");
  step();
  read_some(p[0], 5);
  step();
  must(write(p[1], " and more", 9) == 9, "write");
  step();
  int left = 0;
  ioctl(p[0], FIONREAD, &left);
  printf("%d left\n", left);
  show("read end", p[0]);
  show("write end", p[1]);
  read_some(p[0], 100);
  fcntl(p[0], F_SETFL, O_NONBLOCK);
  step();
  read_some(p[0], 100);
  show("read end", p[0]);
  show("write end", p[1]);
  close(p[1]);
  step();
  read_some(p[0], 100);
  close(p[0]);
}

static void capacity(void) {
  int p[2];
  must(pipe2(p, O_NONBLOCK) == 0, "pipe2");
  must(fcntl(p[1], F_SETPIPE_SZ, 1 << 17) == 1 << 17, "F_SETPIPE_SZ");
  int filled = 0;
  unsigned sum = 0;
  for (unsigned char block[1024];; filled++) {
    for (int i = 0; i < 1024; i++) block[i] = (unsigned char)(filled * 31 + i * 7);
    if (write(p[1], block, sizeof block) < 0) break;
    if (filled % 40 == 0) step();
  }
  printf("filled with %d KiB: %s\n", filled, strerror(errno));
  step();
  show("full", p[1]);
  unsigned char block[1000];
  for (ssize_t got; (got = read(p[0], block, sizeof block)) > 0;) {
    for (ssize_t i = 0; i < got; i++) sum = sum * 31 + block[i];
    if (sum % 5 == 0) step();
  }
  printf("sum %08x\n", sum);
  must(fcntl(p[1], F_SETPIPE_SZ, 4096) == 4096, "F_SETPIPE_SZ");
  step();
  show("small", p[0]);
  close(p[0]);
  close(p[1]);
}

static void ends(void) {
  int p[2];
  must(pipe(p) == 0, "pipe");
  // The end that writes gets the lower number.
  must(dup2(p[1], 40) == 40 && dup2(p[0], 41) == 41 && dup2(p[1], 39) == 39, "dup2");
  close(p[0]);
  close(p[1]);
  step();
  must(write(39, "one", 3) == 3 && write(40, "two", 3) == 3, "write");
  fcntl(39, F_SETFL, O_NONBLOCK);
  step();
  show("duplicate", 40);
  close(39);
  step();
  read_some(41, 6);
  struct pollfd look = {41, POLLIN, 0};
  printf("poll %d %x\n", poll(&look, 1, 0), look.revents);
  must(write(40, "three", 5) == 5, "write");
  close(40);
  step();
  printf("poll %d %x\n", poll(&look, 1, 0), look.revents);
  read_some(41, 100);
  read_some(41, 100);
  close(41);
  must(pipe(p) == 0, "pipe");
  close(p[0]);
  step();
  printf("write %zd %s\n", write(p[1], "x", 1), strerror(errno));
  look = (struct pollfd){p[1], POLLOUT, 0};
  printf("poll %d %x\n", poll(&look, 1, 0), look.revents);
  close(p[1]);
}

static void packets(void) {
  int p[2];
  must(pipe2(p, O_DIRECT) == 0, "pipe2");
  must(write(p[1], "first", 5) == 5 && write(p[1], "2nd", 3) == 3, "write");
  step();
  show("packets", p[1]);
  must(write(p[1], "the third", 9) == 9, "write");
  for (int i = 0; i < 3; i++) {
    step();
    read_some(p[0], 100);
  }
  close(p[0]);
  close(p[1]);
}

static int there[2], back[2];

static void* echo(void* unused) {
  char text[64];
  for (ssize_t got; (got = read(there[0], text, sizeof text)) > 0;) {
    for (ssize_t i = 0; i < got; i++) text[i] ^= 32;
    must(write(back[1], text, (size_t)got) == got, "write back");
  }
  close(back[1]);
  return unused;
}

static void* writes_much(void* unused) {
  char* block = malloc(300000);
  for (int i = 0; i < 300000; i++) block[i] = (char)(i * 13 + i / 256);
  const ssize_t one = write(there[1], block, 300000);
  struct iovec parts[3] = {{block, 100000}, {block + 100000, 1}, {block + 100001, 199999}};
  const ssize_t other = writev(there[1], parts, 3);
  printf("wrote %zd and %zd\n", one, other);
  close(there[1]);
  free(block);
  return unused;
}

static void threads(void) {
  pthread_t thread;
  must(pipe(there) == 0 && pipe(back) == 0 && pthread_create(&thread, NULL, echo, NULL) == 0, "threads");
  for (int i = 0; i < 10; i++) {
    char line[32];
    const int size = snprintf(line, sizeof line, "round %d", i);
    step();
    must(write(there[1], line, (size_t)size) == size, "write");
    step();
    read_some(back[0], (size_t)size);
  }
  close(there[1]);
  read_some(back[0], 10);
  pthread_join(thread, NULL);
  close(there[0]);
  close(back[0]);
  must(pipe(there) == 0 && pthread_create(&thread, NULL, writes_much, NULL) == 0, "threads");
  unsigned sum = 0;
  long bytes = 0;
  char block[3000];
  for (ssize_t got; (got = read(there[0], block, sizeof block)) > 0; bytes += got) {
    for (ssize_t i = 0; i < got; i++) sum = sum * 31 + (unsigned char)block[i];
    if (bytes % 7 == 0) step();
  }
  pthread_join(thread, NULL);
  printf("%ld bytes, sum %08x\n", bytes, sum);
  close(there[0]);
}

static int self[2];

static void on_signal(int number) {
  const char byte = (char)number;
  must(write(self[1], &byte, 1) == 1, "write");
}

static void self_pipe(void) {
  must(pipe2(self, O_NONBLOCK | O_CLOEXEC) == 0, "pipe2");
  signal(SIGUSR1, on_signal);
  for (int i = 0; i < 5; i++) {
    kill(getpid(), SIGUSR1);
    step();
    struct pollfd look = {self[0], POLLIN, 0};
    must(poll(&look, 1, 5000) == 1, "poll");
    char byte = 0;
    must(read(self[0], &byte, 1) == 1 && byte == SIGUSR1, "read");
  }
  printf("five signals\n");
  // At the place of standard input: no longer whoever started the program.
  must(dup2(self[0], 0) == 0 && write(self[1], "in", 2) == 2, "dup2");
  step();
  read_some(0, 10);
}

int main(void) {
  setvbuf(stdout, NULL, _IOLBF, 0);
  signal(SIGPIPE, SIG_IGN);
  unread();
  capacity();
  ends();
  packets();
  threads();
  self_pipe();
  return 0;
}
