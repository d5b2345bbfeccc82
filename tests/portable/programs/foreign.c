// What a processor with another byte order, or with narrow addresses, would do otherwise by itself: bytes of numbers, marks in the
// upper bits of pointers, atomics of all sizes, 128-bit integers and floating point, native functions called through pointers.
// Compared with itself: long double has 80 bits on x86-64 natively.
#include <complex.h>
#include <float.h>
#include <math.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "step.h"

static uint64_t sum_of(const void* memory, size_t size) {
  uint64_t h = 14695981039346656037u;
  for (size_t i = 0; i < size; i++) h = (h ^ ((const unsigned char*)memory)[i]) * 1099511628211u;
  step();
  return h;
}

struct all {
  char c;
  short s;
  int i : 13;
  unsigned j : 19;
  long l;
  float f;
  double d;
  long double e;
  _Bool b;
  uint64_t wide : 41;
  struct all* self;
};
static struct all first = {'a', -2, -3, 4, -5000000000, 1.5f, -2.25, 3.125L, 1, 0x1aaaaaaaaaa, &first};
static const struct all* const pointers[] = {&first, NULL, (struct all*)-1, &first + 1};
static const char* const names[] = {"zero", &"anonymous"[3], NULL};

static void bytes(void) {
  struct all copy;
  memset(&copy, 0, sizeof copy);
  copy.c = first.c, copy.s = first.s, copy.i = first.i, copy.j = first.j, copy.l = first.l, copy.f = first.f,
  copy.d = first.d;
  copy.b = first.b, copy.wide = first.wide;
  printf("%016lx\n", (unsigned long)sum_of(&copy, offsetof(struct all, e)));
  union {
    uint64_t n;
    unsigned char b[8];
    uint16_t h[4];
    double d;
  } u = {.n = 0x0102030405060708};
  printf("%d %d %x %g\n", u.b[0], u.b[7], u.h[1], u.d);
  u.b[7] = 0x40;
  u.h[0]++;
  printf("%lx %g\n", (unsigned long)u.n, u.d);
  unsigned char stream[32];
  uint32_t n = 0xdeadbeef;
  memcpy(stream + 1, &n, 4);
  printf("%x %x %Lg %d %lx\n", stream[1], stream[4], first.e, first.i + (int)first.j, (unsigned long)first.wide);
  printf("%s %s %d\n", names[0], names[1], names[2] == NULL);
}

static void marks(void) {
  struct all* marked[4];
  for (uintptr_t i = 0; i < 4; i++) marked[i] = (struct all*)((uintptr_t)&first | i << 60 | i);
  step();
  for (uintptr_t i = 0; i < 4; i++) {
    uintptr_t n = (uintptr_t)marked[i];
    const struct all* clean = (struct all*)(n & 0x0ffffffffffffff0);
    printf("%lu %lu %d\n", (unsigned long)(n >> 60), (unsigned long)(n & 3), clean->self == pointers[0]);
  }
  printf("%d %d %ld\n", pointers[2] == (void*)-1, (intptr_t)pointers[2] == -1, (long)(pointers[3] - pointers[0]));
  uint64_t box = 0xfff8000000000000u | (uintptr_t)&first;
  step();
  printf("%d\n", (struct all*)(box & 0xffffffffffff) == &first);
}

static _Atomic uint8_t a8;
static _Atomic uint16_t a16;
static uint16_t plain16;
static _Atomic int a32;
static _Atomic uint64_t a64;
static _Atomic double ad;
static _Atomic(struct all*) ap;
static void atomics(void) {
  for (int i = 0; i < 20; i++) {
    atomic_fetch_add(&a8, 13);
    atomic_fetch_sub(&a16, 777);
    atomic_fetch_xor(&a32, i << 20 | i);
    atomic_fetch_add(&a64, 0x1234567890);
    atomic_fetch_or(&a64, 1ull << (i * 3));
    __atomic_fetch_nand(&plain16, (uint16_t)(i * 99), __ATOMIC_SEQ_CST);
    double seen = atomic_load(&ad);
    while (!atomic_compare_exchange_weak(&ad, &seen, seen + 0.5)) {
    }
    ap = i % 2 ? &first : ap;
    if (i == 10) step();
  }
  int expected = 5;
  _Bool swapped = atomic_compare_exchange_strong(&a32, &expected, 1);
  printf("%d %d %d %d %lx %g %d %d %d\n", a8, a16, plain16, a32, (unsigned long)a64, ad, ap == &first, swapped,
         expected == a32);
  printf("%lx\n", (unsigned long)atomic_exchange(&a64, 7));
}

