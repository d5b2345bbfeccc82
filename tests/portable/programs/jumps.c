// setjmp and longjmp: out of deep recursion, nested, in a loop with several buffers, an interpreter's error handling, volatile and
// other variables, sigsetjmp with a mask, a jump over frames that were moved meanwhile.
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static jmp_buf top;
static int depth_reached;

static int burrow(int depth, int limit) {
  char local[32];
  snprintf(local, sizeof local, "level %d", depth);
  depth_reached = depth;
  if (depth == limit) longjmp(top, depth + (int)strlen(local));
  return burrow(depth + 1, limit) + local[0];
}

struct handler {
  jmp_buf buffer;
  struct handler* outer;
  int code;
};
static struct handler* current;
static _Noreturn void fail(int code) {
  current->code = code;
  longjmp(current->buffer, 1);
}
static int protected_call(int (*f)(int), int x, int* failed) {
  struct handler h = {.outer = current};
  current = &h;
  int result = 0;
  *failed = setjmp(h.buffer);
  if (!*failed) result = f(x);
  current = h.outer;
  return *failed ? h.code : result;
}
static int collatz(int x) {
  int steps = 0;
  while (x != 1) {
    if (steps > 60) fail(x);
    x = x % 2 ? 3 * x + 1 : x / 2;
    steps++;
  }
  return steps;
}
static int nested(int x) {
  int failed;
  const int r = protected_call(collatz, x, &failed);
  if (failed && r % 3 == 0) fail(-r);
  return failed ? 1000 + r : r;
}

static int several(void) {
  jmp_buf marks[4];
  volatile int seen = 0, i;
  for (i = 0; i < 4; i++)
    if (setjmp(marks[i])) {
      seen = seen * 10 + i;
      break;
    }
  if (seen < 1000) longjmp(marks[(seen * 7 + 2) % 4], 1);
  return seen;
}

// A loop whose round ends with a call that jumps.
static jmp_buf seventh;
static int calls;
static __attribute__((noinline)) void jump_each_seventh(void) {
  if (++calls % 7 == 0) longjmp(seventh, calls);
}
static int loop_of_jumps(void) {
  volatile int sum = 0;
  sum += setjmp(seventh);
  while (calls < 70) jump_each_seventh();
  return sum;
}

static int with_mask(void) {
  sigset_t set, old;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  sigprocmask(SIG_SETMASK, &set, 0);
  sigjmp_buf buffer;
  const int again = sigsetjmp(buffer, 1);
  if (!again) {
    sigaddset(&set, SIGUSR2);
    sigprocmask(SIG_SETMASK, &set, 0);
    siglongjmp(buffer, 5);
  }
  sigprocmask(SIG_SETMASK, 0, &old);
  return again * 100 + sigismember(&old, SIGUSR1) * 10 + sigismember(&old, SIGUSR2);
}

int main(void) {
  for (int round = 0; round < 20; round++) {
    volatile int kept = round;
    int value = setjmp(top);
    if (value == 0) burrow(0, 20 + round * 3);
    printf("%d: %d %d %d\n", round, value, depth_reached, kept);
    int failed;
    const int r = protected_call(nested, 27 + round, &failed);
    printf("  %d %d, %d\n", r, failed, current == NULL);
  }
  printf("%d %d %d\n", several(), with_mask(), loop_of_jumps());
  return 0;
}
