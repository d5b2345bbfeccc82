// cr: memory that is forked, moved, dropped, unmapped, grown and read by the kernel, most of it long untouched
#include <sys/mman.h>
#include <sys/socket.h>

#include "util/step.h"

// Pages know what they hold: a word of their number, version and keeper. Version 0: never written, or dropped.
constexpr size_t kPage = 4096;
constexpr size_t kBlock = 64;  // pages
constexpr int kBlocks = 40;    // of the main thread
constexpr int kThreads = 3;
constexpr int kThreadBlocks = 10;
constexpr size_t kStill = 6000;  // pages that nobody touches before the end, but children and the kernel

struct Block {
  unsigned char* at = nullptr;
  uint32_t version[kBlock] = {};
};

static uint64_t word(uint64_t who, size_t page, uint64_t version) {
  return version == 0 ? 0 : (who << 48 | static_cast<uint64_t>(page) << 32 | version) * 0x9E3779B97F4A7C15u;
}

static void fill(unsigned char* page, uint64_t value) {
  for (size_t at = 0; at < kPage; at += 512) memcpy(page + at, &value, sizeof value);
}

static void check(const unsigned char* page, uint64_t value) {
  for (size_t at = 0; at < kPage; at += 512) {
    uint64_t found;
    memcpy(&found, page + at, sizeof found);
    if (found != value)
      cr::wrong(__FILE__, __LINE__, "page %p+%zu holds %llx, wanted %llx", static_cast<const void*>(page), at,
                static_cast<unsigned long long>(found), static_cast<unsigned long long>(value));
  }
}

