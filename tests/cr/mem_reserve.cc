// cr: 64 GiB of address space reserved without access, with islands of memory in it, and a sparse 8 GiB area
#include <sys/mman.h>

#include "util/step.h"

int main() {
  constexpr size_t kReserve = 64ull << 30, kSparse = 8ull << 30, kIsland = 64 * 1024;
  auto* reserve =
      static_cast<char*>(mmap(nullptr, kReserve, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
  auto* sparse = static_cast<char*>(
      mmap(nullptr, kSparse, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
  if (reserve == MAP_FAILED || sparse == MAP_FAILED) skip("cannot reserve 72 GiB of address space");
  auto island = [&](int i) { return reserve + static_cast<size_t>(i) * ((kReserve / 128) & ~4095ul); };
  for (int i = 0; i < 10; i++) MUST(mprotect(island(i), kIsland, PROT_READ | PROT_WRITE));
  for (size_t at = 0; at < kSparse; at += 64 << 20) sparse[at] = static_cast<char>(at >> 26);
  ready();
  for (int i = 0; i < steps(); i++) {
    int n = 10 + i;
    if (n < 128) MUST(mprotect(island(n), kIsland, PROT_READ | PROT_WRITE));
    for (int k = 0; k <= n && k < 128; k++) memset(island(k), k + i, kIsland);
    if (i % 5 == 4) MUST(mprotect(island(i), kIsland, PROT_READ));
    if (i % 5 == 4) MUST(mprotect(island(i), kIsland, PROT_READ | PROT_WRITE));
    step();
    for (int k = 0; k <= n && k < 128; k++)
      CHECK(island(k)[0] == static_cast<char>(k + i) && island(k)[kIsland - 1] == static_cast<char>(k + i));
    for (size_t at = 0; at < kSparse; at += 64 << 20) CHECK_EQ(sparse[at], static_cast<char>(at >> 26));
    note("round %d: %d islands", i, n);
  }
  finish();
}
