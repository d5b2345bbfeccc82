// cr: memory right beside the place that the kernel gives to the next mapping of 64 KiB, with that mapping's permissions
#include <sys/mman.h>

#include "util/step.h"

// What an engine maps into the program lands in the gap, and the kernel makes one area of it and its neighbours.
namespace {

constexpr size_t kGap = 65536, kPage = 4096;

}  // namespace

int main() {
  void* all = mmap(nullptr, kGap + 2 * kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CHECK(all != MAP_FAILED);
  char* below = static_cast<char*>(all);
  char* gap = below + kPage;
  char* above = gap + kGap;
  // Each on its own: the kernel joins nothing to what was split from something else.
  MUST(munmap(all, kGap + 2 * kPage));
  for (char* page : {below, above}) {
    CHECK(mmap(page, kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == page);
    memset(page, 7, kPage);
  }
  MUST(mprotect(below, kPage, PROT_READ | PROT_EXEC));
  // No hole above it has room: so the one in its middle is where the next mapping comes.
  void* last = nullptr;
  do {
    last = mmap(nullptr, kGap, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(last != MAP_FAILED);
  } while (last > gap);
  MUST(munmap(last, kGap));
  ready();
  for (int i = 0; i < steps(); i++) {
    step();
    for (char* page : {above, below})
      for (size_t at = 0; at < kPage; at++)
        CHECK(page[at] == (page == above && at == 5 ? static_cast<char>(7 + i) : 7));
    above[5]++;
    unsigned char resident = 0;
    CHECK_EQ(mincore(gap, kPage, &resident), -1);  // the gap is a gap
    note("round %d", i);
  }
  finish();
}
