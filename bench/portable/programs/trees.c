// Binary trees of small pieces of the heap: malloc and free.
#include "../kernel.h"

struct node {
  struct node *left, *right;
};

static int depth;
static long total;

static void prepare(void) { depth = 20 - (100 - percent) / 10; }
static void fill(void) { total = 0; }

static struct node* grow(int levels) {
  struct node* n = malloc(sizeof *n);
  if (!n) abort();
  n->left = levels ? grow(levels - 1) : 0;
  n->right = levels ? grow(levels - 1) : 0;
  return n;
}

static long count(const struct node* n) { return n ? 1 + count(n->left) + count(n->right) : 0; }

static void fell(struct node* n) {
  if (!n) return;
  fell(n->left);
  fell(n->right);
  free(n);
}

static void work(void) {
  struct node* lasting = grow(depth);
  for (int levels = 4; levels <= depth; levels += 4)
    for (int i = 0; i < 1 << (depth - levels); ++i) {
      struct node* tree = grow(levels);
      total += count(tree);
      fell(tree);
    }
  total += count(lasting);
  fell(lasting);
}
static double sum(void) { return (double)total; }
