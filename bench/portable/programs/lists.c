// Linked lists: walk, turn round, sort by merging.
#include "../kernel.h"

#define N 160000
#define ROUNDS 3

struct item {
  struct item* next;
  int value;
};

static int n;
static struct item* items;
static uint64_t total;

static void prepare(void) {
  n = scaled(N);
  items = room(sizeof(struct item) * N);
}
static void fill(void) { total = 0; }

static struct item* turned(struct item* list) {
  struct item* to = 0;
  while (list) {
    struct item* next = list->next;
    list->next = to;
    to = list;
    list = next;
  }
  return to;
}

static struct item* merged(struct item* a, struct item* b) {
  struct item head = {0, 0};
  struct item* last = &head;
  while (a && b) {
    struct item** from = a->value <= b->value ? &a : &b;
    last->next = *from;
    last = *from;
    *from = last->next;
  }
  last->next = a ? a : b;
  return head.next;
}

static struct item* sorted(struct item* list) {
  if (!list || !list->next) return list;
  struct item *slow = list, *fast = list->next;
  while (fast && fast->next) {
    slow = slow->next;
    fast = fast->next->next;
  }
  struct item* half = slow->next;
  slow->next = 0;
  return merged(sorted(list), sorted(half));
}

static void work(void) {
  for (int round = 0; round < ROUNDS; ++round) {
    uint64_t state = (uint64_t)round;
    for (int i = 0; i < n; ++i) {
      items[i].next = i + 1 < n ? &items[i + 1] : 0;
      items[i].value = (int)next_random(&state);
    }
    struct item* list = turned(sorted(items));
    for (int pass = 0; pass < 4; ++pass)
      for (const struct item* i = list; i; i = i->next) total = total * 3 + (uint64_t)i->value;
  }
}
static double sum(void) { return (double)(total >> 12); }
