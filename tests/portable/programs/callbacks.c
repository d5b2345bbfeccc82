// Calls back out of the C library: qsort inside of a comparison of qsort, bsearch, trees of tsearch, a walk in a walk,
// tables of functions that call each other, regular expressions between.
#include <regex.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "step.h"

struct row {
  int values[7];
  int key;
};
static int depth, deepest;
static int by_value(const void* a, const void* b) {
  int x = *(const int*)a, y = *(const int*)b;
  if ((x ^ y) % 16 == 0) step();
  return (x > y) - (x < y);
}
// The median, by sorting a copy: a sort inside of each comparison.
static int median(const struct row* r) {
  int copy[7];
  memcpy(copy, r->values, sizeof copy);
  if (++depth > deepest) deepest = depth;
  qsort(copy, 7, sizeof *copy, by_value);
  depth--;
  return copy[3];
}
static int by_median(const void* a, const void* b) {
  int x = median(a), y = median(b);
  if (x != y) return x < y ? -1 : 1;
  return by_value(&((const struct row*)a)->key, &((const struct row*)b)->key);
}

static int by_name(const void* a, const void* b) {
  step();
  return strcmp(a, b);
}
static long visited;
static const char* prefix = "n1";
static void inner(const void* node, VISIT v, int level) {
  (void)level;
  if (v == leaf || v == postorder) visited += (*(char* const*)node)[1] + step();
}
static void* root;
static void outer(const void* node, VISIT v, int level) {
  (void)level;
  if (v != leaf && v != postorder) return;
  if (strncmp(*(char* const*)node, prefix, 2) == 0) twalk(root, inner);
  visited = (visited * 3 + 1) % 1000003;
}

typedef struct object {
  const struct methods* its;
  int n;
} object;
struct methods {
  int (*visit)(object*, int (*)(object*, int), int);
  const char* name;
};
static int half(object* o, int (*k)(object*, int), int acc);
static int triple(object* o, int (*k)(object*, int), int acc);
static const struct methods halving = {half, "half"}, tripling = {triple, "triple"};
static int half(object* o, int (*k)(object*, int), int acc) {
  o->n /= 2;
  o->its = o->n % 2 ? &tripling : &halving;
  return k(o, acc + 1) + 1;
}
static int triple(object* o, int (*k)(object*, int), int acc) {
  o->n = 3 * o->n + 1;
  o->its = &halving;
  return k(o, acc + 2) - 1;
}
static int visit(object* o, int acc) {
  if (o->n == 1) return acc + step();
  return o->its->visit(o, visit, acc);
}

int main(void) {
  struct row rows[60];
  unsigned seed = 1;
  for (int i = 0; i < 60; i++) {
    rows[i].key = i;
    for (int k = 0; k < 7; k++) rows[i].values[k] = (int)((seed = seed * 1103515245 + 12345) >> 20);
  }
  qsort(rows, 60, sizeof *rows, by_median);
  for (int i = 0; i < 60; i += 7) printf("%d:%d ", rows[i].key, median(&rows[i]));
  printf("\n%d\n", deepest);
  int sorted[100], key = 51;
  for (int i = 0; i < 100; i++) sorted[i] = i * 3;
  int* found = bsearch(&key, sorted, 100, sizeof *sorted, by_value);
  printf("%d\n", found ? (int)(found - sorted) : -1);

  static char names[40][8];
  for (int i = 0; i < 40; i++) {
    sprintf(names[i], "n%d", i * 17 % 40);
    tsearch(names[i], &root, by_name);
  }
  twalk(root, outer);
  for (int i = 0; i < 40; i += 3) tdelete(names[i], &root, by_name);
  visited = visited % 1000003;
  twalk(root, inner);
  printf("%ld %s\n", visited, tfind("n39", &root, by_name) ? "there" : "gone");

  for (int n = 5; n < 60; n += 9) {
    object o = {n % 2 ? &tripling : &halving, n};
    printf("%d ", visit(&o, 0));
  }
  printf("\n");

  regex_t r;
  regmatch_t m[4];
  if (regcomp(&r, "([a-z]+)([0-9]{2,})((x|yz)*)$", REG_EXTENDED)) return 1;
  static const char* const texts[] = {"abc123xyzx", "abc1", "--q99", "ab12cd345yzyzyz", ""};
  for (int i = 0; i < 5; i++) {
    int no = regexec(&r, texts[i], 4, m, 0);
    printf("%s: %d", texts[i], no);
    for (int k = 0; k < 4 && !no; k++) printf(" %d-%d", (int)m[k].rm_so, (int)m[k].rm_eo);
    printf("\n");
  }
  regfree(&r);
  return 0;
}
