// Structures and unions of all sizes as arguments, results and variable arguments, also through pointers to functions; each
// callee stops in its middle.
#include <complex.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "step.h"

#define SIZES(X) \
  X(1) X(2) X(3) X(4) X(5) X(7) X(8) X(9) X(12) X(15) X(16) X(17) X(23) X(24) X(31) X(32) X(33) X(40) X(64) X(200)
#define DEFINE(n)                                                                                 \
  struct s##n {                                                                                   \
    unsigned char b[n];                                                                           \
  };                                                                                              \
  __attribute__((noinline)) static struct s##n turn##n(struct s##n a, int by, struct s##n* old) { \
    *old = a;                                                                                     \
    struct s##n r;                                                                                \
    for (int i = 0; i < n; i++) r.b[(i + by) % n] = (unsigned char)(a.b[i] + step());             \
    a.b[0] ^= 1;                                                                                  \
    return r;                                                                                     \
  }                                                                                               \
  static void test##n(void) {                                                                     \
    struct s##n (*volatile f)(struct s##n, int, struct s##n*) = turn##n;                          \
    struct s##n x, old;                                                                           \
    for (int i = 0; i < n; i++) x.b[i] = (unsigned char)(i * 7 + n);                              \
    struct s##n y = f(turn##n(x, 1, &old), 2, &old);                                              \
    unsigned sum = 0;                                                                             \
    for (int i = 0; i < n; i++) sum = sum * 31 + y.b[i] + old.b[i] * 3 + x.b[i];                  \
    printf("%d: %u\n", n, sum);                                                                   \
  }
SIZES(DEFINE)

struct floats {
  float a, b;
};
struct mixed {
  double d;
  int i;
};
struct reversed {
  int8_t i;
  float f;
};
struct one {
  double d;
};
struct quad {
  long double q;
  int i;
};
union any {
  double d;
  uint64_t u;
  float f[2];
  struct {
    char c;
    short s;
  } p;
};
struct nested {
  union any a;
  struct floats f;
};
struct aligned {
  _Alignas(32) int i;
  char c;
};

__attribute__((noinline)) static struct floats floats(struct floats a, float b) {
  step();
  return (struct floats){a.b + b, a.a - b};
}
__attribute__((noinline)) static struct mixed mixed(struct mixed a, struct reversed b, struct one c) {
  int i = step();
  return (struct mixed){a.d * c.d + (double)b.f, a.i + b.i + i};
}
__attribute__((noinline)) static struct quad quad(struct quad a, struct quad* b) {
  step();
  return (struct quad){a.q + b->q / 4, a.i - b->i};
}
__attribute__((noinline)) static struct nested nested(union any a, struct nested n) {
  step();
  n.a.u ^= a.u;
  n.f.a += a.f[1];
  return n;
}
__attribute__((noinline)) static struct aligned aligned(struct aligned a, int i) {
  struct aligned r = a;
  r.i += step() + i + (int)((uintptr_t)&r % 32);
  return r;
}
__attribute__((noinline)) static double complex turned(double complex z, float complex w) {
  step();
  return z * I + w;
}

// Eight and more arguments: some in registers, some on the native stack.
__attribute__((noinline)) static long many(char a, struct s3 b, long c, struct s16 d, double e, struct s17 f, float g,
                                           int h, struct s9 i, long double j, short k, union any l, __int128 m,
                                           struct mixed n) {
  int s = step();
  return a + b.b[2] + c + d.b[15] + (long)e + f.b[16] + (long)g + h + i.b[8] + (long)j + k + l.p.s + (long)(m >> 64) +
         n.i + s;
}

__attribute__((noinline)) static double variable(const char* kinds, ...) {
  va_list ap, copy;
  va_start(ap, kinds);
  va_copy(copy, ap);
  double sum = 0;
  for (int round = 0; round < 2; round++) {
    va_list* from = round ? &copy : &ap;
    for (const char* k = kinds; *k; k++) {
      sum += step();
      switch (*k) {
        case 'c': sum += (char)va_arg(*from, int); break;
        case 'i': sum += va_arg(*from, int); break;
        case 'l': sum += (double)va_arg(*from, long); break;
        case 'd': sum += va_arg(*from, double); break;
        case 'q': sum += (double)va_arg(*from, long double); break;
        case 'h': sum += (double)(long)(va_arg(*from, __int128) >> 64); break;
        case '1': sum += va_arg(*from, struct s1).b[0]; break;
        case '3': sum += va_arg(*from, struct s3).b[2]; break;
        case '9': sum += va_arg(*from, struct s9).b[8]; break;
        case '6': sum += va_arg(*from, struct s16).b[15]; break;
        case '7': sum += va_arg(*from, struct s17).b[16]; break;
        case '4': sum += va_arg(*from, struct s40).b[39]; break;
        case 'm': sum += va_arg(*from, struct mixed).d; break;
        case 'f': sum += (double)va_arg(*from, struct floats).b; break;
        case 'Q': sum += (double)va_arg(*from, struct quad).q; break;
        case 'u': sum += (double)va_arg(*from, union any).u; break;
        case 'p': sum += *va_arg(*from, int*); break;
      }
    }
  }
  va_end(ap);
  va_end(copy);
  return sum;
}

int main(void) {
#define TEST(n) test##n();
  SIZES(TEST)
  struct floats f = floats(floats((struct floats){1.5f, 2.25f}, 0.5f), 8);
  struct mixed m = mixed((struct mixed){1.25, 7}, (struct reversed){-3, 0.125f}, (struct one){4});
  struct quad q = {1.0L / 8, 5}, q2 = quad(quad(q, &q), &q);
  struct nested n = nested((union any){.f = {1, 2}}, (struct nested){{.d = 3.5}, f});
  struct aligned a = aligned(aligned((struct aligned){1, 'x'}, 2), 3);
  double complex z = turned(turned(1 + 2 * I, 3 - 1 * I), 0.5f);
  printf("%g %g %g %d %.30Lg %d %llx %g %d%c %g %g\n", (double)f.a, (double)f.b, m.d, m.i, q2.q, q2.i,
         (unsigned long long)n.a.u, (double)n.f.a, a.i, a.c, creal(z), cimag(z));
  struct s3 b3 = {{1, 2, 3}};
  struct s9 b9 = {{9, 8, 7, 6, 5, 4, 3, 2, 1}};
  struct s16 b16 = {{[15] = 16}};
  struct s17 b17 = {{[16] = 17}};
  struct s40 b40 = {{[39] = 40}};
  union any u = {.p = {1, 77}};
  int i = 1000;
  long (*volatile p)(char, struct s3, long, struct s16, double, struct s17, float, int, struct s9, long double, short,
                     union any, __int128, struct mixed) = many;
  printf("%ld\n", p(-1, b3, 1L << 40, b16, 2.5, b17, 3.5f, -9, b9, 4.5L, -2, u, (__int128)-3 << 64, m));
  double (*volatile v)(const char*, ...) = variable;
  printf("%.17g\n", v("cild1q3hd9Qi6m7c4fup", -1, 2, 3L << 33, 4.5, (struct s1){{5}}, 6.25L, b3, (__int128)7 << 64, 8.0,
                      b9, q, 10, b16, m, b17, 'x', b40, f, (union any){.u = 12}, &i));
  printf("%.17g %.17g\n", variable(""), variable("qiqdq", 1.0L, 2, 3.0L, 4.0, 5.0L));
  return 0;
}
