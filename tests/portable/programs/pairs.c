// Socketpairs within the program: streams, datagrams and messages that weren't read yet, ends that are closed or shut down, options,
// threads that wait in recv and in send; epolls that watch them.
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
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <unistd.h>

#include "step.h"

static void must(int ok, const char* what) {
  if (ok) return;
  printf("%s: %s\n", what, strerror(errno));
  exit(3);
}

static void receive(int fd) {
  char text[256] = "";
  const ssize_t got = recv(fd, text, sizeof text - 1, MSG_DONTWAIT);
  printf("received %zd '%s' %s\n", got, text, got < 0 ? strerror(errno) : "");
}

static void look(const char* what, int fd) {
  struct pollfd seen = {fd, POLLIN | POLLOUT | POLLRDHUP, 0};
  poll(&seen, 1, 0);
  printf("%s: %x, flags %x %d\n", what, seen.revents, fcntl(fd, F_GETFL) & (O_NONBLOCK | O_ACCMODE),
         fcntl(fd, F_GETFD));
}

static void put(int fd, const char* text) {
  must(send(fd, text, strlen(text), MSG_NOSIGNAL) == (ssize_t)strlen(text), "send");
}

static void unread(int type, const char* name) {
  int p[2];
  printf("%s\n", name);
  must(socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, p) == 0, "socketpair");
  put(p[0], "one");
  put(p[0], "the second");
  put(p[1], "back");
  step();
  look("first", p[0]);
  look("second", p[1]);
  receive(p[1]);
  put(p[0], "3");
  fcntl(p[1], F_SETFL, O_NONBLOCK);
  step();
  receive(p[1]);
  if (type != SOCK_STREAM) receive(p[1]);
  receive(p[1]);
  step();
  receive(p[0]);
  // Both numbers elsewhere, the second one lower.
  must(dup2(p[1], 30) == 30 && dup2(p[0], 31) == 31 && dup2(p[0], 32) == 32, "dup2");
  close(p[0]);
  close(p[1]);
  put(32, "from a duplicate");
  close(32);
  step();
  receive(30);
  look("moved", 30);
  close(30);
  close(31);
}

static void closed(int type) {
  int p[2];
  must(socketpair(AF_UNIX, type, 0, p) == 0, "socketpair");
  put(p[0], "last words");
  close(p[0]);
  if (type == SOCK_STREAM) step();
  receive(p[1]);
  step();
  look("alone", p[1]);
  receive(p[1]);
  printf("send %zd %s\n", send(p[1], "x", 1, MSG_NOSIGNAL), strerror(errno));
  close(p[1]);
  if (type == SOCK_DGRAM) return;
  must(socketpair(AF_UNIX, type, 0, p) == 0, "socketpair");
  put(p[0], "never read");
  close(p[1]);
  step();
  look("reset", p[0]);
  receive(p[0]);
  receive(p[0]);
  close(p[0]);
}

static void shut(int type) {
  int p[2];
  must(socketpair(AF_UNIX, type, 0, p) == 0, "socketpair");
  put(p[0], "before");
  if (type != SOCK_STREAM) receive(p[1]);  // where nothing more can be sent, messages can't be looked at everywhere
  shutdown(p[0], SHUT_WR);
  step();
  look("shut", p[0]);
  look("other", p[1]);
  printf("send %zd %s\n", send(p[0], "x", 1, MSG_NOSIGNAL), strerror(errno));
  receive(p[1]);
  if (type != SOCK_DGRAM) receive(p[1]);
  put(p[1], "still");
  step();
  receive(p[0]);
  shutdown(p[1], SHUT_RDWR);
  step();
  look("both", p[0]);
  close(p[0]);
  close(p[1]);
}

static void options(void) {
  int p[2], one = 1, buffer = 30000, value = 0;
  struct timeval limit = {7, 250000};
  socklen_t size = sizeof value;
  must(socketpair(AF_UNIX, SOCK_STREAM, 0, p) == 0, "socketpair");
  setsockopt(p[1], SOL_SOCKET, SO_SNDBUF, &buffer, sizeof buffer);
  setsockopt(p[0], SOL_SOCKET, SO_PASSCRED, &one, sizeof one);
  setsockopt(p[0], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  put(p[1], "with credentials");
  step();
  getsockopt(p[1], SOL_SOCKET, SO_SNDBUF, &value, &size);
  printf("buffer %d\n", value);
  getsockopt(p[0], SOL_SOCKET, SO_PASSCRED, &value, &size);
  size = sizeof limit;
  getsockopt(p[0], SOL_SOCKET, SO_RCVTIMEO, &limit, &size);
  printf("credentials %d, limit %ld.%06ld\n", value, (long)limit.tv_sec, (long)limit.tv_usec);
  receive(p[0]);
  close(p[0]);
  close(p[1]);
}

static int ends[2];

static void* sends_much(void* unused) {
  static char block[400000];
  for (int i = 0; i < 400000; i++) block[i] = (char)(i * 13 + i / 256);
  printf("sent %zd", send(ends[0], block, sizeof block, 0));
  struct iovec parts[2] = {{block, 150000}, {block + 150000, 250000}};
  struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
  printf(" and %zd\n", sendmsg(ends[0], &message, 0));
  shutdown(ends[0], SHUT_WR);
  return unused;
}

static void threads(void) {
  pthread_t thread;
  must(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0, "socketpair");
  must(pthread_create(&thread, NULL, sends_much, NULL) == 0, "thread");
  unsigned sum = 0;
  long bytes = 0;
  static char block[50000];
  for (ssize_t got; (got = recv(ends[1], block, sizeof block, MSG_WAITALL)) > 0; bytes += got) {
    for (ssize_t i = 0; i < got; i++) sum = sum * 31 + (unsigned char)block[i];
    if (got != sizeof block) printf("only %zd\n", got);
    step();
  }
  pthread_join(thread, NULL);
  printf("%ld bytes, sum %08x\n", bytes, sum);
  close(ends[0]);
  close(ends[1]);
}

static void watched(void) {
  int p[2];
  const int set = epoll_create1(0);
  must(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, p) == 0, "socketpair");
  struct epoll_event event = {EPOLLIN, {.u64 = 77}};
  must(epoll_ctl(set, EPOLL_CTL_ADD, p[0], &event) == 0, "epoll_ctl");
  for (int i = 0; i < 4; i++) {
    put(p[1], "event");
    step();
    must(epoll_wait(set, &event, 1, 5000) == 1, "epoll_wait");
    printf("event %x %d\n", event.events, (int)event.data.u64);
    receive(p[0]);
    step();
    printf("then %d\n", epoll_wait(set, &event, 1, 0));
  }
  close(set);
  close(p[0]);
  close(p[1]);
}

int main(void) {
  setvbuf(stdout, NULL, _IOLBF, 0);
  unread(SOCK_STREAM, "stream");
  unread(SOCK_DGRAM, "datagrams");
  unread(SOCK_SEQPACKET, "messages");
  const int types[] = {SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET};
  for (int i = 0; i < 3; i++) {
    closed(types[i]);
    shut(types[i]);
  }
  options();
  threads();
  watched();
  return 0;
}
