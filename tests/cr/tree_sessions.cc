// cr: sessions and process groups: leaders, members, groups whose leader is dead, signals to a group
#include <sys/mman.h>
#include <sys/prctl.h>

#include "util/step.h"

struct Shared {
  volatile int ready, turn, done, hits, leaving;
  pid_t session_of_child, group_without_leader;
};
static Shared* shared;

static void hit(int) { add(&shared->hits); }

// Holds its session and group and checks both in every round.
static int member(pid_t session, pid_t group) {
  signal(SIGUSR1, hit);
  add(&shared->ready);
  for (int i = 1; i <= steps(); i++) {
    wait_until(&shared->turn, i);
    CHECK_EQ(getsid(0), session);
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
  pid_t own_session = getsid(0), own_group = getpgrp();

  // 1: a plain child. 2: a session of its own with a member in a second group. 3: a group whose leader is dead.
  pid_t plain = spawn([&] { return member(own_session, own_group); });
  pid_t leader = spawn([&] {
    pid_t sid = setsid();
    pid_t other = spawn([&] {
      setpgid(0, 0);
      return member(sid, getpid());
    });
    int status = member(sid, sid);
    return status == 7 ? reap(other) : 1;
  });
  pid_t dead_leader = spawn([&] {
    setpgid(0, 0);
    pid_t group = getpid();
    shared->group_without_leader = group;
    spawn([&] { return member(own_session, group); });
    spawn([&] { return member(own_session, group); });
    return 9;
  });
  CHECK_EQ(reap(dead_leader), 9);
  wait_until(&shared->ready, 5);
  ready();
  for (int i = 0; i < steps(); i++) {
    add(&shared->turn);
    step();
    wait_until(&shared->done, 5 * (i + 1));
    CHECK_EQ(getsid(0), own_session);
    CHECK_EQ(getsid(leader), leader);
    CHECK_EQ(getpgid(plain), own_group);
    int before = get(&shared->hits);
    MUST(kill(-shared->group_without_leader, SIGUSR1));
    wait_until(&shared->hits, before + 2);
    note("round %d: two hits", i);
  }
  add(&shared->leaving);
  CHECK_EQ(reap(plain), 7);
  CHECK_EQ(reap(leader), 7);
  for (int i = 0; i < 2; i++) {
    int status;
    MUST(waitpid(-1, &status, 0));
    CHECK_EQ(WEXITSTATUS(status), 7);
  }
  CHECK(waitpid(-1, nullptr, 0) == -1 && errno == ECHILD);
  finish();
}
