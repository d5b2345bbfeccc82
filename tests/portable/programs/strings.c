// mem* and str* against loops that anybody can read: all alignments, lengths around the blocks that they work by, ends of pages; and
// the allocator and the sort: sizes, alignments, realloc, calloc, threads apart; stable order, every element size, a nested sort.
#include <malloc.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static unsigned seed = 12345;
static unsigned next(void) { return seed = seed * 1103515245u + 12345u, seed >> 8; }
static int sign(int x) { return (x > 0) - (x < 0); }
static int failures;
#define CHECK(what)                                                    \
  do {                                                                 \
    if (!(what)) failures++, printf("line %d: %s\n", __LINE__, #what); \
  } while (0)

static void searches(char* end) {
  for (int length = 0; length < 70; length++)
    for (int before = 0; before < 20; before++) {
      char* text = end - length - 1 - before % 17;
      for (int i = 0; i < length; i++) text[i] = (char)('a' + next() % 4);
      text[length] = 0;
      const int wanted = 'a' + before % 5;
      int at = 0;
      while (at < length && text[at] != wanted) at++;
      CHECK(strlen(text) == (size_t)length);
      CHECK(strchr(text, wanted) == (at < length ? text + at : NULL));
      CHECK(strchr(text, 0) == text + length);
      CHECK(memchr(text, wanted, (size_t)length) == (at < length ? text + at : NULL));
      if (at < length) CHECK(memchr(text, wanted, SIZE_MAX) == text + at);
      char other[80];
      memcpy(other, text, (size_t)length + 1);
      CHECK(strcmp(text, other) == 0 && memcmp(text, other, (size_t)length + 1) == 0);
      if (length == 0) continue;
      const int change = (int)(next() % (unsigned)length);
      other[change] = (char)(next() % 255 + 1);
      const int expected = sign((unsigned char)text[change] - (unsigned char)other[change]);
      CHECK(sign(strcmp(text, other)) == expected);
      CHECK(sign(memcmp(text, other, (size_t)length)) == expected);
    }
}

static void copies(void) {
  static unsigned char from[600], to[600], expected[600];
  for (int round = 0; round < 3000; round++) {
    for (int i = 0; i < 600; i++) from[i] = (unsigned char)next(), to[i] = expected[i] = (unsigned char)i;
    const size_t n = next() % 300, a = next() % 300, b = next() % 300;
    memcpy(to + a, from + b, n);
    for (size_t i = 0; i < n; i++) expected[a + i] = from[b + i];
    CHECK(memcmp(to, expected, 600) == 0);
    memmove(to + b, to + a, n);
    unsigned char part[300];
    for (size_t i = 0; i < n; i++) part[i] = expected[a + i];
    for (size_t i = 0; i < n; i++) expected[b + i] = part[i];
    CHECK(memcmp(to, expected, 600) == 0);
    memset(to + a, (int)n, b);
    for (size_t i = 0; i < b; i++) expected[a + i] = (unsigned char)n;
    CHECK(memcmp(to, expected, 600) == 0);
  }
}

static void allocations(void) {
  enum { N = 300 };
  static unsigned char* blocks[N];
  static size_t sizes[N];
  for (int round = 0; round < 20000; round++) {
    const unsigned k = next() % N;
    const size_t size = next() % 50 ? next() % 3000 : next() % 3000000;
    for (size_t i = 0; i < sizes[k] && i < 64; i++) CHECK(blocks[k][i] == (unsigned char)(k + i));
    if (next() % 3 == 0) {
      blocks[k] = realloc(blocks[k], size + 1);
      const size_t kept = size < sizes[k] ? size : sizes[k];
      for (size_t i = 0; i < kept && i < 64; i++) CHECK(blocks[k][i] == (unsigned char)(k + i));
    } else {
      free(blocks[k]);
      const size_t align = (size_t)16 << next() % 9;
      if (next() % 4 == 0) {
        CHECK(posix_memalign((void**)&blocks[k], align, size + 1) == 0);
        CHECK((uintptr_t)blocks[k] % align == 0);
      } else {
        blocks[k] = calloc(size + 1, 1);
        for (size_t i = 0; i < size; i += 97) CHECK(blocks[k][i] == 0);
      }
    }
    CHECK(malloc_usable_size(blocks[k]) >= size + 1);
    for (size_t i = 0; i < size && i < 64; i++) blocks[k][i] = (unsigned char)(k + i);
    if (size > 64) blocks[k][size - 1] = 1;
    sizes[k] = size > 64 ? 64 : size;
  }
  for (int k = 0; k < N; k++) free(blocks[k]), blocks[k] = NULL, sizes[k] = 0;
  volatile size_t vast = SIZE_MAX / 2, half = SIZE_MAX / 2 + 1;
  void* volatile none = malloc(vast), * volatile nothing = calloc(half, 2);  // else a compiler knows better
  CHECK(none == NULL && nothing == NULL);
}

static size_t width;
static int by_first(const void* a, const void* b) { return sign(*(const unsigned char*)a - *(const unsigned char*)b); }
static int nested(const void* a, const void* b) {
  unsigned char x[9] = {5, 1, 4, 2, 3, 9, 7, 8, 6};
  qsort(x, 9, 1, by_first);
  return by_first(a, b) + (x[0] != 1);
}
static void sorts(void) {
  static unsigned char elements[2000 * 24];
  const size_t widths[] = {1, 3, 4, 8, 16, 24};
  for (unsigned w = 0; w < sizeof widths / sizeof *widths; w++)
    for (size_t n = 0; n < 2000; n = n * 3 + 1) {
      width = widths[w];
      unsigned sum = 0, after = 0;
      for (size_t i = 0; i < n * width; i++) sum += elements[i] = (unsigned char)next();
      qsort(elements, n, width, n < 100 ? nested : by_first);
      for (size_t i = 0; i + 1 < n; i++) CHECK(elements[i * width] <= elements[(i + 1) * width]);
      for (size_t i = 0; i < n * width; i++) after += elements[i];
      CHECK(sum == after);
    }
}

int main(void) {
  char* pages = mmap(0, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  mprotect(pages + 4096, 4096, PROT_NONE);
  for (int round = 0; round < 4; round++) {
    searches(pages + 4096);
    copies();
    allocations();
    sorts();
    printf("round %d: %d failures\n", round, failures);
  }
  return failures != 0;
}
