#include "pod/vdso.h"

#include <gtest/gtest.h>
#include <sys/auxv.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <ctime>

#include "base/io.h"
#include "pod/proc.h"

namespace godwit::pod {
namespace {

TEST(Vdso, this_kernels_functions_are_found) {
  if (own_vdso().empty()) GTEST_SKIP() << "needs a vDSO";
  const auto symbols = vdso_symbols(own_vdso());
  ASSERT_TRUE(symbols) << symbols.error().message();
  EXPECT_TRUE(symbols->contains("__vdso_clock_gettime"));
  EXPECT_TRUE(symbols->contains("__vdso_gettimeofday"));
  EXPECT_EQ(own_vdso_digest().size(), 32u);
}

TEST(Vdso, this_kernels_image_is_as_long_as_its_area) {
  if (own_vdso().empty()) GTEST_SKIP() << "needs a vDSO";
  const auto maps = parse_maps(*io::read_file("/proc/self/maps"));
  ASSERT_TRUE(maps);
  const auto area = std::ranges::find(*maps, "[vdso]", &MapEntry::name);
  ASSERT_NE(area, maps->end());
  EXPECT_EQ(own_vdso().size(), area->end - area->start);
}

TEST(Vdso, a_redirected_image_calls_this_kernels_functions) {
  if (own_vdso().empty()) GTEST_SKIP() << "needs a vDSO";
  const auto image = redirect_vdso(own_vdso(), ::getauxval(AT_SYSINFO_EHDR));
  ASSERT_TRUE(image) << image.error().message();
  void* at = ::mmap(nullptr, image->size(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(at, MAP_FAILED);
  std::memcpy(at, image->data(), image->size());
  ASSERT_EQ(::mprotect(at, image->size(), PROT_READ | PROT_EXEC), 0);
  const auto offset = vdso_symbols(own_vdso())->at("__vdso_clock_gettime");
  using ClockGettime = int (*)(clockid_t, timespec*);
  const auto call = reinterpret_cast<ClockGettime>(static_cast<std::byte*>(at) + offset);
  timespec before{}, through{}, after{};
  ::clock_gettime(CLOCK_MONOTONIC, &before);
  EXPECT_EQ(call(CLOCK_MONOTONIC, &through), 0);
  ::clock_gettime(CLOCK_MONOTONIC, &after);
  auto ns = [](const timespec& t) { return t.tv_sec * 1'000'000'000L + t.tv_nsec; };
  EXPECT_LE(ns(before), ns(through));
  EXPECT_LE(ns(through), ns(after));
  ::munmap(at, image->size());
}

TEST(Vdso, a_damaged_image_is_refused_and_never_read_beyond_its_end) {
  for (size_t length = 0; length < own_vdso().size(); length += 97) {
    (void)vdso_symbols(std::span(own_vdso()).subspan(0, length));
  }
  auto image = own_vdso();
  for (size_t i = 0; i < image.size(); i += 13) {
    const auto kept = image[i];
    image[i] = static_cast<std::byte>(~static_cast<unsigned>(kept));
    (void)vdso_symbols(image);
    image[i] = kept;
  }
}

}  // namespace
}  // namespace godwit::pod
