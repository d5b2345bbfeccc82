// What a thread of its own read of several processes is what they are, in whatever order it is asked for.
#include "pod/looks.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>

namespace godwit::pod {
namespace {

class LooksTest : public ::testing::TestWithParam<int> {
 protected:
  void SetUp() override {
    for (int i = 0; i < GetParam(); i++) {
      const pid_t pid = ::fork();
      if (pid == 0) {
        ::dup2(0, 500 + i);
        for (;;) ::pause();
      }
      pids_.push_back(pid);
    }
  }
  void TearDown() override {
    for (const pid_t pid : pids_) {
      ::kill(pid, SIGKILL);
      ::waitpid(pid, nullptr, 0);
    }
  }
  // Until the child has its descriptor.
  static void wait_for(const ProcFs& proc, pid_t pid, int fd) {
    while (!proc.link(pid, "fd/" + std::to_string(fd))) ::usleep(1000);
  }
  std::vector<pid_t> pids_;
};

TEST_P(LooksTest, are_of_the_right_process) {
  const ProcFs proc = *ProcFs::open();
  for (size_t i = 0; i < pids_.size(); i++) wait_for(proc, pids_[i], 500 + static_cast<int>(i));
  auto pids = pids_;
  pids.insert(pids.begin() + 1, 0);  // one that is left out, as a zombie is
  std::vector<Looks::Subject> subjects;
  for (const pid_t pid : pids) subjects.push_back({pid, pid == 0 ? std::vector<pid_t>() : std::vector{pid}});
  Looks looks(proc, subjects);
  for (size_t i = pids.size(); i-- > 0;) {
    const auto& statuses = looks.statuses_of(i);
    ASSERT_EQ(statuses.size(), pids[i] == 0 ? 0u : 1u);
    if (pids[i] == 0) continue;
    ASSERT_TRUE(statuses[0]) << statuses[0].error().message();
    EXPECT_EQ(statuses[0]->ns_pid.front(), pids[i]);
    const Look& look = looks.of(i);
    const auto child = static_cast<int>(std::ranges::find(pids_, pids[i]) - pids_.begin());
    ASSERT_TRUE(look.descriptors) << look.descriptors.error().message();
    EXPECT_TRUE(std::ranges::is_sorted(*look.descriptors));
    EXPECT_EQ(look.descriptors->back(), 500 + child);
    const auto maps = proc.maps(pids[i]);
    ASSERT_TRUE(look.maps && maps);
    EXPECT_TRUE(std::ranges::equal(*look.maps, *maps, [](const auto& a, const auto& b) { return a.same_place(b); }));
    EXPECT_EQ(look.exe.value(), proc.link(pids[i], "exe").value());
    EXPECT_EQ(look.namespaces[0].value(), proc.link(pids[i], "ns/pid").value());
    EXPECT_EQ(look.auxv.value(), proc.read(pids[i], "auxv").value());
  }
}

INSTANTIATE_TEST_SUITE_P(FewAndMany, LooksTest, ::testing::Values(2, 30));

TEST_P(LooksTest, scans_get_the_look_at_their_process) {
  const ProcFs proc = *ProcFs::open();
  for (size_t i = 0; i < pids_.size(); i++) wait_for(proc, pids_[i], 500 + static_cast<int>(i));
  auto pids = pids_;
  pids.insert(pids.begin() + 1, 0);
  std::vector<Looks::Subject> subjects;
  for (const pid_t pid : pids) subjects.push_back({pid, {}});
  const auto scan = [&](pid_t pid, const Look& look) -> Result<ScanResult> {
    if (pid == pids_.back()) return fail(Code::kGone, "ended");
    return ScanResult{{{static_cast<SpaceId>(pid), static_cast<uint64_t>(look.descriptors->back()), 4096}}, {}};
  };
  Looks looks(proc, subjects, scan);
  for (size_t i = 0; i < pids.size(); i++) {
    const auto& found = looks.scan_of(i);
    if (pids[i] == pids_.back()) {
      EXPECT_EQ(found.error().code, Code::kGone);
      continue;
    }
    ASSERT_TRUE(found);
    ASSERT_EQ(found->pages.size(), pids[i] == 0 ? 0u : 1u);
    if (pids[i] == 0) continue;
    EXPECT_EQ(found->pages[0].space, static_cast<SpaceId>(pids[i]));
    const auto child = static_cast<uint64_t>(std::ranges::find(pids_, pids[i]) - pids_.begin());
    EXPECT_EQ(found->pages[0].address, 500 + child);
  }
}

TEST(Looks, of_a_process_that_is_gone_say_so) {
  const pid_t pid = ::fork();
  if (pid == 0) ::_exit(0);
  ::waitpid(pid, nullptr, 0);
  const Look look = look_at(*ProcFs::open(), pid);
  ASSERT_FALSE(look.maps);
  EXPECT_EQ(look.maps.error().code, Code::kGone);
  EXPECT_FALSE(look.exe);
}

}  // namespace
}  // namespace godwit::pod