static unsigned char* map(size_t pages) {
  void* p = mmap(nullptr, pages * kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CHECK(p != MAP_FAILED);
  return static_cast<unsigned char*>(p);
}

// One thing at random to one of a thread's blocks.
static void act(Random& random, Block* blocks, int count, uint64_t who) {
  const auto i = static_cast<int>(random.next() % static_cast<unsigned>(count));
  Block& b = blocks[i];
  const uint64_t owner = who * 100 + static_cast<uint64_t>(i);
  const size_t first = random.next() % kBlock, n = 1 + random.next() % (kBlock - first);
  switch (random.next() % 7) {
    case 0:  // moved to where the kernel likes
    case 1: {
      unsigned char* room = map(2 * kBlock);
      MUST(munmap(room, 2 * kBlock * kPage));
      auto* moved = static_cast<unsigned char*>(mremap(b.at, kBlock * kPage, 2 * kBlock * kPage, MREMAP_MAYMOVE));
      CHECK(moved != MAP_FAILED);
      b.at = moved;
      check(b.at + (kBlock + first) * kPage, 0);  // what has grown
      MUST(munmap(b.at + kBlock * kPage, kBlock * kPage));
      break;
    }
    case 2: {  // over another area
      unsigned char* to = map(kBlock);
      fill(to, ~0ull);
      CHECK(mremap(b.at, kBlock * kPage, kBlock * kPage, MREMAP_MAYMOVE | MREMAP_FIXED, to) == to);
      b.at = to;
      break;
    }
    case 3:
      MUST(madvise(b.at + first * kPage, n * kPage, MADV_DONTNEED));
      for (size_t p = first; p < first + n; p++) b.version[p] = 0;
      check(b.at + first * kPage, 0);
      break;
    case 4: {  // unmapped, and mapped again at the same place unless another thread was faster
      MUST(munmap(b.at + first * kPage, n * kPage));
      auto* again = static_cast<unsigned char*>(mmap(b.at + first * kPage, n * kPage, PROT_READ | PROT_WRITE,
                                                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0));
      CHECK(again != MAP_FAILED || errno == EEXIST);
      if (again != MAP_FAILED) {
        check(again, 0);
        check(again + (n - 1) * kPage, 0);
        MUST(munmap(again, n * kPage));
      }
      if (first > 0) MUST(munmap(b.at, first * kPage));
      if (first + n < kBlock) MUST(munmap(b.at + (first + n) * kPage, (kBlock - first - n) * kPage));
      b.at = map(kBlock);
      for (size_t p = 0; p < kBlock; p++) fill(b.at + p * kPage, word(owner, p, ++b.version[p]));
      break;
    }
    case 5:
      for (size_t p = first; p < first + n && p < first + 4; p++)
        fill(b.at + p * kPage, word(owner, p, ++b.version[p]));
      break;
    case 6: check(b.at + first * kPage, word(owner, first, b.version[first])); break;
  }
}

static void make(Block* blocks, int count, uint64_t who) {
  for (int i = 0; i < count; i++) {
    blocks[i].at = map(kBlock);
    for (size_t p = 0; p < kBlock; p++)
      fill(blocks[i].at + p * kPage, word(who * 100 + static_cast<uint64_t>(i), p, ++blocks[i].version[p]));
  }
}

static void check_all(const Block* blocks, int count, uint64_t who) {
  for (int i = 0; i < count; i++) {
    for (size_t p = 0; p < kBlock; p++)
      check(blocks[i].at + p * kPage, word(who * 100 + static_cast<uint64_t>(i), p, blocks[i].version[p]));
  }
}

static volatile int stop;

static void* own_blocks(void* argument) {
  const auto who = static_cast<uint64_t>(reinterpret_cast<uintptr_t>(argument));
  static Block blocks[kThreads + 1][kThreadBlocks];
  Random random;
  make(blocks[who], kThreadBlocks, who);
  while (!get(&stop)) {
    for (int n = 0; n < 5; n++) act(random, blocks[who], kThreadBlocks, who);
    cr::sleep_ms(1);
  }
  check_all(blocks[who], kThreadBlocks, who);
  return nullptr;
}

int main() {
  static Block blocks[kBlocks];
  Random random;
  make(blocks, kBlocks, 0);
  unsigned char* still = map(kStill);
  for (size_t p = 0; p < kStill; p++) fill(still + p * kPage, word(999, p, 7));
  pthread_t ids[kThreads];
  for (uintptr_t t = 0; t < kThreads; t++) ids[t] = thread(own_blocks, reinterpret_cast<void*>(t + 1));
  int pair[2];
  MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
  ready();
  for (int i = 0; i < steps(); i++) {
    for (int n = 0; n < 10; n++) act(random, blocks, kBlocks, 0);
    // A child has what its parent had, also what neither has ever touched, and changes nobody's but its own.
    const size_t at = random.next() % kStill;
    pid_t child = spawn([&] {
      check(still + at * kPage, word(999, at, 7));
      for (int n = 0; n < 10; n++) act(random, blocks, kBlocks, 0);
      fill(still + at * kPage, 1);
      pid_t grandchild = spawn([&] {
        check(still + at * kPage, 1);
        check(still + (at + 77) % kStill * kPage, word(999, (at + 77) % kStill, 7));
        return 5;
      });
      if (i % 4 == 0) check_all(blocks, kBlocks, 0);
      return reap(grandchild) + i % 2;
    });
    // The kernel reads and writes pages that were never touched.
    const size_t other = (at + 500) % kStill;
    CHECK(write(pair[0], still + other * kPage, kPage) == static_cast<ssize_t>(kPage));
    unsigned char* twin = still + (other + 1) % kStill * kPage;
    CHECK(read(pair[1], twin, kPage) == static_cast<ssize_t>(kPage));
    check(twin, word(999, other, 7));
    fill(twin, word(999, (other + 1) % kStill, 7));
    CHECK_EQ(reap(child), 5 + i % 2);
    cr::note("round %d", i);
    step();
  }
  add(&stop);
  for (auto& id : ids) CHECK(!pthread_join(id, nullptr));
  check_all(blocks, kBlocks, 0);
  for (size_t p = 0; p < kStill; p++) check(still + p * kPage, word(999, p, 7));
  finish();
}
