// What the C language has and a frame must carry: recursion, pointers to locals, function pointers, variable arguments, VLAs,
// alloca, computed goto, bit-fields, unions, complex numbers, long double, __int128, over-aligned variables, thread-local
// variables, switch tables, static initialisers with addresses, atomics, structures by value.
#include <alloca.h>
#include <complex.h>
#include <stdalign.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef int (*binary)(int, int);
static int add(int a, int b) { return a + b; }
static int mul(int a, int b) { return a * b; }
static const struct {
  const char* name;
  binary f;
  int* where;
} table[] = {{"add", add, NULL}, {"mul", mul, NULL}};
static int hidden;
static int* const hidden_at = &hidden;
_Thread_local long of_thread = 41;
static _Thread_local char buffer_of_thread[16] = "thread";
static atomic_ulong counter;

struct pair {
  long a;
  double b;
};
struct big {
  int v[20];
};
struct bits {
  unsigned a : 3;
  int b : 7;
  unsigned long long c : 40;
};

static struct pair swap(struct pair p) { return (struct pair){(long)p.b, (double)p.a}; }
static struct big fill(struct big b, int x) {
  for (int i = 0; i < 20; i++) b.v[i] += x * i;
  return b;
}
static long sum(int n, ...) {
  va_list ap, again;
  va_start(ap, n);
  va_copy(again, ap);
  long s = 0;
  for (int i = 0; i < n; i++) {
    if (i % 3 == 0)
      s += va_arg(ap, int);
    else if (i % 3 == 1)
      s += (long)va_arg(ap, double);
    else
      s += va_arg(ap, long);
    atomic_fetch_add(&counter, 1);
  }
  s += va_arg(again, int);
  va_end(again);
  va_end(ap);
  return s;
}
static int ackermann(int m, int n) {
  return m == 0 ? n + 1 : n == 0 ? ackermann(m - 1, 1) : ackermann(m - 1, ackermann(m, n - 1));
}
static void through(int depth, int* out) {
  int local[4] = {depth, depth + 1, depth + 2, depth + 3};
  if (depth > 0) through(depth - 1, &local[depth % 4]);
  for (int i = 0; i < 4; i++) *out += local[i];
}
static int goto_machine(const char* program) {
  static void* const labels[] = {&&inc, &&dec, &&twice, &&end};
  int v = 0;
  const char* p = program;
#define NEXT goto* labels[*p++ - 'a']
  NEXT;
inc:
  v++;
  NEXT;
dec:
  v--;
  NEXT;
twice:
  v *= 2;
  NEXT;
end:
  return v;
}
static double vla(int n) {
  double a[n][n];
  double s = 0;
  for (int i = 0; i < n; i++)
    for (int j = 0; j < n; j++) a[i][j] = i * 0.5 + j;
  for (int r = 0; r < 3; r++) {
    char* t = alloca((size_t)n + 1);
    memset(t, 'a' + r, (size_t)n);
    t[n] = 0;
    through(3, &(int){0});
    s += (double)strlen(t) + a[r % n][(r * 7) % n];
  }
  return s;
}
static int switches(int x) {
  switch (x % 9) {
    case 0: return 3;
    case 1: return switches(x / 2);
    case 2: return 1;
    case 5: return 4;
    case 7: return switches(x - 1) + 1;
    default: return x;
  }
}

int main(void) {
  long total = 0;
  for (int round = 0; round < 40; round++) {
    for (unsigned i = 0; i < 2; i++) total += table[i].f(round, 3) + (long)strlen(table[i].name);
    binary f = round % 2 ? add : mul;
    total += f(round, round);
    (*hidden_at)++;
    of_thread += round;
    buffer_of_thread[round % 6]++;
    struct pair p = swap((struct pair){round, round * 1.5});
    struct big b = fill((struct big){{round}}, round);
    struct bits s = {.a = (unsigned)round, .b = -round, .c = (1ull << 39) + (unsigned)round};
    union {
      double d;
      uint64_t u;
      unsigned char c[8];
    } u = {.d = round * 1.25};
    total += p.a + (long)p.b + b.v[19] + s.a + s.b + (long)(s.c >> 36) + u.c[6];
    alignas(64) char aligned[64];
    total += (uintptr_t)aligned % 64 == 0;
    through(6, &hidden);
    double complex z = (1 + round * I) * (2 - I);
    long double l = 1.0L / (round + 3);
    __int128 wide = (__int128)round * 0x123456789abcdefLL * 1000003;
    total += sum(5, round, 2.5, 3L, 4, 5.5) + ackermann(2, round % 7) + goto_machine("aaacabcad") + switches(round);
    printf("%d: %ld %d %ld %s %.3f %.3f %.15Lg %lld %.2f %lu\n", round, total, hidden, of_thread, buffer_of_thread,
           creal(z), cimag(z), l, (long long)(wide >> 20), vla(round % 5 + 2), atomic_load(&counter));
  }
  return (int)(total % 100);
}
