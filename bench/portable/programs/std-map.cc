// Words counted in a std::map and a std::unordered_map: strings, trees, small allocations.
#include <map>
#include <string>
#include <unordered_map>

#include "../kernel.h"

constexpr int kWords = 400000;

static int n;
static uint64_t total;

static void prepare() { n = scaled(kWords); }
static void fill() { total = 0; }

static std::string word(uint32_t number) {
  std::string text;
  for (; number; number /= 26) text += static_cast<char>('a' + number % 26);
  return text + "-with-an-end";
}

static void work() {
  uint64_t state = 11;
  std::map<std::string, int> sorted;
  std::unordered_map<std::string, int> hashed;
  for (int i = 0; i < n; ++i) {
    ++sorted[word(next_random(&state) % 20000)];
    ++hashed[word(next_random(&state) % 20000)];
  }
  for (const auto& [text, count] : sorted) total = total * 31 + text.size() * static_cast<uint64_t>(count);
  for (const auto& [text, count] : hashed) total += text.size() * static_cast<uint64_t>(count);
}
static double sum() { return static_cast<double>(total >> 12); }
