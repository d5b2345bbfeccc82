// cr: pipes: unread bytes, packets, sizes, a full pipe with a blocked writer, ends that are gone, ends of other processes
#include <poll.h>
#include <sys/ioctl.h>

#include "util/step.h"

static int unread(int fd) {
  int n = 0;
  MUST(ioctl(fd, FIONREAD, &n));
  return n;
}
static short events(int fd) {
  pollfd p = {fd, POLLIN | POLLOUT, 0};
  MUST(poll(&p, 1, 0));
  return p.revents;
}

static int full[2];
static void* write_too_much(void*) {
  // Blocks inside the call: one write that is larger than the pipe.
  static char bytes[300000];
  for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = static_cast<char>(i % 251);
  // A stop in the middle of it makes the kernel return what went in so far, as SIGSTOP and SIGCONT do (signal(7)).
  size_t done = 0;
  while (done < sizeof bytes) {
    ssize_t n = write(full[1], bytes + done, sizeof bytes - done);
    if (n < 0 && errno == EINTR) continue;
    CHECK(n > 0);
    done += static_cast<size_t>(n);
  }
  return nullptr;
}

int main() {
  int stream[2], packets[2], orphan[2], deaf[2], to_child[2], from_child[2];
  MUST(pipe(stream));
  MUST(pipe2(packets, O_DIRECT | O_NONBLOCK));
  MUST(pipe(orphan));
  MUST(pipe2(deaf, O_NONBLOCK));
  MUST(pipe(full));
  MUST(pipe(to_child));
  MUST(pipe(from_child));
  MUST(fcntl(stream[1], F_SETPIPE_SZ, 1 << 17));
  CHECK(write(stream[1], "kept from the beginning", 23) == 23);
  CHECK(write(orphan[1], "left behind", 11) == 11);
  close(orphan[1]);
  close(deaf[0]);
  signal(SIGPIPE, SIG_IGN);

  pid_t child = spawn([&] {
    close(to_child[1]);
    close(from_child[0]);
    char c;
    ssize_t n;
    while ((n = read(to_child[0], &c, 1)) > 0) {  // blocked here most of the time
      c = static_cast<char>(c + 1);
      CHECK(write(from_child[1], &c, 1) == 1);
    }
    return n == 0 ? 0 : 1;
  });
  close(to_child[0]);
  close(from_child[1]);
  pthread_t blocked = thread(write_too_much);
  wait_for_state(getpid(), getpid(), 'R');
  const int wanted_capacity = fcntl(stream[1], F_GETPIPE_SZ);
  struct stat before, after;
  MUST(fstat(stream[0], &before));
  ready();
  int taken = 0;
  for (int i = 0; i < steps(); i++) {
    char text[64];
    int n = snprintf(text, sizeof text, "packet %d", i);
    CHECK(write(packets[1], text, static_cast<size_t>(n)) == n);
    CHECK(write(packets[1], "second", 6) == 6);
    step();
    char back[64] = {};
    CHECK_EQ(read(packets[0], back, sizeof back), n);
    CHECK(!memcmp(text, back, static_cast<size_t>(n)));
    CHECK_EQ(read(packets[0], back, 3), 3);  // the rest of a packet is thrown away
    CHECK_EQ(read(packets[0], back, sizeof back), -1);
    CHECK_EQ(errno, EAGAIN);

    char c = static_cast<char>('a' + i % 20);
    CHECK(write(to_child[1], &c, 1) == 1);
    CHECK(read(from_child[0], &c, 1) == 1);
    CHECK_EQ(c, 'a' + i % 20 + 1);

    CHECK_EQ(unread(stream[0]), 23 + i);
    CHECK(write(stream[1], "+", 1) == 1);
    CHECK_EQ(write(deaf[1], "x", 1), -1);
    CHECK_EQ(errno, EPIPE);
    static char bytes[5000];
    n = static_cast<int>(read(full[0], bytes, sizeof bytes));
    for (int k = 0; k < n; k++) CHECK_EQ(bytes[k], static_cast<char>((taken + k) % 251));
    taken += n;
    note("round %d: %d", i, unread(stream[0]));
  }
  while (taken < 300000) {
    static char bytes[5000];
    int n = static_cast<int>(read(full[0], bytes, sizeof bytes));
    CHECK(n > 0);
    for (int k = 0; k < n; k++) CHECK_EQ(bytes[k], static_cast<char>((taken + k) % 251));
    taken += n;
  }
  pthread_join(blocked, nullptr);
  char text[64] = {};
  CHECK_EQ(read(stream[0], text, 23), 23);
  CHECK(!strcmp(text, "kept from the beginning"));
  CHECK_EQ(fcntl(stream[1], F_GETPIPE_SZ), wanted_capacity);
  MUST(fstat(stream[0], &after));
  CHECK_EQ(after.st_mode, before.st_mode);
  CHECK_EQ(after.st_uid, before.st_uid);
  CHECK_EQ(events(orphan[0]), POLLIN | POLLHUP);
  CHECK_EQ(read(orphan[0], text, sizeof text), 11);
  CHECK_EQ(read(orphan[0], text, sizeof text), 0);
  CHECK_EQ(fcntl(packets[1], F_GETFL), O_WRONLY | O_DIRECT | O_NONBLOCK);
  close(to_child[1]);
  CHECK_EQ(read(from_child[0], text, 1), 0);
  CHECK_EQ(reap(child), 0);
  close(stream[1]);
  CHECK_EQ(events(stream[0]) & POLLHUP, POLLHUP);
  finish();
}
