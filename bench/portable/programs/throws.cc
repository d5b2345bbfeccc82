// Exceptions that pass some frames with destructors; three calls of four return as usual.
#include <stdexcept>

#include "../kernel.h"

constexpr int kCalls = 480000;

static int n;
static long total;

static void prepare() { n = scaled(kCalls); }
static void fill() { total = 0; }

struct Guard {
  explicit Guard(long by) : by_(by) { total += by_; }
  ~Guard() { total -= by_ - 1; }
  long by_;
};

__attribute__((noinline)) static long deep(int levels, int i) {
  const Guard guard(levels);
  if (levels) return deep(levels - 1, i) + 1;
  if (i % 4 == 0) throw std::runtime_error("a fourth");
  return i;
}

static void work() {
  for (int i = 0; i < n; ++i) {
    try {
      total += deep(i % 8, i) % 3;
    } catch (const std::exception& e) {
      total += e.what()[0];
    }
  }
}
static double sum() { return static_cast<double>(total); }
