#include <gtest/gtest.h>

#include "base/base.h"
#include "portable/portable.h"

namespace godwit::portable {
namespace {

Package example() {
  return {{{"x86_64", 1, 5000, std::string(64, 'a')}, {"riscv64", 3, 100, std::string(64, 'b')}}, 0};
}

Fd file_of(const std::string& text, uint64_t size) {
  auto file = *sys::memfd("package");
  EXPECT_TRUE(io::write_full(file.get(), text));
  EXPECT_EQ(::ftruncate(file.get(), static_cast<off_t>(size)), 0);
  return file;
}

TEST(Package, is_read_as_it_was_written) {
  const auto package = example();
  const auto file = file_of(starting_script(package), 5 * kBlock);
  EXPECT_EQ(*read_package(file), package);
}

TEST(Package, of_a_checkpoint_names_its_image) {
  auto package = example();
  package.image_block = package.blocks();
  EXPECT_EQ(package.image_block, 4u);
  const auto script = starting_script(package);
  EXPECT_NE(script.find("GODWIT_RESTORE_FD=3"), std::string::npos);
  EXPECT_EQ(*read_package(file_of(script, 5 * kBlock)), package);
}

TEST(Package, must_hold_what_its_index_names) {
  const auto script = starting_script(example());
  EXPECT_FALSE(read_package(file_of(script, kBlock)));
  EXPECT_FALSE(read_package(file_of(script.substr(0, kBlock - 1), kBlock - 1)));
  EXPECT_FALSE(read_package(file_of("#!/bin/sh\necho hello\n", 2 * kBlock)));
}

TEST(Package, refuses_numbers_that_are_none) {
  auto script = starting_script(example());
  const auto at = script.find("#part x86_64 1 5000");
  ASSERT_NE(at, std::string::npos);
  for (const char* bad : {"#part x86_64 1 -000", "#part x86_64 1 5x00", "#part x86_64 0 5000", "#part x86_64 9 5000"}) {
    auto changed = script;
    changed.replace(at, 19, bad);
    EXPECT_FALSE(read_package(file_of(changed, 5 * kBlock))) << bad;
  }
}

TEST(Package, refuses_names_that_a_shell_would_read) {
  for (const char* bad : {"x86_64;reboot", "$(id)", "X86", "", "a)b"}) {
    auto package = example();
    package.parts[0].architecture = bad;
    EXPECT_FALSE(read_package(file_of(starting_script(package), 5 * kBlock))) << bad;
  }
  auto package = example();
  package.parts[0].digest[3] = '/';
  EXPECT_FALSE(read_package(file_of(starting_script(package), 5 * kBlock)));
}

TEST(Package, holds_eight_parts_at_most) {
  Package package;
  for (uint64_t n = 0; n < 8; ++n) package.parts.push_back({std::string(16, 'a'), n + 1, kBlock, std::string(64, 'f')});
  package.image_block = package.blocks();
  EXPECT_EQ(*read_package(file_of(starting_script(package), 20 * kBlock)), package);
  auto script = starting_script(package);
  const auto index = script.find("#part");
  script.resize(script.find_last_not_of('\n') + 1);
  script += "\n" + script.substr(index, script.find('\n', index) - index) + "\n";
  script.resize(kBlock, '\n');
  EXPECT_FALSE(read_package(file_of(script, 20 * kBlock)));
}

TEST(Package, an_image_may_not_lie_in_a_part) {
  auto package = example();
  package.image_block = 2;
  EXPECT_FALSE(read_package(file_of(starting_script(package), 9 * kBlock)));
}

}  // namespace
}  // namespace godwit::portable
