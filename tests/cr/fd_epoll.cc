// cr: epoll: nested, edge and one shot, data, targets whose number was closed or reused, a set shared with a child
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include "util/step.h"

static void watch(int set, int fd, uint32_t events, uint64_t data) {
  epoll_event e = {};
  e.events = events;
  e.data.u64 = data;
  MUST(epoll_ctl(set, EPOLL_CTL_ADD, fd, &e));
}
static void write_count(int fd, uint64_t n) { CHECK(write(fd, &n, sizeof n) == sizeof n); }
static uint64_t read_count(int fd) {
  uint64_t n = 0;
  CHECK(read(fd, &n, sizeof n) == sizeof n);
  return n;
}

static int blocked_set, bell, heard;
static void* wait_there(void*) {
  epoll_event e;
  for (;;) {
    int n = epoll_wait(blocked_set, &e, 1, -1);
    if (n < 0 && errno == EINTR) continue;
    CHECK_EQ(n, 1);
    CHECK_EQ(e.data.u64, 77);
    if (read_count(bell) == 1000) return nullptr;
    add(&heard);
  }
}

int main() {
  int set = MUST(epoll_create1(EPOLL_CLOEXEC)), inner = MUST(epoll_create1(0));
  int level = MUST(eventfd(0, EFD_NONBLOCK)), inside = MUST(eventfd(0, EFD_NONBLOCK));
  int shot = MUST(eventfd(1, EFD_NONBLOCK));
  watch(set, level, EPOLLIN, 0xfeedfacecafe0001);
  watch(set, inner, EPOLLIN, 2);
  watch(inner, inside, EPOLLIN | EPOLLET, 3);
  watch(set, shot, EPOLLIN | EPOLLONESHOT, 4);
  epoll_event e[8];
  CHECK_EQ(epoll_wait(set, e, 8, 0), 1);  // the one shot is off from now on
  CHECK_EQ(e[0].data.u64, 4);

  // Added as one number, living under another, while the number is another file.
  int first = MUST(eventfd(0, EFD_NONBLOCK));
  watch(set, first, EPOLLIN, 5);
  int moved = MUST(fcntl(first, F_DUPFD, 200));
  close(first);
  int reused = MUST(eventfd(0, EFD_NONBLOCK));
  CHECK_EQ(reused, first);
  watch(set, reused, EPOLLIN, 6);

  blocked_set = MUST(epoll_create1(0));
  bell = MUST(eventfd(0, 0));
  watch(blocked_set, bell, EPOLLIN, 77);
  pthread_t waiter = thread(wait_there);

  int go[2];
  MUST(pipe(go));
  pid_t child = spawn([&] {
    char c;
    for (int i = 0; i < steps(); i++) {
      CHECK(read(go[0], &c, 1) == 1);
      write_count(level, 1);
    }
    return 0;
  });
  ready();
  for (int i = 0; i < steps(); i++) {
    CHECK_EQ(epoll_wait(set, e, 8, 0), 0);
    CHECK(write(go[1], "x", 1) == 1);
    step();
    CHECK_EQ(epoll_wait(set, e, 8, -1), 1);
    CHECK(e[0].data.u64 == 0xfeedfacecafe0001);
    CHECK_EQ(read_count(level), 1);
    write_count(inside, 1);
    CHECK_EQ(epoll_wait(set, e, 8, 0), 1);
    CHECK_EQ(e[0].data.u64, 2);
    CHECK_EQ(epoll_wait(inner, e, 8, 0), 1);
    CHECK_EQ(e[0].data.u64, 3);
    CHECK_EQ(read_count(inside), 1);
    CHECK_EQ(epoll_wait(set, e, 8, 0), 0);
    write_count(moved, 1);
    CHECK_EQ(epoll_wait(set, e, 8, 0), 1);
    CHECK_EQ(e[0].data.u64, 5);
    CHECK_EQ(read_count(moved), 1);
    write_count(reused, 1);
    CHECK_EQ(epoll_wait(set, e, 8, 0), 1);
    CHECK_EQ(e[0].data.u64, 6);
    CHECK_EQ(read_count(reused), 1);
    write_count(bell, 1);
    wait_until(&heard, i + 1);
    note("round %d", i);
  }
  CHECK_EQ(reap(child), 0);
  epoll_event again = {};
  again.events = EPOLLIN | EPOLLONESHOT;
  again.data.u64 = 44;
  MUST(epoll_ctl(set, EPOLL_CTL_MOD, shot, &again));
  CHECK_EQ(epoll_wait(set, e, 8, 0), 1);
  CHECK_EQ(e[0].data.u64, 44);
  MUST(epoll_ctl(set, EPOLL_CTL_DEL, reused, nullptr));
  write_count(reused, 1);
  CHECK_EQ(epoll_wait(set, e, 8, 0), 0);
  write_count(bell, 1000);
  pthread_join(waiter, nullptr);
  finish();
}
