// The library's containers, algorithms and strings, whose templates are instrumented with the program.
#include <algorithm>
#include <array>
#include <bitset>
#include <charconv>
#include <cstdio>
#include <deque>
#include <forward_list>
#include <list>
#include <map>
#include <memory_resource>
#include <numeric>
#include <queue>
#include <random>
#include <ranges>
#include <regex>
#include <set>
#include <span>
#include <stack>
#include <string>
#include <string_view>
#include <tuple>
#include <unordered_map>
#include <unordered_set>
#include <valarray>
#include <vector>

static unsigned seed = 7;
static int number() {
  seed = seed * 1103515245u + 12345u;
  return static_cast<int>(seed >> 10) % 10000;
}

int main() {
  std::map<std::string, int> ordered;
  std::unordered_map<std::string, std::vector<int>> hashed;
  std::vector<std::string> keys;
  for (int i = 0; i < 300; i++) {
    std::string s = "key" + std::to_string(number() % 997);
    ordered[s] += i;
    hashed[s.substr(0, 5)].push_back(i);
    keys.push_back(s);
  }
  std::sort(keys.begin(), keys.end(),
            [](const auto& a, const auto& b) { return a.size() != b.size() ? a.size() < b.size() : a < b; });
  unsigned mixed = 0;
  for (const auto& k : keys)
    for (char c : k) mixed = mixed * 31 + static_cast<unsigned char>(c);
  for (const auto& [k, v] : ordered) mixed = mixed * 17 + static_cast<unsigned>(v);
  std::size_t total = 0;
  for (const auto& [k, v] : hashed) total += v.size() * k.size();
  std::printf("%u %zu %zu %zu\n", mixed, ordered.size(), hashed.size(), total);

  std::vector<int> numbers(2000);
  std::generate(numbers.begin(), numbers.end(), number);
  auto copy = numbers;
  std::stable_sort(copy.begin(), copy.end(), [](int a, int b) { return a % 100 < b % 100; });
  std::nth_element(numbers.begin(), numbers.begin() + 1000, numbers.end());
  std::printf("median %d first %d last %d\n", numbers[1000], copy.front(), copy.back());
  std::make_heap(copy.begin(), copy.end());
  std::sort_heap(copy.begin(), copy.end());
  copy.erase(std::unique(copy.begin(), copy.end()), copy.end());
  std::printf("distinct %zu found %d sum %ld\n", copy.size(), std::binary_search(copy.begin(), copy.end(), 4242),
              std::accumulate(copy.begin(), copy.end(), 0L));
  auto evens = copy | std::views::filter([](int x) { return x % 2 == 0; }) |
               std::views::transform([](int x) { return x / 2; }) | std::views::take(50);
  int halves = 0;
  for (const int x : evens) halves += x;
  std::printf("ranges %d\n", halves);
  std::array<int, 6> permuted{1, 2, 3, 4, 5, 6};
  int permutations = 0;
  do permutations += permuted[0] < permuted[5];
  while (std::next_permutation(permuted.begin(), permuted.end()));
  std::printf("permutations %d\n", permutations);

  std::list<int> list(copy.begin(), copy.begin() + 100);
  list.reverse();
  list.sort([](int a, int b) { return a % 7 < b % 7; });
  std::forward_list<int> forward(list.begin(), list.end());
  forward.remove_if([](int x) { return x % 3 == 0; });
  std::deque<int> deque(forward.begin(), forward.end());
  for (int i = 0; i < 100; i++) deque.push_front(deque.back()), deque.pop_back();
  std::priority_queue<int, std::vector<int>, std::greater<>> queue(deque.begin(), deque.end());
  std::stack<int> stack;
  while (queue.size() > 10) stack.push(queue.top()), queue.pop();
  std::multiset<double> multi{2.5, 1.5, 2.5, 3.5};
  std::unordered_set<int> set(copy.begin(), copy.end());
  std::bitset<100> bits;
  for (int x : list) bits.set(static_cast<std::size_t>(x) % 100);
  std::printf("%zu %d %d %zu %zu %zu\n", deque.size(), queue.top(), stack.top(), multi.count(2.5), set.size(),
              bits.count());

  std::string text = "The quick brown fox jumps over the lazy dog; 12 foxes, 345 dogs.";
  std::regex pattern(R"((\w+)\s+(fox|dog)\w*)");
  for (std::sregex_iterator at(text.begin(), text.end(), pattern), end; at != end; ++at)
    std::printf("[%s|%s] ", at->str(1).c_str(), at->str(2).c_str());
  std::printf("%s\n", std::regex_replace(text, std::regex("[0-9]+"), "<$&>").c_str());
  for (int i = 0; i < 30; i++) text.insert(static_cast<std::size_t>(i * 2), 1, static_cast<char>('A' + i % 26));
  std::reverse(text.begin(), text.end());
  std::printf("%s %zu %zu\n", text.c_str(), text.find("fox"),
              std::string_view(text).substr(10, 30).find_first_of("xyz"));

  char buffer[64];
  for (double d : {0.1, 1e100, 123456.789, 5e-324, 2.0 / 3}) {
    auto end = std::to_chars(buffer, buffer + sizeof buffer, d).ptr;
    std::printf("%.*s ", static_cast<int>(end - buffer), buffer);
    end = std::to_chars(buffer, buffer + sizeof buffer, d, std::chars_format::scientific, 5).ptr;
    std::printf("%.*s\n", static_cast<int>(end - buffer), buffer);
  }
  int parsed = 0;
  const char* digits = "31337 rest";
  auto rest = std::from_chars(digits, digits + 10, parsed);
  std::printf("%d%s %d %g\n", parsed, rest.ptr, std::stoi("-77"), std::stod("2.5e3"));

  std::mt19937 twister(5);
  unsigned long random = 0;
  for (int i = 0; i < 700; i++) random ^= twister() * static_cast<unsigned long>(i);
  std::valarray<double> values{1, 2, 3, 4};
  values = values * values + 0.5;
  std::printf("%lu %g\n", random, values.sum());
  std::byte room[8192];
  std::pmr::monotonic_buffer_resource pool(room, sizeof room);
  std::pmr::vector<std::pmr::string> strings(&pool);
  for (int i = 0; i < 40; i++) strings.emplace_back("a string that is too long for its own room " + std::to_string(i));
  std::printf("%zu %s\n", strings.size(), strings.back().c_str());
  auto [lowest, highest] = std::minmax_element(numbers.begin(), numbers.end());
  std::printf("%d %d %s\n", *lowest, *highest, std::get<1>(std::tuple(1, "tuple")));
}
