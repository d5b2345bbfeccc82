// Counts the words of a genome: for each length how many different ones there are, and the most frequent ones. Strings, hash tables,
// sorting, a file that is read line by line, exceptions: what a C++ program is made of.
//
// usage: words FILE.fna LONGEST        lengths from 4 on; a line each
#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace {

class Genome {
 public:
  explicit Genome(const std::string& path) : in_(path) {
    if (!in_) throw std::runtime_error("can't read " + path);
  }
  /// The next line of bases; false at the end.
  bool next(std::string& line) {
    while (std::getline(in_, line))
      if (!line.empty() && line.front() != '>') return true;
    return false;
  }

 private:
  std::ifstream in_;
};

struct Unknown : std::runtime_error {
  explicit Unknown(char base) : std::runtime_error(std::string("a base that isn't known: ") + base) {}
};

void check(std::string_view word) {
  for (const char c : word)
    if (std::string_view("ACGT").find(c) == std::string_view::npos) throw Unknown(c);
}

struct Counts {
  std::unordered_map<std::string, unsigned> words;
  unsigned long all = 0, skipped = 0;
};

std::unique_ptr<Counts> count(const std::string& path, size_t length) {
  auto counts = std::make_unique<Counts>();
  Genome genome(path);
  std::string line, before;
  while (genome.next(line)) {
    line.insert(0, before);
    for (size_t i = 0; i + length <= line.size(); i += 3) {
      const std::string word = line.substr(i, length);
      try {
        check(word);
        counts->words[word]++;
        counts->all++;
      } catch (const Unknown&) {
        counts->skipped++;
      }
    }
    before = line.substr(line.size() - std::min(line.size(), length - 1));
  }
  return counts;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  try {
    for (size_t length = 4; length <= static_cast<size_t>(std::atoi(argv[2])); length++) {
      const auto counts = count(argv[1], length);
      std::vector<std::pair<std::string, unsigned>> sorted(counts->words.begin(), counts->words.end());
      std::sort(sorted.begin(), sorted.end(), [](const auto& a, const auto& b) {
        return a.second != b.second ? a.second > b.second : a.first < b.first;
      });
      std::cout << "words of " << length << ": " << counts->all << ", " << sorted.size() << " different, "
                << counts->skipped << " left out;";
      for (size_t i = 0; i < std::min<size_t>(3, sorted.size()); i++)
        std::cout << ' ' << sorted[i].first << ' ' << sorted[i].second;
      std::cout << std::endl;
    }
  } catch (const std::exception& e) {
    std::cerr << e.what() << '\n';
    return 1;
  }
}
