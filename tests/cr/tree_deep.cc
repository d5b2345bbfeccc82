// cr: a chain of 12 processes, each the child of the last, that pass a token through pipes
#include "util/step.h"

static constexpr int kDepth = 12;

// Each generation reads a number from above, adds its own, and hands the answer from below up again.
static int generation(int depth, int from_above, int to_above, pid_t parent) {
  int down[2] = {-1, -1}, up[2] = {-1, -1};
  pid_t child = 0;
  if (depth < kDepth) {
    MUST(pipe2(down, O_CLOEXEC));
    MUST(pipe2(up, O_CLOEXEC));
    pid_t self = getpid();
    child = spawn([&] {
      close(down[1]);
      close(up[0]);
      return generation(depth + 1, down[0], up[1], self);
    });
    close(down[0]);
    close(up[1]);
  }
  pid_t self = getpid();
  for (;;) {
    int value;
    ssize_t n = read(from_above, &value, sizeof value);
    if (n == 0) break;
    CHECK_EQ(n, sizeof value);
    CHECK_EQ(getpid(), self);
    CHECK_EQ(getppid(), parent);
    value = value * 2 + depth;
    if (child) {
      CHECK(write(down[1], &value, sizeof value) == sizeof value);
      CHECK(read(up[0], &value, sizeof value) == sizeof value);
    }
    CHECK(write(to_above, &value, sizeof value) == sizeof value);
  }
  if (child) {
    close(down[1]);
    CHECK_EQ(reap(child), 0);
  }
  return 0;
}

int main() {
  int down[2], up[2];
  MUST(pipe2(down, O_CLOEXEC));
  MUST(pipe2(up, O_CLOEXEC));
  pid_t self = getpid();
  pid_t child = spawn([&] {
    close(down[1]);
    close(up[0]);
    return generation(1, down[0], up[1], self);
  });
  close(down[0]);
  close(up[1]);
  ready();
  for (int i = 0; i < steps(); i++) {
    int value = i;
    CHECK(write(down[1], &value, sizeof value) == sizeof value);
    step();
    CHECK(read(up[0], &value, sizeof value) == sizeof value);
    note("round %d: %d", i, value);
  }
  close(down[1]);
  CHECK_EQ(reap(child), 0);
  finish();
}
