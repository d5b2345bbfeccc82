#include "base/heap.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <functional>
#include <memory>
#include <vector>

namespace godwit {
namespace {

constexpr size_t kBlocks = 1024, kBlockBytes = 4000;  // 4 MB, in the heap and not mapped apart

long faults() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return usage.ru_minflt;
}

// In a process of its own: what mallopt(3) is told is told for good.
void in_child(const std::function<bool()>& holds) {
  const pid_t child = ::fork();
  if (child == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    ::_exit(holds() ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

std::vector<std::unique_ptr<char[]>> fill() {
  std::vector<std::unique_ptr<char[]>> blocks;
  for (size_t i = 0; i < kBlocks; i++) {
    blocks.push_back(std::make_unique_for_overwrite<char[]>(kBlockBytes));
    std::memset(blocks.back().get(), 1, kBlockBytes);
  }
  return blocks;
}

TEST(Heap, what_was_freed_is_there_again_without_a_fault) {
  in_child([] {
    keep_freed_memory();
    fill();  // and freed
    const long before = faults();
    fill();
    return faults() - before < 50;
  });
  in_child([] {  // the test can tell: without, the top of the heap goes back and its pages come one by one
    fill();
    const long before = faults();
    fill();
    return faults() - before > 500;
  });
}

TEST(Heap, an_owned_one_is_written_to_without_a_fault_after_a_fork) {
  for (const bool own : {true, false}) {
    in_child([&] {
      const auto blocks = fill();
      const pid_t sharer = ::fork();
      if (sharer == 0) {
        ::prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (;;) ::pause();
      }
      if (own) own_heap();
      const long before = faults();
      for (const auto& block : blocks) std::memset(block.get(), 2, kBlockBytes);
      const long taken = faults() - before;
      ::kill(sharer, SIGKILL);
      ::waitpid(sharer, nullptr, 0);
      return own ? taken < 50 : taken > 500;
    });
  }
}

}  // namespace
}  // namespace godwit
