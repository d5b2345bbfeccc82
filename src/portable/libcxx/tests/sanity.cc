// What `check` links: something of each part of the library.
#include <atomic>
#include <charconv>
#include <chrono>
#include <condition_variable>
#include <filesystem>
#include <format>
#include <fstream>
#include <future>
#include <iostream>
#include <map>
#include <memory_resource>
#include <mutex>
#include <random>
#include <regex>
#include <shared_mutex>
#include <sstream>
#include <stdexcept>
#include <thread>
#include <unordered_map>
#include <vector>

struct Base {
  virtual ~Base() = default;
};
struct Derived : virtual Base {
  int number = 1;
};

static std::string& name() {
  static std::string made = std::to_string(1.5) + std::format("{:>8.3f}", 2.5);
  return made;
}

int main(int argc, char**) {
  std::vector<std::thread> threads;
  std::mutex lock;
  std::condition_variable ready;
  std::atomic<int> done{0};
  threads.emplace_back([&] {
    const std::scoped_lock hold(lock);
    done.store(1);
    done.notify_all();
    ready.notify_all();
  });
  for (auto& t : threads) t.join();
  std::map<std::string, int> words{{name(), 1}};
  std::unordered_map<std::string, int> counts{{name(), 2}};
  std::pmr::vector<int> numbers(std::pmr::get_default_resource());
  try {
    const std::unique_ptr<Base> object = std::make_unique<Derived>();
    numbers.push_back(dynamic_cast<Derived&>(*object).number);
    if (argc > 1) throw std::runtime_error("argument");
    std::stoi("none");
  } catch (const std::exception& trouble) {
    std::cerr << trouble.what() << '\n';
  }
  auto later = std::async([] { return std::filesystem::current_path().string(); });
  std::wcout << L"wide\n";
  std::cout << later.get() << words.size() << counts.size() << std::regex_match("aab", std::regex("a*b"))
            << std::random_device()() << std::chrono::steady_clock::now().time_since_epoch().count();
  std::ifstream("/dev/null") >> name();
}
