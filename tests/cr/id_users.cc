// cr: real, effective, saved and file-system users and groups, and supplementary groups, also different per thread
// needs: root
#include <grp.h>
#include <sys/fsuid.h>
#include <sys/syscall.h>

#include "util/step.h"

static volatile int turn, done;

// Without the C library's broadcast to all threads.
static void* work(void*) {
  CHECK_EQ(syscall(SYS_setresgid, 301, 302, 303), 0);
  gid_t groups[] = {11, 12};
  CHECK_EQ(syscall(SYS_setgroups, 2, groups), 0);
  for (int i = 1; i <= steps(); i++) {
    wait_until(&turn, i);
    gid_t r, e, s, list[8];
    CHECK_EQ(syscall(SYS_getresgid, &r, &e, &s), 0);
    CHECK(r == 301 && e == 302 && s == 303);
    CHECK_EQ(syscall(SYS_getgroups, 8, list), 2);
    CHECK(list[0] == 11 && list[1] == 12);
    add(&done);
  }
  return nullptr;
}

int main() {
  gid_t groups[] = {100, 101, 102, 4711};
  MUST(setgroups(4, groups));
  MUST(setresgid(201, 202, 203));
  // After these: the C library's calls go to all threads.
  pthread_t helper = thread(work);
  pid_t child = spawn([] {
    MUST(setresuid(1001, 1002, 1003));
    for (int i = 1; i <= steps(); i++) {
      uid_t r, e, s;
      MUST(getresuid(&r, &e, &s));
      CHECK(r == 1001 && e == 1002 && s == 1003);
      CHECK_EQ(setfsuid(static_cast<uid_t>(-1)), 1002);
      sleep_ms(5);
    }
    MUST(seteuid(1003));  // the saved one
    return 0;
  });
  setfsuid(1234);
  setfsgid(2345);
  ready();
  for (int i = 1; i <= steps(); i++) {
    add(&turn);
    step();
    wait_until(&done, i);
    gid_t r, e, s, list[8];
    MUST(getresgid(&r, &e, &s));
    CHECK(r == 201 && e == 202 && s == 203);
    CHECK_EQ(getgroups(8, list), 4);
    CHECK(!memcmp(list, groups, sizeof groups));
    CHECK_EQ(setfsuid(static_cast<uid_t>(-1)), 1234);
    CHECK_EQ(setfsgid(static_cast<gid_t>(-1)), 2345);
    note("round %d", i);
  }
  CHECK_EQ(reap(child), 0);
  pthread_join(helper, nullptr);
  finish();
}