static void wide(int n) {
  __int128 x = (__int128)0x123456789abcdef0 * n * -1000000007, y = x / 12345678901234567, z = x % 12345678901234567;
  unsigned __int128 u = (unsigned __int128)x >> 37 | (unsigned __int128)n << 99;
  step();
  printf("%lx %lx %ld %ld %lx %lx\n", (long)(x >> 64), (long)x, (long)y, (long)z, (long)(u >> 64), (long)u);
  u = u / ((unsigned __int128)n << 40) + u % 1000003;
  printf("%lx %lx %g %g %ld\n", (long)(u >> 64), (long)u, (double)x, (double)(float)u, (long)(__int128)(1e30 / n));
  printf("%d %d\n", x<0, u>(unsigned __int128) x);
}

static void floating(int n) {
  long double a = n / 7.0L, b = -3.7e4000L, c = 1e-4940L, d = sqrtl(2.0L * n);
  step();
  printf("%.33Lg %.33Lg %.33Lg %.33Lg\n", a, b, c, d);
  printf("%.33Lg %.33Lg %.33Lg %.33Lg\n", a + d, a - d, a * d, a / d);
  printf("%La %La %.20Lg\n", a * b, c / 1e10L, fmodl(b, 1e3990L));
  printf("%ld %lu %d %u\n", (long)(a * 1e15L), (unsigned long)(a * 1e16L), (int)-a, (unsigned)(a * 1e6L));
  printf("%.17g %.9g %Lg %Lg\n", (double)a, (double)(float)d, (long double)0.1, (long double)1.1f);
  printf("%d%d%d%d %d%d%d\n", a<d, a> d, a <= a, a != d, isnan(b - b * 1e1000L), (long double)NAN == NAN,
         isinf(b * b) != 0);
  printf("%Lg %Lg %Lg\n", (long double)LDBL_MIN / 1024, (long double)(n * 123456789L), (long double)(uint64_t)-n);
  printf("%.30Lg %.30Lg %.30Lg\n", expl(a), powl(d, 3.5L), strtold("0x1.fffffffffffffffffffffffffff8p+10", NULL));
  printf("%g %g %.9g\n", (double)(float)(double)(1.0L + 0x1p-24L), (double)(4.9e-324L * 3 / 4), (double)(float)1e-42L);
  double complex z = cexp(1.0 + n * I) * (2 - 3 * I);
  printf("%.15g %.15g\n", creal(z), cimag(z));
}

// The C library's own functions of the runtime, where a compiler can't see which.
static int (*volatile compare)(const char*, const char*) = strcmp;
static size_t (*volatile length)(const char*) = strlen;
static void* (*volatile find)(const void*, int, size_t) = memchr;
static char* (*volatile find_in)(const char*, int) = strchr;
static int (*volatile compare_memory)(const void*, const void*, size_t) = memcmp;
static void* (*volatile copy)(void*, const void*, size_t) = memcpy;
static void* (*volatile fill)(void*, int, size_t) = memset;
static int sign(int n) { return (n > 0) - (n < 0); }
static void natives(void) {
  char text[100] = "some text of some length, with a mark ~ in it";
  step();
  printf("%d %d %zu\n", sign(compare(text, "some text")), sign(compare("a", "b")), length(text));
  printf("%td %td %d\n", (char*)find(text, '~', sizeof text) - text, find_in(text, ',') - text,
         find(text, '~', 5) == NULL);
  printf("%d %d\n", sign(compare_memory("abcdefgh1234567z", "abcdefgh1234567a", 16)), compare_memory(text, text, 40));
  printf("%s\n", (char*)copy(text + 50, text, 9) - 0);
  printf("%c%c\n", *(char*)fill(text, 'q', 3), text[3]);
  for (int i = 0; i < 40; i++) {
    char a[64], b[64];
    memset(a, 'x', 64);
    memcpy(b, a, 64);
    a[i + 9] = 0;
    b[i + 7] = 'y';
    if (strlen(a) != (size_t)i + 9 || (char*)memchr(b, 'y', 64) != b + i + 7 || memcmp(a, b, 64) >= 0 ||
        strcmp(a, b) >= 0)
      printf("wrong at %d\n", i);
  }
}

int main(void) {
  bytes();
  marks();
  atomics();
  wide(3);
  wide(977);
  floating(3);
  floating(1000);
  natives();
  return 6;
}
