// cr: transparent huge pages: contents, splitting, and memory in which only some pages are present
// needs: thp
#include <sys/mman.h>

#include "util/step.h"

int main() {
  constexpr size_t kHuge = 2 << 20, kCount = 8;
  auto* raw = static_cast<char*>(
      mmap(nullptr, (kCount + 1) * kHuge, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  auto* memory = reinterpret_cast<char*>((reinterpret_cast<uintptr_t>(raw) + kHuge - 1) & ~(kHuge - 1));
  MUST(madvise(memory, kCount * kHuge, MADV_HUGEPAGE));
  Random random;
  for (size_t i = 0; i < kCount * kHuge; i += 8) *reinterpret_cast<uint64_t*>(memory + i) = random.next();
  MUST(madvise(memory + 3 * kHuge + 4096 * 5, 4096 * 7, MADV_DONTNEED));  // a hole in the fourth
  MUST(mprotect(memory + 5 * kHuge + 8192, 4096, PROT_READ));            // an area within the sixth
  ready();
  for (int i = 0; i < steps(); i++) {
    for (int n = 0; n < 200; n++) {
      size_t at = random.next() % (5 * kHuge);
      if (at >= 3 * kHuge && at < 3 * kHuge + 4096 * 16) continue;
      memory[at]++;
    }
    step();
    for (size_t n = 0; n < 4096 * 7; n++) CHECK_EQ(memory[3 * kHuge + 4096 * 5 + n], 0);
    mix(memory, kCount * kHuge / 8);
    note("round %d: %d %d", i, memory[kHuge + 17], memory[7 * kHuge + 4095]);
  }
  mix(memory, kCount * kHuge);
  note("all of it");
  finish();
}
