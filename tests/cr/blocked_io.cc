// cr: threads in read, write, recv, recvmsg, accept and splice, with and without a time-out
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include "util/step.h"

static int pipe_in[2], full[2], pair[2], event, listener, timed_pair[2];
static volatile int stop;

static void* reader(void*) {
  for (int i = 0; i < steps(); i++) {
    char text[8];
    CHECK_EQ(read(pipe_in[0], text, 5), 5);
    CHECK(!memcmp(text, "hello", 5));
  }
  return nullptr;
}
static void* writer(void*) {
  static char block[1 << 20];
  memset(block, 'w', sizeof block);
  // Blocked until the end, partly done. A stop of any kind ends such a call with what it has written so far (signal(7)),
  // and nothing outside of the kernel can resume it: docs/limits.md.
  for (size_t done = 0; done < sizeof block;) {
    ssize_t n = write(full[1], block + done, sizeof block - done);
    CHECK(n > 0);
    done += n;
  }
  return nullptr;
}
static void* event_reader(void*) {
  uint64_t value;
  CHECK_EQ(read(event, &value, sizeof value), 8);
  CHECK_EQ(value, 42);
  return nullptr;
}
static void* receiver(void*) {
  for (int i = 0; i < steps(); i++) {
    char text[16];
    iovec part = {text, sizeof text};
    msghdr message = {};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    ssize_t n = i % 2 ? recv(pair[0], text, sizeof text, 0) : recvmsg(pair[0], &message, 0);
    CHECK_EQ(n, 4);
  }
  return nullptr;
}
static void* timed_receiver(void*) {
  while (!get(&stop)) {
    char byte;
    int64_t start = nanoseconds(CLOCK_MONOTONIC);
    ssize_t n = recv(timed_pair[0], &byte, 1, 0);
    if (n == 1) break;
    CHECK(n == -1);
    CHECK_EQ(errno, EAGAIN);  // SO_RCVTIMEO ran out; EINTR would be the engine's doing
    CHECK(nanoseconds(CLOCK_MONOTONIC) - start >= 80000000);
  }
  return nullptr;
}
static void* acceptor(void*) {
  int fd = MUST(accept4(listener, nullptr, nullptr, SOCK_CLOEXEC));
  char text[8];
  CHECK_EQ(read(fd, text, sizeof text), 3);
  close(fd);
  return nullptr;
}

int main() {
  MUST(pipe(pipe_in));
  MUST(pipe(full));
  MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
  MUST(socketpair(AF_UNIX, SOCK_DGRAM, 0, timed_pair));
  timeval limit = {0, 80000};
  MUST(setsockopt(timed_pair[0], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit));
  event = MUST(eventfd(0, EFD_CLOEXEC));
  listener = MUST(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address = {AF_UNIX, {}};
  snprintf(address.sun_path, sizeof address.sun_path, "listener");
  MUST(bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof address));
  MUST(listen(listener, 4));
  pthread_t ids[] = {thread(reader),   thread(writer),         thread(event_reader),
                     thread(receiver), thread(timed_receiver), thread(acceptor)};
  ready();
  for (int i = 0; i < steps(); i++) {
    step();
    CHECK(write(pipe_in[1], "hello", 5) == 5);
    CHECK(send(pair[1], "four", 4, 0) == 4);
    note("round %d", i);
    // The stream must not run two messages together: wait until it is read.
    int unread;
    do {
      char peek[16];
      unread = static_cast<int>(recv(pair[0], peek, sizeof peek, MSG_PEEK | MSG_DONTWAIT));
      if (unread > 0) sched_yield();
    } while (unread > 0);
  }
  uint64_t value = 42;
  CHECK(write(event, &value, 8) == 8);
  static char drain[1 << 20];
  for (size_t got = 0; got < sizeof drain;) {
    ssize_t n = read(full[0], drain + got, sizeof drain - got);
    CHECK(n > 0);
    got += static_cast<size_t>(n);
  }
  for (char c : drain) CHECK_EQ(c, 'w');
  int client = MUST(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  MUST(connect(client, reinterpret_cast<sockaddr*>(&address), sizeof address));
  CHECK(write(client, "abc", 3) == 3);
  add(&stop);
  CHECK(send(timed_pair[1], "x", 1, 0) == 1);
  for (auto id : ids) pthread_join(id, nullptr);
  finish();
}
