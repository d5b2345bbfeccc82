// Trees of processes that end while they are looked at and stopped.
#include "pod/freeze.h"

#include <gtest/gtest.h>
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>
#include <vector>

#include "pod/capture/capture.h"
#include "pod/pod.h"

namespace godwit::pod {
namespace {

/// A child of this process that runs `work`; killed and waited for in the end.
class Child {
 public:
  explicit Child(const std::function<void()>& work) : pid_(::fork()) {
    if (pid_ != 0) return;
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    work();
    ::_exit(0);
  }
  ~Child() {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  Child(const Child&) = delete;
  pid_t pid() const { return pid_; }
  void wait_for_end() const {
    siginfo_t info{};
    ::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOWAIT);
  }

 private:
  pid_t pid_;
};

void expect_ended(const auto& result, pid_t pid) {
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, Code::kGone);
  EXPECT_TRUE(result.error().message().starts_with("process " + std::to_string(pid) + " has ended"))
      << result.error().message();
}

TEST(EndedTree, is_said_to_have_ended) {
  pid_t pid = 0;
  const ProcFs proc = *ProcFs::open();
  std::vector<engine::Blocker> blockers;
  {
    const Child child([] {});
    pid = child.pid();
    child.wait_for_end();
    EXPECT_TRUE(proc.has_ended(pid));
    expect_ended(check_tree(pid), pid);
    expect_ended(Frozen::freeze(proc, pid, {}, blockers), pid);
  }
  EXPECT_TRUE(proc.has_ended(pid));
  expect_ended(check_tree(pid), pid);
  expect_ended(Frozen::freeze(proc, pid, {}, blockers), pid);
  EXPECT_TRUE(blockers.empty());
  EXPECT_FALSE(proc.has_ended(::getpid()));
}

// Else the outline of the one would not be that of the other, and the last one would be built while the unit stands still.
TEST(Freeze, finds_processes_in_the_order_in_which_a_look_does) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  const auto tell = [&] { EXPECT_EQ(::write(ends[1], "x", 1), 1); };
  const Child root([&] {
    for (int i = 0; i < 4; i++) {
      if (::fork() != 0) continue;
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      for (int k = 0; k < i; k++) {
        if (::fork() != 0) continue;
        ::prctl(PR_SET_PDEATHSIG, SIGKILL);
        break;
      }
      tell();
      for (;;) ::pause();
    }
    for (;;) ::pause();
  });
  char c = 0;
  for (int i = 0; i < 4 + 6; i++) ASSERT_EQ(::read(ends[0], &c, 1), 1);
  ::close(ends[0]);
  ::close(ends[1]);
  const ProcFs proc = *ProcFs::open();
  const auto order = [](const std::vector<FrozenProcess>& processes) {
    std::vector<pid_t> pids;
    for (const auto& p : processes) pids.push_back(p.host_pid);
    return pids;
  };
  const auto seen = look_at_tree(proc, root.pid());
  ASSERT_TRUE(seen);
  std::vector<engine::Blocker> blockers;
  const auto frozen = Frozen::freeze(proc, root.pid(), {}, blockers);
  ASSERT_TRUE(frozen) << frozen.error().message();
  EXPECT_EQ(seen->size(), 11u);
  EXPECT_EQ(order(*seen), order(frozen->processes()));
}

// Three, beside the caller.
void start_waiting_threads() {
  const auto wait = [](void*) -> void* {
    for (;;) ::pause();
  };
  pthread_t thread;
  for (int i = 0; i < 3; i++) ::pthread_create(&thread, nullptr, wait, nullptr);
}

// Whoever ends while the tree is stopped takes its threads along, also those that stand already; it isn't part of the tree, or
// a zombie in it, which its parent waits for.
TEST(Freeze, holds_a_tree_whose_processes_keep_ending) {
  const Child child([] {
    for (;;) {
      const pid_t some = ::fork();
      if (some == 0) {
        start_waiting_threads();
        ::_exit(7);  // not exit(3): the leak checker of a build with sanitizers would trace it
      }
      int status = 0;
      if (::waitpid(some, &status, 0) != some || !WIFEXITED(status) || WEXITSTATUS(status) != 7) ::_exit(1);
    }
  });
  const ProcFs proc = *ProcFs::open();
  for (int i = 0; i < 200; i++) {
    std::vector<engine::Blocker> blockers;
    auto frozen = Frozen::freeze(proc, child.pid(), {}, blockers);
    ASSERT_TRUE(frozen) << frozen.error().message();
    ASSERT_LE(frozen->processes().size(), 2u);
    for (auto& process : frozen->processes()) {
      ASSERT_EQ(process.zombie, process.threads.empty());
      if (!process.zombie) {
        ASSERT_EQ(process.leader().tid(), process.host_pid);
      }
    }
    ASSERT_TRUE(frozen->thaw());
  }
  EXPECT_FALSE(proc.has_ended(child.pid()));
}

// Its tracer hears of the end first, and its parent only when the tracer let go of it.
// Else they would run on from wherever the tracer's own calls left them.
TEST(Freeze, takes_a_units_processes_along_when_the_tracer_dies) {
  const pid_t pid = ::fork();
  if (pid == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (;;) ::pause();
  }
  int ready[2];
  ASSERT_EQ(::pipe(ready), 0);
  const Child tracer([&] {
    const ProcFs proc = *ProcFs::open();
    std::vector<engine::Blocker> blockers;
    auto frozen = Frozen::freeze(proc, pid, {.kill_with_tracer = true}, blockers);
    const bool done = frozen && frozen->remote(frozen->processes().front());
    (void)!::write(ready[1], done ? "y" : "n", 1);
    ::pause();
  });
  char answer = 0;
  ASSERT_EQ(::read(ready[0], &answer, 1), 1);
  EXPECT_EQ(answer, 'y');
  ::kill(tracer.pid(), SIGKILL);
  int status = 0;
  ASSERT_EQ(::waitpid(pid, &status, 0), pid);
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) << status;
  ::close(ready[0]);
  ::close(ready[1]);
}

TEST(Freeze, hides_nobodys_end_from_its_parent) {
  int ready[2];
  ASSERT_EQ(::pipe(ready), 0);
  const Child child([&] {
    const pid_t some = ::fork();
    if (some == 0) {
      start_waiting_threads();
      (void)::write(ready[1], &some, 1);
      for (;;) ::pause();
    }
    int status = 0;
    const bool killed = ::waitpid(some, &status, 0) == some && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
    ::_exit(killed ? 0 : 1);
  });
  char c = 0;
  ASSERT_EQ(::read(ready[0], &c, 1), 1);
  const ProcFs proc = *ProcFs::open();
  std::vector<engine::Blocker> blockers;
  auto frozen = Frozen::freeze(proc, child.pid(), {}, blockers);
  ASSERT_TRUE(frozen) << frozen.error().message();
  ASSERT_EQ(frozen->processes().size(), 2u);
  ASSERT_EQ(frozen->processes().back().threads.size(), 4u);
  ::kill(frozen->processes().back().host_pid, SIGKILL);
  EXPECT_TRUE(frozen->thaw());
  siginfo_t end{};
  ASSERT_EQ(::waitid(P_PID, static_cast<id_t>(child.pid()), &end, WEXITED | WNOWAIT), 0);
  EXPECT_EQ(end.si_status, 0);
  ::close(ready[0]);
  ::close(ready[1]);
}

}  // namespace
}  // namespace godwit::pod
