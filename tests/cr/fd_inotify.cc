// cr: inotify: watches on a directory and a file with their numbers, a reader that is blocked, one watch removed before
#include <sys/inotify.h>
#include <sys/ioctl.h>

#include "util/step.h"

struct Event {
  int wd;
  uint32_t mask;
  char name[64];
};
static Event next(int fd) {
  alignas(inotify_event) char bytes[sizeof(inotify_event) + NAME_MAX + 1];
  static char buffer[4096];
  static ssize_t at = 0, end = 0;
  if (at == end) {
    do end = read(fd, buffer, sizeof buffer);
    while (end < 0 && errno == EINTR);
    CHECK(end > 0);
    at = 0;
  }
  memcpy(bytes, buffer + at, sizeof(inotify_event));
  auto* head = reinterpret_cast<inotify_event*>(bytes);
  Event e = {head->wd, head->mask, {}};
  snprintf(e.name, sizeof e.name, "%.*s", static_cast<int>(head->len), buffer + at + sizeof(inotify_event));
  at += static_cast<ssize_t>(sizeof(inotify_event) + head->len);
  return e;
}

static int quiet, quiet_watch, quiet_seen;
static void* listen(void*) {
  char buffer[512];
  ssize_t n;
  do n = read(quiet, buffer, sizeof buffer);
  while (n < 0 && errno == EINTR);
  CHECK(n >= static_cast<ssize_t>(sizeof(inotify_event)));
  inotify_event head;
  memcpy(&head, buffer, sizeof head);
  CHECK_EQ(head.wd, quiet_watch);
  add(&quiet_seen);
  return nullptr;
}

int main() {
  MUST(mkdir(scratch("watched"), 0700));
  MUST(mkdir(scratch("other"), 0700));
  MUST(mkdir(scratch("quiet"), 0700));
  int file = MUST(open(scratch("file"), O_RDWR | O_CREAT, 0600));
  int fd = MUST(inotify_init1(0));
  int other = MUST(inotify_add_watch(fd, scratch("other"), IN_CREATE));
  int dir = MUST(inotify_add_watch(fd, scratch("watched"), IN_CREATE | IN_DELETE));
  int data = MUST(inotify_add_watch(fd, scratch("file"), IN_MODIFY));
  MUST(inotify_rm_watch(fd, other));
  CHECK_EQ(next(fd).mask, IN_IGNORED);
  // Of a file that has no name any more.
  int gone = MUST(open(scratch("gone"), O_RDWR | O_CREAT, 0600));
  int nameless = MUST(inotify_add_watch(fd, scratch("gone"), IN_MODIFY));
  MUST(unlink(scratch("gone")));
  quiet = MUST(inotify_init1(IN_CLOEXEC));
  quiet_watch = MUST(inotify_add_watch(quiet, scratch("quiet"), IN_CREATE));
  pthread_t listener = thread(listen);
  ready();
  for (int i = 0; i < steps(); i++) {
    step();
    // Made and read at once: an unread event forbids a checkpoint.
    int made = MUST(open(scratch("watched/new"), O_WRONLY | O_CREAT | O_EXCL, 0600));
    Event e = next(fd);
    CHECK_EQ(e.wd, dir);
    CHECK_EQ(e.mask, IN_CREATE);
    CHECK(!strcmp(e.name, "new"));
    close(made);
    MUST(unlink(scratch("watched/new")));
    CHECK_EQ(next(fd).mask, IN_DELETE);
    CHECK(write(file, "x", 1) == 1);
    e = next(fd);
    CHECK_EQ(e.wd, data);
    CHECK_EQ(e.mask, IN_MODIFY);
    CHECK(write(gone, "x", 1) == 1);
    CHECK_EQ(next(fd).wd, nameless);
    int left = -1;
    MUST(ioctl(fd, FIONREAD, &left));
    CHECK_EQ(left, 0);
    CHECK_EQ(get(&quiet_seen), 0);
    note("round %d", i);
  }
  int last = MUST(open(scratch("quiet/last"), O_WRONLY | O_CREAT, 0600));
  close(last);
  pthread_join(listener, nullptr);
  CHECK(MUST(inotify_add_watch(fd, scratch("other"), IN_CREATE)) > nameless);
  finish();
}
