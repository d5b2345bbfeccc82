// A hash table with open addressing that grows: put, find, remove.
#include "../kernel.h"

#define N 2000000

struct slot {
  uint64_t key; /* 0: free, 1: removed */
  uint64_t value;
};
struct table {
  struct slot* slots;
  size_t mask, used;
};

static int n;
static uint64_t total;

static void prepare(void) { n = scaled(N); }
static void fill(void) { total = 0; }

static uint64_t hash(uint64_t key) {
  key ^= key >> 33;
  key *= UINT64_C(0xff51afd7ed558ccd);
  key ^= key >> 33;
  return key;
}

static struct slot* find(const struct table* t, uint64_t key) {
  for (size_t i = hash(key) & t->mask;; i = (i + 1) & t->mask)
    if (t->slots[i].key == key || t->slots[i].key == 0) return &t->slots[i];
}

static void grow(struct table* t, size_t size) {
  const struct table old = *t;
  t->slots = room(size * sizeof *t->slots);
  t->mask = size - 1;
  t->used = 0;
  for (size_t i = 0; old.slots && i <= old.mask; ++i)
    if (old.slots[i].key > 1) {
      *find(t, old.slots[i].key) = old.slots[i];
      ++t->used;
    }
  free(old.slots);
}

static void put(struct table* t, uint64_t key, uint64_t value) {
  if ((t->used + 1) * 2 > t->mask) grow(t, (t->mask + 1) * 2);
  struct slot* s = find(t, key);
  if (s->key == 0) ++t->used;
  s->key = key;
  s->value = value;
}

static void work(void) {
  struct table t = {0, 0, 0};
  grow(&t, 16);
  uint64_t state = 7;
  for (int i = 0; i < n; ++i) put(&t, next_random(&state) % (uint64_t)n + 2, (uint64_t)i);
  for (int i = 0; i < n; ++i) {
    struct slot* s = find(&t, (uint64_t)i + 2);
    if (s->key == 0) continue;
    total += s->value;
    if (i % 3 == 0) s->key = 1;
  }
  for (int i = 0; i < n; ++i) total += find(&t, (uint64_t)i + 2)->key;
  free(t.slots);
}
static double sum(void) { return (double)total; }
