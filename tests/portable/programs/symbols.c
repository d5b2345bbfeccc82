// What a linker and a loader do for a program: weak symbols that are defined and that aren't, aliases, constructors in order,
// objects without a size or with a large alignment, tables of addresses, addresses compared, thread-locals with addresses.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "step.h"

extern int missing(int) __attribute__((weak));
extern int missing_object __attribute__((weak));
__attribute__((weak, noinline)) int present(int x) { return x + step(); }
static int real_one(int x) { return x * 2 + step(); }
extern int alias(int) __attribute__((alias("real_one")));
int shared_value = 77;
extern int shared_alias __attribute__((alias("shared_value")));
int common_value;

static struct {
} nothing, nothing_more;
static int no_elements[0];
static _Alignas(8192) char page[3];
static _Alignas(64) const short table[5] = {1, 2, 3, 4, 5};
static const short* const middle = &table[2];
static int (*const functions[])(int) = {present, real_one, alias, missing, abs};
static struct node {
  const struct node* next;
  int (*f)(int);
  const char* name;
} first, last = {&first, real_one, "last"}, first = {&last, abs, "first"};
static _Thread_local const struct node* of_thread = &last;
static _Thread_local struct {
  _Alignas(64) char c[70];
  int n;
} aligned_of_thread = {"thread", 5};

static char order[16];
static int ordered;
static void add(char c) {
  order[ordered++] = c;
  step();
}
__attribute__((constructor(300))) static void third(void) { add('c'); }
__attribute__((constructor)) static void last_one(void) { add('d'); }
__attribute__((constructor(101))) static void very_first(void) { add('a'); }
__attribute__((constructor(200))) static void second(void) { add('b'); }
__attribute__((destructor)) static void at_end(void) {
  step();
  printf("destructor\n");
}
static void at_exit(void) {
  step();
  printf("at exit\n");
}
static void registered(void) {
  printf("registered while exiting\n");
  step();
}
static void at_exit_first(void) {
  atexit(registered);
  step();
}

static _Noreturn __attribute__((noinline)) void finish(int status) {
  step();
  exit(status);
}

__attribute__((noinline)) static int same(int (*f)(int), int (*g)(int)) { return f == g; }

// Values of all kinds that live across a call.
typedef float vector4 __attribute__((ext_vector_type(4)));
typedef short vector8 __attribute__((vector_size(16)));
typedef char vector32 __attribute__((vector_size(32)));
typedef double vector3 __attribute__((ext_vector_type(3)));
typedef _Bool bools __attribute__((ext_vector_type(8)));
__attribute__((noinline)) static double values(int n) {
  vector4 a = {1, 2, 3, (float)n};
  vector8 b = {1, 2, 3, 4, 5, 6, 7, (short)n};
  vector32 c = {0};
  vector3 d = {1.5, 2.5, n};
  unsigned _BitInt(17) e = (unsigned _BitInt(17))n;
  _BitInt(100) f = (_BitInt(100))n << 80;
  _Bool g = n & 1, h = n & 2;
  bools k = {g, h, 1, g};
  for (int i = 0; i < n; i++) {
    c[i % 32] = (char)(c[i % 32] + step());
    a = a * 0.5f + a.wxyz;
    b += (b > (short)i) & b;
    d += d.zxy;
    e += (unsigned _BitInt(17))(step() << 12);
    f -= step();
    g ^= h & (step() > i);
    k[i % 8] = k[(i + 3) % 8] ^ h;
  }
  return (double)a[0] + b[7] + c[3] + d.y + (double)(unsigned)e + (double)(long)(f >> 60) + g + h + k[1];
}

int main(void) {
  printf("%s %d %d\n", order, missing != NULL, &missing_object != NULL);
  if (missing) printf("%d\n", missing(1));
  for (int i = 0; i < 5; i++)
    if (functions[i]) printf("%d: %d\n", i, functions[i](-i));
  int (*volatile f)(int) = alias;
  printf("%d %d %d\n", same(f, real_one), same(f, present), same(functions[3], NULL));
  shared_alias++;
  common_value += shared_value;
  printf("%d %d %zu %zu\n", common_value, *middle, sizeof nothing + sizeof nothing_more, sizeof no_elements);
  step();
  printf("%d %d\n", (int)((uintptr_t)page % 8192), (int)((uintptr_t)&aligned_of_thread % 64));
  for (const struct node* n = of_thread; n != of_thread->next->next->next; n = n->next)
    printf("%s %d\n", n->name, n->f(-3));
  of_thread = of_thread->next;
  aligned_of_thread.c[step()] = '!';
  printf("%s %s%c %d\n", of_thread->name, aligned_of_thread.c, aligned_of_thread.c[8], aligned_of_thread.n);
  printf("%.9g %.9g\n", values(9), values(14));
  atexit(at_exit);
  atexit(at_exit_first);
  finish(step() + 1);
}
