/* qsort and bsearch's other half.
 *
 * musl sorts by smoothsort, in place and in n log n at worst, but with twice the comparisons; each is a call through a thunk with a
 * look behind it. Merging needs the fewest, and moves whole words. It needs room for half of the elements: from the stack
 * when that is little, else from malloc; when there is none, it sorts by heap, in place.
 *
 * The comparison may stop, be moved, throw or jump: all that this keeps is in its variables. (An exception or a longjmp out of the
 * comparison loses the room, as with glibc.) */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef int (*compare2)(const void*, const void*);
typedef int (*compare3)(const void*, const void*, void*);

struct order {
  compare2 two;
  compare3 three; /* when `two` is null */
  void* argument;
};

enum { kRun = 6, kOnStack = 1024 };

#define INLINE static inline __attribute__((always_inline))

INLINE int greater(const struct order* o, const char* a, const char* b) {
  return (o->two ? o->two(a, b) : o->three(a, b, o->argument)) > 0;
}

INLINE void copy(char* to, const char* from, size_t size) {
  if (size == 8)
    __builtin_memcpy(to, from, 8);
  else if (size == 4)
    __builtin_memcpy(to, from, 4);
  else
    memcpy(to, from, size);
}

INLINE void insert_all(char* base, size_t n, size_t size, const struct order* o, char* room) {
  for (size_t i = 1; i < n; i++) {
    char* at = base + i * size;
    if (!greater(o, at - size, at)) continue;
    copy(room, at, size);
    do {
      copy(at, at - size, size);
      at -= size;
    } while (at > base && greater(o, at - size, room));
    copy(at, room, size);
  }
}

/* Two sorted halves into one: the left one moves to `room` first. Stable. */
INLINE void merge(char* base, size_t left, size_t n, size_t size, const struct order* o, char* room) {
  char *a = room, *b = base + left * size, *to = base;
  char *end_a = room + left * size, *end_b = base + n * size;
  if (!greater(o, b - size, b)) return;
  memcpy(room, base, left * size);
  while (a < end_a && b < end_b) {
    if (greater(o, a, b)) {
      copy(to, b, size);
      b += size;
    } else {
      copy(to, a, size);
      a += size;
    }
    to += size;
  }
  memcpy(to, a, (size_t)(end_a - a));
}

INLINE void merge_sort(char* base, size_t n, size_t size, const struct order* o, char* room) {
  for (size_t i = 0; i < n; i += kRun) insert_all(base + i * size, n - i < kRun ? n - i : kRun, size, o, room);
  for (size_t width = kRun; width < n; width *= 2)
    for (size_t i = 0; n - i > width; i += 2 * width) {
      const size_t both = n - i < 2 * width ? n - i : 2 * width;
      merge(base + i * size, width, both, size, o, room);
      if (both < 2 * width) break;
    }
}

/* The common sizes each get a body in which copying an element is one load and one store. */
static void sort_with(char* base, size_t n, size_t size, const struct order* o, char* room) {
  if (size == 8)
    merge_sort(base, n, 8, o, room);
  else if (size == 4)
    merge_sort(base, n, 4, o, room);
  else
    merge_sort(base, n, size, o, room);
}

static void swap(char* a, char* b, size_t size) {
  for (; size; size--, a++, b++) {
    const char t = *a;
    *a = *b;
    *b = t;
  }
}

static void sift(char* base, size_t root, size_t n, size_t size, const struct order* o) {
  for (size_t child; (child = 2 * root + 1) < n; root = child) {
    if (child + 1 < n && greater(o, base + (child + 1) * size, base + child * size)) child++;
    if (!greater(o, base + child * size, base + root * size)) return;
    swap(base + root * size, base + child * size, size);
  }
}

static void heap_sort(char* base, size_t n, size_t size, const struct order* o) {
  for (size_t i = n / 2; i-- > 0;) sift(base, i, n, size, o);
  for (size_t i = n; i-- > 1;) {
    swap(base, base + i * size, size);
    sift(base, 0, i, size, o);
  }
}

static void sort(void* base, size_t n, size_t size, const struct order* o) {
  if (n < 2 || !size) return;
  /* The left half of the last merge is the larger one: up to n - 1 elements. */
  if (size <= kOnStack && n <= kOnStack / size) {
    char room[kOnStack];
    sort_with(base, n, size, o, room);
    return;
  }
  char* room = n <= SIZE_MAX / size ? malloc(n * size) : 0;
  if (!room) {
    heap_sort(base, n, size, o);
    return;
  }
  sort_with(base, n, size, o, room);
  free(room);
}

void qsort(void* base, size_t n, size_t size, compare2 compare) {
  const struct order o = {.two = compare};
  sort(base, n, size, &o);
}

void qsort_r(void* base, size_t n, size_t size, compare3 compare, void* argument) {
  const struct order o = {.three = compare, .argument = argument};
  sort(base, n, size, &o);
}
