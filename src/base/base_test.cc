#include "base/base.h"
#include "base/program_file.h"
#include "base/text.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <thread>

namespace godwit {
namespace {

Result<int> half(int x) {
  if (x % 2 != 0) return fail(Code::kUsage, "odd: " + std::to_string(x));
  return x / 2;
}

Result<int> quarter(int x) {
  TRY(const int h, half(x));
  TRY_IN("second half", half(h));
  return h / 2;
}

TEST(Text, is_split_without_empty_parts) {
  EXPECT_EQ(split_copy(",a,,bc,", ','), (std::vector<std::string>{"a", "bc"}));
  EXPECT_TRUE(split("", ',').empty());
  EXPECT_EQ(split("a b", ',').size(), 1u);
}

TEST(Result, try_gives_the_value_or_returns_the_error_with_context) {
  EXPECT_EQ(*quarter(8), 2);
  EXPECT_EQ(quarter(3).error().text, "odd: 3");
  EXPECT_EQ(quarter(6).error().text, "second half: odd: 3");
}

TEST(Fd, move_assignment_closes_what_it_held) {
  auto [r, w] = *sys::pipe();
  const int old = w.get();
  w = *sys::dup(0);
  std::byte b;
  EXPECT_TRUE(w.valid());
  EXPECT_TRUE(old == w.get() || ::fcntl(old, F_GETFD) == -1);
  EXPECT_EQ(*io::read_some(r.get(), std::span(&b, 1)), 0u);  // the only writer is gone
}

TEST(ProgramFile, is_what_execvp_would_start) {
  EXPECT_EQ(program_file("/a/b", "/c"), "/a/b");
  EXPECT_EQ(program_file("./b", "/c"), "/c/./b");
  EXPECT_TRUE(program_file("sh", "/c").ends_with("/sh"));
  EXPECT_EQ(program_file("no-such-program-here", "/c"), "");
}

TEST(Io, waits_until_one_of_several_can_be_read_or_the_time_is_over) {
  auto first = *sys::pipe(), second = *sys::pipe();
  const int both[2] = {first.first.get(), second.first.get()};
  EXPECT_FALSE(io::wait_readable(both, std::chrono::milliseconds(1))->has_value());
  ASSERT_TRUE(io::write_full(second.second.get(), "x"));
  EXPECT_EQ(io::wait_readable(both, std::chrono::seconds(20))->value(), 1u);
  first.second.reset();  // its other end closes
  EXPECT_EQ(io::wait_readable(both, std::chrono::milliseconds(-1))->value(), 0u);
}

TEST(Fd, self_move_keeps_it) {
  Fd fd = *sys::dup(0);
  const int number = fd.get();
  Fd& alias = fd;
  fd = std::move(alias);
  EXPECT_EQ(fd.get(), number);
}

TEST(Io, descriptors_travel_with_a_message) {
  auto [a, b] = *sys::socketpair(AF_UNIX, SOCK_SEQPACKET);
  auto [r, w] = *sys::pipe();
  const int sent[] = {w.get()};
  ASSERT_TRUE(io::send_with_fds(a.get(), "take this", sent));
  auto got = io::receive_with_fds(b.get());
  ASSERT_TRUE(got) << got.error().message();
  EXPECT_EQ(got->message, "take this");
  ASSERT_EQ(got->fds.size(), 1u);
  ASSERT_TRUE(io::write_full(got->fds[0].get(), "x"));
  std::byte byte;
  ASSERT_TRUE(io::read_full(r.get(), std::span(&byte, 1)));
  EXPECT_EQ(byte, std::byte{'x'});
}

TEST(Io, read_file_refuses_more_than_its_limit) {
  const auto r = io::read_file("/proc/self/maps", 16);
  ASSERT_FALSE(r);
  EXPECT_EQ(r.error().code, Code::kCorrupt);
}

TEST(Sys, remove_tree_does_not_follow_links) {
  char dir[] = "/tmp/godwit-base-test-XXXXXX";
  ASSERT_NE(::mkdtemp(dir), nullptr);
  const std::string root = dir;
  ASSERT_TRUE(sys::make_dirs(root + "/keep"));
  ASSERT_TRUE(sys::make_dirs(root + "/gone/deep"));
  ASSERT_EQ(::symlink((root + "/keep").c_str(), (root + "/gone/deep/link").c_str()), 0);
  ASSERT_TRUE(sys::remove_tree(root + "/gone"));
  EXPECT_FALSE(sys::stat(root + "/gone"));
  EXPECT_TRUE(sys::stat(root + "/keep"));
  ASSERT_TRUE(sys::remove_tree(root));
}

TEST(Fault, acts_at_the_named_pass_only) {
  ASSERT_TRUE(fault::arm("source.frozen:fail@2"));
  EXPECT_TRUE(fault::pass("source.frozen"));
  EXPECT_FALSE(fault::pass("source.frozen"));
  EXPECT_TRUE(fault::pass("source.frozen"));
  EXPECT_TRUE(fault::pass("source.captured"));
  ASSERT_TRUE(fault::arm(""));
}

TEST(Fault, a_stall_ends_with_the_next_arming_and_is_no_failure) {
  ASSERT_TRUE(fault::arm("source.frozen:stall"));
  std::atomic<bool> through = false;
  std::thread stalled([&] {
    EXPECT_TRUE(fault::pass("source.frozen"));
    through = true;
  });
  EXPECT_FALSE(through);
  ASSERT_TRUE(fault::arm(""));
  stalled.join();
  EXPECT_TRUE(through);
}

TEST(Fault, unknown_points_are_refused) {
  EXPECT_EQ(fault::arm("source.nowhere:kill").error().code, Code::kUsage);
  EXPECT_EQ(fault::arm("source.frozen:explode").error().code, Code::kUsage);
}

}  // namespace
}  // namespace godwit
