// Grows a real genome into a database, and cuts queries out of it: in-silico evolution with a seed.
//
//     mutate database --seed 1 --bases 400M < genome.fna > database.fna
//     mutate queries --seed 2 --count 300 --length 900 < genome.fna > queries.fna
//
// A database is many descendants of the genome. Each is cut into pieces of about a quarter of a million bases, put
// together again in another order, some of them reversed; then bases are substituted, inserted and deleted at a rate
// that grows from descendant to descendant (1 % to 30 %). So a search finds near and far relatives of each query, as it
// does in a database of real strains. The same seed gives the same bytes on every machine: no floating point is used.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

namespace {

// xoshiro256**, seeded by splitmix64.
class Random {
 public:
  explicit Random(uint64_t seed) {
    for (auto& word : state_) {
      seed += 0x9e3779b97f4a7c15u;
      uint64_t z = seed;
      z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
      z = (z ^ z >> 27) * 0x94d049bb133111ebu;
      word = z ^ z >> 31;
    }
  }
  uint64_t next() {
    uint64_t result = rotate(state_[1] * 5, 7) * 9, t = state_[1] << 17;
    state_[2] ^= state_[0];
    state_[3] ^= state_[1];
    state_[1] ^= state_[2];
    state_[0] ^= state_[3];
    state_[2] ^= t;
    state_[3] = rotate(state_[3], 45);
    return result;
  }
  uint64_t below(uint64_t n) { return next() % n; }

 private:
  static uint64_t rotate(uint64_t x, int by) { return x << by | x >> (64 - by); }
  uint64_t state_[4];
};

std::string read_genome() {
  std::string bases;
  char line[1 << 16];
  while (std::fgets(line, sizeof line, stdin)) {
    if (line[0] == '>') continue;
    for (const char* c = line; *c; c++)
      if (std::strchr("ACGT", *c)) bases += *c;
  }
  return bases;
}

char other_base(Random& random, char base) {
  static constexpr char kBases[] = "ACGT";
  const char* at = std::strchr(kBases, base);
  return kBases[(static_cast<uint64_t>(at - kBases) + 1 + random.below(3)) % 4];
}

std::string reversed(std::string_view piece) {
  std::string out(piece.rbegin(), piece.rend());
  for (char& c : out) c = c == 'A' ? 'T' : c == 'C' ? 'G' : c == 'G' ? 'C' : 'A';
  return out;
}

// Events come on average every `distance` bases: four substitutions to each insertion or deletion of 1 to 12 bases.
std::string evolved(Random& random, std::string_view from, uint64_t distance) {
  std::string out;
  out.reserve(from.size() + from.size() / 50);
  size_t at = 0;
  while (at < from.size()) {
    size_t gap = random.below(2 * distance - 1);
    if (gap >= from.size() - at) gap = from.size() - at;
    out.append(from, at, gap);
    at += gap;
    if (at >= from.size()) break;
    switch (random.below(10)) {
      case 8:
        for (uint64_t n = 1 + random.below(12); n > 0; n--) out += "ACGT"[random.below(4)];
        break;
      case 9: at += 1 + random.below(12); break;
      default: out += other_base(random, from[at++]);
    }
  }
  return out;
}

void print(const std::string& name, const std::string& bases) {
  static constexpr size_t kWidth = 80;
  std::printf(">%s\n", name.c_str());
  for (size_t at = 0; at < bases.size(); at += kWidth) {
    std::fwrite(bases.data() + at, 1, std::min(kWidth, bases.size() - at), stdout);
    std::putchar('\n');
  }
}

void database(const std::string& genome, uint64_t seed, uint64_t wanted) {
  static constexpr uint64_t kPiece = 250'000;
  Random random(seed);
  uint64_t written = 0;
  for (unsigned strain = 0; written < wanted; strain++) {
    unsigned percent = 1 + strain * 7 % 30;
    // Where to begin on the circular chromosome, and in which order the pieces follow.
    std::string turned = genome;
    std::rotate(turned.begin(), turned.begin() + static_cast<std::ptrdiff_t>(random.below(genome.size())),
                turned.end());
    std::vector<std::string_view> pieces;
    for (size_t at = 0; at < turned.size();) {
      size_t length = std::min<size_t>(kPiece / 2 + random.below(kPiece), turned.size() - at);
      pieces.push_back(std::string_view(turned).substr(at, length));
      at += length;
    }
    for (size_t i = pieces.size(); i > 1; i--) std::swap(pieces[i - 1], pieces[random.below(i)]);
    for (size_t i = 0; i < pieces.size() && written < wanted; i++) {
      bool reverse = random.below(2);
      std::string piece = evolved(random, reverse ? reversed(pieces[i]) : std::string(pieces[i]), 100 / percent + 1);
      char name[96];
      std::snprintf(name, sizeof name, "strain%04u.%02zu descendant of NC_008253, about %u%% changed%s", strain, i,
                    percent, reverse ? ", reversed" : "");
      print(name, piece);
      written += piece.size();
    }
  }
}

void queries(const std::string& genome, uint64_t seed, uint64_t count, uint64_t length) {
  Random random(seed);
  for (uint64_t i = 0; i < count; i++) {
    uint64_t from = random.below(genome.size() - length);
    std::string_view cut = std::string_view(genome).substr(from, length);
    char name[64];
    std::snprintf(name, sizeof name, "query%05lu from %lu", static_cast<unsigned long>(i),
                  static_cast<unsigned long>(from + 1));
    print(name, evolved(random, cut, 40));
  }
}

// "400M" → 400 million.
uint64_t number(const char* text) {
  char* end;
  uint64_t value = std::strtoull(text, &end, 10);
  if (*end == 'k') value *= 1'000;
  if (*end == 'M') value *= 1'000'000;
  if (*end == 'G') value *= 1'000'000'000;
  return value;
}

}  // namespace

int main(int argc, char** argv) {
  uint64_t seed = 1, bases = 100'000'000, count = 100, length = 1000;
  std::string_view what = argc > 1 ? argv[1] : "";
  for (int i = 2; i + 1 < argc; i += 2) {
    std::string_view option = argv[i];
    if (option == "--seed") seed = number(argv[i + 1]);
    if (option == "--bases") bases = number(argv[i + 1]);
    if (option == "--count") count = number(argv[i + 1]);
    if (option == "--length") length = number(argv[i + 1]);
  }
  if ((what != "database" && what != "queries") || argc % 2 != 0) {
    std::fprintf(stderr,
                 "usage: mutate database --seed N --bases N < genome.fna\n"
                 "       mutate queries --seed N --count N --length N < genome.fna\n");
    return 2;
  }
  std::string genome = read_genome();
  if (genome.size() <= length) {
    std::fprintf(stderr, "mutate: %zu bases on standard input are too few\n", genome.size());
    return 1;
  }
  static char buffer[1 << 20];
  std::setvbuf(stdout, buffer, _IOFBF, sizeof buffer);
  if (what == "database")
    database(genome, seed, bases);
  else
    queries(genome, seed, count, length);
  return std::fflush(stdout) == 0 ? 0 : 1;
}
