// cr: AMX tiles and their configuration over a long loop, with the permission the kernel was asked for
// needs: amx
#include <sys/syscall.h>

#include "util/step.h"

static constexpr int kArchGetXcompPerm = 0x1022, kArchReqXcompPerm = 0x1023, kTileData = 18;

struct alignas(64) TileConfig {
  uint8_t palette = 1, start_row = 0, reserved[14] = {};
  uint16_t columns[16] = {};
  uint8_t rows[16] = {};
};

__attribute__((target("amx-tile,amx-int8"), noinline)) static uint64_t churn(int seed, int rounds) {
  alignas(64) int8_t a[16][64], b[16][64];
  alignas(64) int32_t c[16][16];
  Random random{static_cast<uint64_t>(seed) + 1};
  for (int r = 0; r < 16; r++)
    for (int k = 0; k < 64; k++)
      a[r][k] = static_cast<int8_t>(random.next()), b[r][k] = static_cast<int8_t>(random.next());
  TileConfig config;
  for (int t = 0; t < 8; t++) config.columns[t] = 64, config.rows[t] = 16;
  uint64_t stride = 64, n = static_cast<uint64_t>(rounds);
  asm volatile(
      "ldtilecfg %[cfg]\n tilezero %%tmm0\n tileloadd (%[a],%[s],1), %%tmm6\n tileloadd (%[b],%[s],1), %%tmm7\n"
      "1:\n tdpbssd %%tmm7, %%tmm6, %%tmm0\n dec %[n]\n jnz 1b\n"
      "tilestored %%tmm0, (%[c],%[s],1)\n"
      : [n] "+r"(n)
      : [cfg] "m"(config), [a] "r"(a), [b] "r"(b), [c] "r"(c), [s] "r"(stride)
      : "cc", "memory");
  TileConfig now;
  asm volatile("sttilecfg %0\n tilerelease" : "=m"(now));
  CHECK(!memcmp(now.columns, config.columns, sizeof now.columns) && !memcmp(now.rows, config.rows, sizeof now.rows));
  uint64_t sum = 0;
  for (auto& row : c)
    for (int32_t value : row) sum = sum * 31 + static_cast<uint32_t>(value);
  return sum;
}

static void* in_thread(void* result) {
  *static_cast<uint64_t*>(result) = churn(77, 20000);
  return nullptr;
}

int main() {
  if (syscall(SYS_arch_prctl, kArchReqXcompPerm, kTileData)) skip("the kernel gives no AMX permission");
  ready();
  for (int i = 0; i < steps(); i++) {
    uint64_t permission = 0;
    CHECK_EQ(syscall(SYS_arch_prctl, kArchGetXcompPerm, &permission), 0);
    CHECK(permission >> kTileData & 1);
    uint64_t other;
    pthread_t helper = thread(in_thread, &other);
    uint64_t own = churn(i, 500000);  // long, so that a stop meets tiles in use
    pthread_join(helper, nullptr);
    note("round %d: %016llx %016llx", i, static_cast<unsigned long long>(own), static_cast<unsigned long long>(other));
    step();
  }
  finish();
}
