// std::sort of numbers and std::stable_sort of structures, comparisons inlined.
#include <algorithm>
#include <vector>

#include "../kernel.h"

constexpr int kCount = 1600000;

struct Pair {
  uint32_t key, value;
};

static size_t n;
static std::vector<uint32_t> numbers;
static std::vector<Pair> pairs;

static void prepare() { n = static_cast<size_t>(scaled(kCount)); }
static void fill() {}

static void work() {
  uint64_t state = 5;
  numbers.clear();
  pairs.clear();
  for (size_t i = 0; i < n; ++i) {
    numbers.push_back(next_random(&state));
    pairs.push_back({next_random(&state) % 1000, static_cast<uint32_t>(i)});
  }
  std::sort(numbers.begin(), numbers.end());
  std::stable_sort(pairs.begin(), pairs.end(), [](const Pair& a, const Pair& b) { return a.key < b.key; });
}

static double sum() {
  double total = 0;
  for (size_t i = 0; i < n; ++i) total += numbers[i] * static_cast<double>(i % 7) + pairs[i].value % 11;
  return total;
}
