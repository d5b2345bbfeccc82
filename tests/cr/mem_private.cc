// cr: private anonymous memory that is written all the time, in many areas of different protection
#include <sys/mman.h>

#include "util/step.h"

static constexpr size_t kPages = 4096, kPage = 4096;

int main() {
  auto* memory =
      static_cast<uint64_t*>(mmap(nullptr, kPages * kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  auto* constant =
      static_cast<uint64_t*>(mmap(nullptr, 64 * kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  auto* hidden =
      static_cast<uint64_t*>(mmap(nullptr, 64 * kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  auto* holes =
      static_cast<uint64_t*>(mmap(nullptr, 256 * kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  Random random;
  for (size_t i = 0; i < 64 * kPage / 8; i++) constant[i] = random.next(), hidden[i] = random.next();
  MUST(mprotect(constant, 64 * kPage, PROT_READ));
  MUST(mprotect(hidden, 64 * kPage, PROT_NONE));
  for (size_t page = 0; page < kPages; page += 2) memory[page * kPage / 8] = page;
  uint64_t expected_sum = 0;
  for (size_t i = 0; i < 64 * kPage / 8; i++) expected_sum += constant[i];
  ready();
  for (int i = 0; i < steps(); i++) {
    for (int n = 0; n < 2000; n++) {
      uint64_t at = random.next() % (kPages * kPage / 8);
      memory[at] += random.next();
    }
    // Pages that were written and are dropped again read as zeros.
    auto* page = holes + (random.next() % 256) * kPage / 8;
    page[5] = 99;
    MUST(madvise(page, kPage, MADV_DONTNEED));
    CHECK_EQ(page[5], 0);
    step();
    uint64_t sum = 0;
    for (size_t n = 0; n < kPages * kPage / 8; n++) sum = sum * 3 + memory[n];
    uint64_t constant_sum = 0;
    for (size_t n = 0; n < 64 * kPage / 8; n++) constant_sum += constant[n];
    CHECK(constant_sum == expected_sum);
    for (size_t n = 0; n < 256 * kPage / 8; n += 64) CHECK_EQ(holes[n], 0);
    note("round %d: %016llx", i, static_cast<unsigned long long>(sum));
  }
  MUST(mprotect(hidden, 64 * kPage, PROT_READ));
  mix(hidden, 64 * kPage);
  note("hidden pages read again");
  finish();
}
