// cr: memory right beside the place that the kernel gives to the next mapping of 64 KiB, with that mapping's permissions
#include <sys/mman.h>

#include "util/step.h"

// What an engine maps into the program lands in the gap, and the kernel makes one area of it and its neighbours.
namespace {

constexpr size_t kGap = 65536, kPage = 4096;

char* map(void* at, size_t size, int prot, int flags) {
  return static_cast<char*>(mmap(at, size, prot, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0));
}

}  // namespace

int main() {
  char* gap = map(nullptr, kGap, PROT_READ | PROT_WRITE, 0);
  CHECK(gap != MAP_FAILED);
  // Something may lie there already: then that is the neighbour, and its loss ends the program as surely.
  char* above = map(gap + kGap, kPage, PROT_READ | PROT_WRITE, MAP_FIXED_NOREPLACE);
  char* below = map(gap - kPage, kPage, PROT_READ | PROT_WRITE, MAP_FIXED_NOREPLACE);
  for (char* page : {above, below})
    if (page != MAP_FAILED) memset(page, 7, kPage);
  if (below != MAP_FAILED) MUST(mprotect(below, kPage, PROT_READ | PROT_EXEC));
  MUST(munmap(gap, kGap));
  ready();
  for (int i = 0; i < steps(); i++) {
    step();
    for (char* page : {above, below})
      for (size_t at = 0; page != MAP_FAILED && at < kPage; at++)
        CHECK(page[at] == (page == above && at == 5 ? static_cast<char>(7 + i) : 7));
    if (above != MAP_FAILED) above[5]++;
    unsigned char resident = 0;
    CHECK_EQ(mincore(gap, kPage, &resident), -1);  // the gap is a gap
    note("round %d", i);
  }
  finish();
}
