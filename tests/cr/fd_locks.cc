// cr: locks on files: flock through fork, POSIX ranges of two processes, open file description locks, a blocked waiter
#include <sys/file.h>

#include "util/step.h"

static int set(int fd, int command, short type, off_t start, off_t length) {
  struct flock l = {};
  l.l_type = type;
  l.l_whence = SEEK_SET;
  l.l_start = start;
  l.l_len = length;
  return fcntl(fd, command, &l);
}
/// Who holds a write-conflicting lock there: 0 nobody, -1 a description, else a pid.
static pid_t holder(int fd, off_t start) {
  struct flock l = {};
  l.l_type = F_WRLCK;
  l.l_whence = SEEK_SET;
  l.l_start = start;
  l.l_len = 1;
  MUST(fcntl(fd, F_OFD_GETLK, &l));
  return l.l_type == F_UNLCK ? 0 : l.l_pid;
}

int main() {
  int whole = MUST(open(scratch("whole"), O_RDWR | O_CREAT, 0600));
  int ranges = MUST(open(scratch("ranges"), O_RDWR | O_CREAT, 0600));
  int owned = MUST(open(scratch("ranges"), O_RDWR));
  MUST(flock(whole, LOCK_EX));
  MUST(set(ranges, F_SETLK, F_WRLCK, 0, 10));
  MUST(set(ranges, F_SETLK, F_RDLCK, 20, 5));
  MUST(set(owned, F_OFD_SETLK, F_WRLCK, 100, 0));  // to the end
  int talk[2], done[2];
  MUST(pipe(talk));
  MUST(pipe(done));
  pid_t child = spawn([&] {
    int mine = MUST(open("ranges", O_RDWR));
    MUST(set(mine, F_SETLK, F_WRLCK, 50, 10));
    CHECK(write(done[1], "x", 1) == 1);
    char c;
    for (int i = 0; i < steps(); i++) {
      CHECK(read(talk[0], &c, 1) == 1);
      CHECK_EQ(holder(mine, 0), getppid());
      CHECK_EQ(holder(mine, 21), getppid());
      CHECK_EQ(holder(mine, 15), 0);
      CHECK_EQ(set(mine, F_SETLK, F_WRLCK, 5, 1), -1);
      int other = MUST(open("whole", O_RDWR));
      CHECK_EQ(flock(other, LOCK_SH | LOCK_NB), -1);
      CHECK_EQ(flock(whole, LOCK_EX | LOCK_NB), 0);  // the same description as the parent's: already ours
      close(other);
      CHECK(write(done[1], "x", 1) == 1);
    }
    CHECK(read(talk[0], &c, 1) == 1);  // its lock goes with it
    return 0;
  });
  // Waits for the first range until the end.
  pid_t waiter = spawn([&] {
    int mine = MUST(open("ranges", O_RDWR));
    int r;
    do r = set(mine, F_SETLKW, F_WRLCK, 0, 1);
    while (r < 0 && errno == EINTR);
    return r == 0 ? 9 : 1;
  });
  char c;
  CHECK(read(done[0], &c, 1) == 1);
  int probe = MUST(open(scratch("ranges"), O_RDWR));
  ready();
  for (int i = 0; i < steps(); i++) {
    CHECK(write(talk[1], "x", 1) == 1);
    step();
    CHECK(read(done[0], &c, 1) == 1);
    CHECK_EQ(holder(probe, 9), getpid());
    CHECK_EQ(holder(probe, 10), 0);
    CHECK_EQ(holder(probe, 55), child);
    CHECK_EQ(holder(probe, 99), 0);
    CHECK_EQ(holder(probe, 1000), -1);
    // One that comes and goes.
    MUST(set(ranges, F_SETLK, i % 2 == 0 ? F_WRLCK : F_UNLCK, 30, 3));
    note("round %d", i);
  }
  CHECK(write(talk[1], "x", 1) == 1);
  CHECK_EQ(reap(child), 0);
  CHECK_EQ(holder(probe, 55), 0);
  MUST(set(ranges, F_SETLK, F_UNLCK, 0, 10));
  CHECK_EQ(reap(waiter), 9);
  finish();
}
