/* What all kernels and programs of this benchmark share: main(), which times work() and prints
 *
 *   wall NS cpu NS sum X       the best of the repeats: CLOCK_MONOTONIC, CLOCK_PROCESS_CPUTIME_ID; what sum() says afterwards
 *
 * usage: PROGRAM [PERCENT [REPEATS [WORKS]]]
 *   PERCENT of the full size (100), in each dimension · REPEATS of fill() + work() · WORKS per repeat (1): two of them
 *   where one was tell by the difference what one costs, in a count of instructions.
 *
 * Each file defines prepare() (rooms, sizes by scaled()), fill() (what work() starts from; not timed), work() and sum().
 * Sizes are constants where C wants them in types, and variables in loops: one program for all PERCENTs.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static void prepare(void);
static void fill(void);
static void work(void) __attribute__((noinline)); /* so that its size can be told */
static double sum(void);

static int percent = 100;

/* `full` at the size that was asked for: a multiple of 4, so that small sizes don't measure the rests of vector loops. */
static inline int scaled(int full) {
  const int size = (int)((long)full * percent / 100) & ~3;
  return size < 8 ? 8 : size;
}

/* Not inlined: clang, which knows malloc, would make an array of a pointer that is set once. */
__attribute__((noinline, unused)) static void* room(size_t bytes) {
  void* got = malloc(bytes);
  if (!got) abort();
  memset(got, 0, bytes);
  return got;
}

/* Of a symmetric matrix of n rows, so heavy on its diagonal that it is positive definite. */
static inline double heavy(int i, int j, int n) { return i == j ? n : 1.0 / (1 + (i > j ? i - j : j - i)); }

/* The same numbers everywhere. */
static inline uint32_t next_random(uint64_t* state) {
  *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
  return (uint32_t)(*state >> 33);
}

static inline double sum_of(const double* values, size_t count) {
  double total = 0;
  for (size_t i = 0; i < count; ++i) total += values[i] * (double)(i % 7 + 1);
  return total;
}

static long now(clockid_t clock) {
  struct timespec t;
  clock_gettime(clock, &t);
  return t.tv_sec * 1000000000L + t.tv_nsec;
}

int main(int argc, char** argv) {
  if (argc > 1) percent = atoi(argv[1]);
  const int repeats = argc > 2 ? atoi(argv[2]) : 1;
  const int works = argc > 3 ? atoi(argv[3]) : 1;
  long wall = 0;
  long cpu = 0;
  prepare();
  for (int i = 0; i < repeats; ++i) {
    fill();
    const long wall_before = now(CLOCK_MONOTONIC);
    const long cpu_before = now(CLOCK_PROCESS_CPUTIME_ID);
    for (int k = 0; k < works; ++k) work();
    const long cpu_used = now(CLOCK_PROCESS_CPUTIME_ID) - cpu_before;
    const long wall_used = now(CLOCK_MONOTONIC) - wall_before;
    if (i == 0 || cpu_used < cpu) cpu = cpu_used;
    if (i == 0 || wall_used < wall) wall = wall_used;
  }
  printf("wall %ld cpu %ld sum %.12g\n", wall, cpu, sum());
  return 0;
}
