#include "node/notice.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "base/io.h"
#include "base/temporary_folder.h"

namespace godwit::node {
namespace {

TEST(Notice, is_a_time) {
  EXPECT_EQ(parse_notice("120"), 120);
  EXPECT_EQ(parse_notice(" 90s\n"), 90);
  EXPECT_EQ(parse_notice("2m"), 120);
  EXPECT_EQ(parse_notice("1.5h"), 5400);
  EXPECT_EQ(parse_notice("0"), 0);
  for (const char* odd : {"", "soon", "-1", "inf", "nan", "2 m", "2m3", "1e9", "m"})
    EXPECT_FALSE(parse_notice(odd)) << odd;
}

TEST(Notice, runs_from_when_its_file_was_written) {
  const auto made = TemporaryFolder::make("godwit-notice");
  ASSERT_TRUE(made);
  const std::string path = made->path() / "notice";
  const auto written = [&](const std::string& text, time_t at) {
    ASSERT_TRUE(io::replace_file(path, text));
    const timespec times[2] = {{at, 0}, {at, 0}};
    ASSERT_EQ(::utimensat(AT_FDCWD, path.c_str(), times, 0), 0);
  };
  EXPECT_FALSE(look_for_notice("", 1000));
  EXPECT_FALSE(look_for_notice(path, 1000));
  written("2m\n", 1000);
  const auto first = look_for_notice(path, 1010);
  ASSERT_TRUE(first);
  EXPECT_DOUBLE_EQ(first->seconds(), 110);
  EXPECT_EQ(look_for_notice(path, 1020)->id(), first->id());
  EXPECT_DOUBLE_EQ(look_for_notice(path, 2000)->seconds(), 0);
  EXPECT_DOUBLE_EQ(look_for_notice(path, 900)->seconds(), 120) << "a clock that was set back";
  written("2m\n", 1100);
  EXPECT_NE(look_for_notice(path, 1101)->id(), first->id());
  // About to be written; or it says nothing.
  written("", 1200);
  EXPECT_FALSE(look_for_notice(path, 1200.5));
  EXPECT_DOUBLE_EQ(look_for_notice(path, 1210)->seconds(), kUnsaidSeconds - 10);
  EXPECT_FALSE(look_for_notice(made->path(), 1000)) << "a directory is none";
}

}  // namespace
}  // namespace godwit::node
