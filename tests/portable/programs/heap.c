// Memory from malloc in use while a thread stops: an AVL tree that grows and shrinks, a hash table that is made larger,
// growing arrays, aligned blocks, lists that are freed in another order; all of it checked by its content.
#include <malloc.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "step.h"

static uint32_t seed = 1;
static uint32_t any(void) { return seed = seed * 1664525 + 1013904223, seed >> 8; }

struct node {
  struct node* next[2];
  int key, height;
  char* text;
};
static int height(const struct node* n) { return n ? n->height : 0; }
static void measure(struct node* n) {
  int l = height(n->next[0]), r = height(n->next[1]);
  n->height = 1 + (l > r ? l : r);
}
static struct node* rotate(struct node* n, int side) {
  struct node* up = n->next[side];
  n->next[side] = up->next[!side];
  up->next[!side] = n;
  measure(n);
  measure(up);
  return up;
}
static struct node* balance(struct node* n) {
  measure(n);
  for (int side = 0; side < 2; side++) {
    struct node* s = n->next[side];
    if (height(s) <= height(n->next[!side]) + 1) continue;
    if (height(s->next[!side]) > height(s->next[side])) n->next[side] = rotate(s, !side);
    return rotate(n, side);
  }
  return n;
}
static struct node* insert(struct node* n, int key) {
  if (!n) {
    n = calloc(1, sizeof *n);
    n->key = key;
    n->text = malloc((size_t)(key % 90 + 12));
    sprintf(n->text, "%d:%d", key, step());
    n->height = 1;
    return n;
  }
  if (key != n->key) n->next[key > n->key] = insert(n->next[key > n->key], key);
  return balance(n);
}
static struct node* take_first(struct node* n, struct node** first) {
  if (!n->next[0]) return *first = n, n->next[1];
  n->next[0] = take_first(n->next[0], first);
  return balance(n);
}
static struct node* drop(struct node* n, int key) {
  if (!n) return NULL;
  if (key != n->key) {
    n->next[key > n->key] = drop(n->next[key > n->key], key);
    return balance(n);
  }
  struct node *left = n->next[0], *right = n->next[1], *first = NULL;
  free(n->text);
  free(n);
  if (!right) return left;
  right = take_first(right, &first);
  first->next[0] = left;
  first->next[1] = right;
  return balance(first);
}
static uint64_t digest(const struct node* n, uint64_t sum) {
  if (!n) return sum;
  sum = digest(n->next[0], sum);
  for (const char* c = n->text; *c; c++) sum = sum * 31 + (uint64_t)*c;
  return digest(n->next[1], sum + (uint64_t)n->height);
}

struct table {
  size_t used, size;
  struct pair {
    char* key;
    long value;
  }* pairs;
};
static struct pair* find(struct table* t, const char* key) {
  size_t h = 5381;
  for (const char* c = key; *c; c++) h = h * 33 ^ (unsigned char)*c;
  while (t->pairs[h % t->size].key && strcmp(t->pairs[h % t->size].key, key) != 0) h++;
  return &t->pairs[h % t->size];
}
static void count(struct table* t, const char* key) {
  if (t->used * 2 >= t->size) {
    struct table larger = {0, t->size ? t->size * 2 : 8, calloc(t->size ? t->size * 2 : 8, sizeof(struct pair))};
    for (size_t i = 0; i < t->size; i++)
      if (t->pairs[i].key) *find(&larger, t->pairs[i].key) = t->pairs[i], larger.used++;
    free(t->pairs);
    *t = larger;
    step();
  }
  struct pair* p = find(t, key);
  if (!p->key) p->key = strdup(key), t->used++;
  p->value++;
}

int main(void) {
  struct node* tree = NULL;
  for (int i = 0; i < 900; i++) {
    int key = (int)(any() % 700);
    tree = i % 3 == 2 ? drop(tree, key) : insert(tree, key);
    if (i % 300 == 299) printf("%d %llx\n", height(tree), (unsigned long long)digest(tree, 0));
  }
  struct table words = {0};
  char word[8];
  for (int i = 0; i < 3000; i++) {
    snprintf(word, sizeof word, "%x", any() % 600);
    count(&words, word);
  }
  long most = 0, sum = 0;
  for (size_t i = 0; i < words.size; i++) {
    sum += words.pairs[i].value;
    if (words.pairs[i].value > most) most = words.pairs[i].value;
  }
  printf("%zu %ld %ld %ld\n", words.used, sum, most, find(&words, "2a")->value);
  int* grown = NULL;
  for (int i = 0; i < 200000; i++) {
    if ((i & (i - 1)) == 0) {
      grown = realloc(grown, sizeof *grown * (size_t)(i ? 2 * i : 1));
      step();
    }
    grown[i] = i;
  }
  uint64_t total = 0;
  for (int i = 0; i < 200000; i++) total = total * 7 + (uint64_t)grown[i];
  grown = realloc(grown, 100 * sizeof *grown);
  printf("%llx %d\n", (unsigned long long)total, grown[99]);
  void* blocks[64];
  int wrong = 0;
  for (int i = 0; i < 64; i++) {
    size_t align = (size_t)16 << (i % 9), size = any() % 5000 + 1;
    if (posix_memalign(&blocks[i], align, size) || (uintptr_t)blocks[i] % align || malloc_usable_size(blocks[i]) < size)
      wrong++;
    memset(blocks[i], i, size);
    step();
  }
  for (int i = 0; i < 64; i++) {
    int at = i * 37 % 64;
    wrong += *(char*)blocks[at] != at;
    free(blocks[at]);
  }
  printf("%d\n", wrong);
  return 0;
}
