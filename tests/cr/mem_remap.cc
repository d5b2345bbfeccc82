// cr: areas that are mapped, moved, resized, re-protected and unmapped in every round
#include <sys/mman.h>

#include "util/step.h"

struct Piece {
  unsigned char* at;
  size_t pages;
  unsigned char fill;
};

int main() {
  constexpr int kPieces = 40;
  constexpr size_t kPage = 4096;
  Piece pieces[kPieces] = {};
  Random random;
  auto check = [&](const Piece& p) {
    for (size_t n = 0; n < p.pages; n++) CHECK(p.at[n * kPage] == p.fill && p.at[n * kPage + kPage - 1] == p.fill);
  };
  ready();
  for (int i = 0; i < steps(); i++) {
    for (int n = 0; n < 25; n++) {
      auto& p = pieces[random.next() % kPieces];
      uint64_t what = random.next() % 6;
      if (!p.at) {
        p.pages = 1 + random.next() % 32;
        p.fill = static_cast<unsigned char>(random.next());
        p.at = static_cast<unsigned char*>(
            mmap(nullptr, p.pages * kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
        CHECK(p.at != MAP_FAILED);
        memset(p.at, p.fill, p.pages * kPage);
      } else if (what == 0) {
        check(p);
        MUST(munmap(p.at, p.pages * kPage));
        p.at = nullptr;
      } else if (what == 1 || what == 2) {
        size_t pages = 1 + random.next() % 48;
        MUST(mprotect(p.at, p.pages * kPage, PROT_READ | PROT_WRITE));
        auto* moved = mremap(p.at, p.pages * kPage, pages * kPage, MREMAP_MAYMOVE);
        CHECK(moved != MAP_FAILED);
        p.at = static_cast<unsigned char*>(moved);
        if (pages > p.pages) memset(p.at + p.pages * kPage, p.fill, (pages - p.pages) * kPage);
        p.pages = pages;
      } else if (what == 3) {
        MUST(mprotect(p.at, p.pages * kPage, PROT_READ));
      } else if (what == 4) {
        MUST(mprotect(p.at + (p.pages / 2) * kPage, (p.pages - p.pages / 2) * kPage,
                      PROT_READ | PROT_WRITE | PROT_EXEC));
      } else {
        MUST(mprotect(p.at, p.pages * kPage, PROT_READ | PROT_WRITE));
        p.fill++;
        memset(p.at, p.fill, p.pages * kPage);
      }
    }
    step();
    unsigned sum = 0;
    for (auto& p : pieces) {
      if (!p.at) continue;
      check(p);
      sum += p.fill * static_cast<unsigned>(p.pages);
    }
    note("round %d: %u", i, sum);
  }
  finish();
}
