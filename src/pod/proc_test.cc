#include "pod/proc.h"

#include <gtest/gtest.h>

namespace godwit::pod {
namespace {

// What is read while the process joins two areas, and while one grows.
TEST(Maps, no_two_areas_overlap) {
  const auto list = parse_maps(
      "10000-12000 rw-p 00000000 00:00 0 \n"
      "VmFlags: rd wr \n"
      "10000-14000 rw-p 00000000 00:00 0 \n"
      "VmFlags: rd wr ac \n"
      "20000-24000 r--p 00003000 fe:01 77 /some/file\n"
      "VmFlags: rd \n"
      "21000-22000 r--p 00004000 fe:01 77 /some/file\n"
      "VmFlags: rd mr \n"
      "23000-26000 r--p 00006000 fe:01 77 /some/file\n"
      "30000-31000 rw-p 00000000 00:00 0 [heap]\n");
  ASSERT_TRUE(list);
  ASSERT_EQ(list->size(), 5u);
  const auto is = [&](size_t i, uint64_t start, uint64_t end, uint64_t offset) {
    const MapEntry& m = (*list)[i];
    return m.start == start && m.end == end && m.offset == offset;
  };
  EXPECT_TRUE(is(0, 0x10000, 0x12000, 0));
  EXPECT_TRUE(is(1, 0x12000, 0x14000, 0));
  EXPECT_EQ((*list)[1].vm_flags, "rd wr ac");
  EXPECT_TRUE(is(2, 0x20000, 0x24000, 0x3000));
  EXPECT_EQ((*list)[2].vm_flags, "rd");
  EXPECT_TRUE(is(3, 0x24000, 0x26000, 0x7000));
  EXPECT_TRUE(is(4, 0x30000, 0x31000, 0));
  EXPECT_EQ((*list)[4].name, "[heap]");
}

}  // namespace
}  // namespace godwit::pod
