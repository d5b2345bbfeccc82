// cr: daemons: a session and its group whose leader is dead, with two members, and a second group in it
#include <sys/mman.h>
#include <sys/prctl.h>

#include "util/step.h"

struct Shared {
  volatile int ready, turn, done, leaving;
  pid_t session, members[3];
};
static Shared* shared;

static int member(bool own_group) {
  if (own_group) MUST(setpgid(0, 0));
  const pid_t group = own_group ? getpid() : shared->session;
  add(&shared->ready);
  for (int i = 1; i <= steps(); i++) {
    wait_until(&shared->turn, i);
    CHECK_EQ(getsid(0), shared->session);
    CHECK_EQ(getpgrp(), group);
    add(&shared->done);
  }
  wait_until(&shared->leaving, 1);
  return 7;
}

int main() {
  MUST(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0));
  shared =
      static_cast<Shared*>(mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  pid_t leader = spawn([&] {
    shared->session = setsid();
    for (int m = 0; m < 3; m++) shared->members[m] = spawn([&] { return member(m == 2); });
    wait_until(&shared->ready, 3);
    return 9;
  });
  CHECK_EQ(reap(leader), 9);
  ready();
  for (int i = 0; i < steps(); i++) {
    add(&shared->turn);
    step();
    wait_until(&shared->done, 3 * (i + 1));
    for (pid_t pid : shared->members) CHECK_EQ(getsid(pid), shared->session);
    CHECK_EQ(getpgid(shared->members[1]), shared->session);
    note("round %d", i);
  }
  add(&shared->leaving);
  for (pid_t pid : shared->members) CHECK_EQ(reap(pid), 7);
  finish();
}
