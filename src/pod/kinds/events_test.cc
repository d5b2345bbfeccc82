#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "godwit/pod_kinds_events.pb.h"
#include "pod/kinds/fake_context_test.h"

namespace godwit::pod::test {
namespace {

uint64_t read_count(int fd) {
  uint64_t count = 0;
  return ::read(fd, &count, sizeof count) == sizeof count ? count : 0;
}
bool readable(int fd) {
  pollfd p{fd, POLLIN, 0};
  return ::poll(&p, 1, 0) == 1;
}
std::string fdinfo(int fd) { return *io::read_file("/proc/self/fdinfo/" + std::to_string(fd)); }

TEST(EventfdKind, keeps_a_count_of_64_bits) {
  Fd fd(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  const uint64_t count = 0x123456789abcd;
  ASSERT_OK(io::write_full(fd.get(), std::as_bytes(std::span(&count, 1))));
  FakeTree tree;
  const FileId id = tree.add(fd.get());
  DUMP_AND_RESTORE(tree, restored);
  EXPECT_EQ(::fcntl(restored.fd(id), F_GETFL), ::fcntl(fd.get(), F_GETFL));
  EXPECT_EQ(read_count(restored.fd(id)), count);
  EXPECT_FALSE(readable(restored.fd(id)));
}

TEST(EventfdKind, stays_a_semaphore) {
  Fd fd(::eventfd(3, EFD_SEMAPHORE | EFD_CLOEXEC));
  FakeTree tree;
  const FileId id = tree.add(fd.get());
  DUMP_AND_RESTORE(tree, restored);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(read_count(restored.fd(id)), 1u);
  EXPECT_FALSE(readable(restored.fd(id)));
}

TEST(SignalfdKind, keeps_its_mask) {
  sigset_t mask;
  ::sigemptyset(&mask);
  for (const int s : {SIGUSR1, SIGRTMIN + 3, SIGRTMAX}) ::sigaddset(&mask, s);
  Fd fd(::signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK));
  FakeTree tree;
  const FileId id = tree.add(fd.get());
  DUMP_AND_RESTORE(tree, restored);
  const auto line = [](const std::string& info) { return info.substr(info.find("sigmask")); };
  EXPECT_EQ(line(fdinfo(restored.fd(id))), line(fdinfo(fd.get())));
}

class Timer {
 public:
  explicit Timer(clockid_t clock, int flags = TFD_NONBLOCK) : fd(::timerfd_create(clock, flags | TFD_CLOEXEC)) {}
  void set(Nanos value, Nanos interval, int flags = 0) {
    const auto spec = [](Nanos n) { return timespec{n.count() / 1'000'000'000, n.count() % 1'000'000'000}; };
    const itimerspec t{spec(interval), spec(value)};
    ASSERT_EQ(::timerfd_settime(fd.get(), flags, &t, nullptr), 0);
  }
  Fd fd;
};
Nanos left(int fd) {
  itimerspec t{};
  ::timerfd_gettime(fd, &t);
  return std::chrono::seconds(t.it_value.tv_sec) + Nanos(t.it_value.tv_nsec);
}
void wait_readable(int fd) {
  pollfd p{fd, POLLIN, 0};
  ASSERT_EQ(::poll(&p, 1, 20'000), 1);
}

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::seconds;

TEST(TimerfdKind, goes_on_counting_down) {
  Timer timer(CLOCK_MONOTONIC);
  timer.set(hours(2), seconds(7));
  FakeTree tree;
  const FileId id = tree.add(timer.fd.get());
  DUMP_AND_RESTORE(tree, restored);
  EXPECT_LE(left(restored.fd(id)), left(timer.fd.get()) + seconds(1));
  EXPECT_GT(left(restored.fd(id)), hours(1));
  itimerspec t{};
  ::timerfd_gettime(restored.fd(id), &t);
  EXPECT_EQ(t.it_interval.tv_sec, 7);
}

TEST(TimerfdKind, keeps_expirations_that_nobody_read) {
  Timer timer(CLOCK_BOOTTIME);
  timer.set(Nanos(1), Nanos(0));
  wait_readable(timer.fd.get());
  FakeTree tree;
  const FileId id = tree.add(timer.fd.get());
  DUMP_AND_RESTORE(tree, restored);
  EXPECT_EQ(read_count(restored.fd(id)), 1u);
  EXPECT_EQ(left(restored.fd(id)), Nanos(0));
  EXPECT_EQ(read_count(timer.fd.get()), 1u);
}

TEST(TimerfdKind, counts_what_expired_while_the_unit_stood) {
  Timer timer(CLOCK_MONOTONIC);
  timer.set(hours(1), hours(1));
  FakeTree tree;
  const FileId id = tree.add(timer.fd.get());
  const auto files = tree.dump();
  ASSERT_OK(files);
  FakeRestore restored(tree);
  restored.clock_shift = hours(3) + std::chrono::minutes(30);
  ASSERT_OK(restored.run(*files));
  EXPECT_EQ(read_count(restored.fd(id)), 3u);
  EXPECT_GT(left(restored.fd(id)), std::chrono::minutes(29));
  EXPECT_LE(left(restored.fd(id)), std::chrono::minutes(30));
}

TEST(TimerfdKind, an_absolute_timer_expires_at_the_moment_the_unit_meant) {
  Timer timer(CLOCK_MONOTONIC);
  timer.set(clock_now(CLOCK_MONOTONIC) + hours(2), Nanos(0), TFD_TIMER_ABSTIME);
  FakeTree tree;
  const FileId id = tree.add(timer.fd.get());
  const auto files = tree.dump();
  ASSERT_OK(files);
  FakeRestore restored(tree);
  restored.clock_shift = hours(1);
  ASSERT_OK(restored.run(*files));
  EXPECT_LE(left(restored.fd(id)), hours(1));
  EXPECT_GT(left(restored.fd(id)), std::chrono::minutes(59));
  EXPECT_NE(fdinfo(restored.fd(id)).find("settime flags: 01"), std::string::npos);
}

TEST(TimerfdKind, keeps_wall_clock_timers_and_their_flags) {
  Timer timer(CLOCK_REALTIME);
  timer.set(clock_now(CLOCK_REALTIME) + hours(2), Nanos(0), TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET);
  FakeTree tree;
  const FileId id = tree.add(timer.fd.get());
  DUMP_AND_RESTORE(tree, restored);
  EXPECT_NE(fdinfo(restored.fd(id)).find("settime flags: 03"), std::string::npos);
  EXPECT_GT(left(restored.fd(id)), std::chrono::minutes(119));
}

TEST(TimerfdKind, a_disarmed_one_stays_so) {
  Timer timer(CLOCK_MONOTONIC);
  FakeTree tree;
  const FileId id = tree.add(timer.fd.get());
  DUMP_AND_RESTORE(tree, restored);
  EXPECT_EQ(left(restored.fd(id)), Nanos(0));
  EXPECT_FALSE(readable(restored.fd(id)));
}

// A child that waits until it is told to end.
struct Child {
  Child() {
    auto ends = sys::pipe();
    go = std::move(ends->second);
    pid = ::fork();
    if (pid == 0) {
      char c;
      go.reset();
      (void)!::read(ends->first.get(), &c, 1);
      ::_exit(7);
    }
  }
  void end() { go.reset(); }
  void reap() { ::waitpid(pid, nullptr, 0); }
  Fd go;
  pid_t pid;
};

TEST(PidfdKind, finds_its_process_again) {
  Child child;
  Fd fd = *sys::pidfd_open(child.pid, O_NONBLOCK);
  FakeTree tree;
  tree.members[child.pid] = true;
  const FileId id = tree.add(fd.get());
  EXPECT_EQ(tree.kind_of(id), "pidfd");
  DUMP_AND_RESTORE(tree, restored);
  EXPECT_TRUE((*dumped_files)[0].late());
  EXPECT_EQ(::fcntl(restored.fd(id), F_GETFL), ::fcntl(fd.get(), F_GETFL));
  EXPECT_FALSE(readable(restored.fd(id)));
  child.end();
  siginfo_t info{};
  while (::waitid(P_PIDFD, static_cast<id_t>(restored.fd(id)), &info, WEXITED) != 0) {
  }
  EXPECT_EQ(info.si_status, 7);
}

TEST(PidfdKind, stays_dead_in_the_same_way) {
  Child child;
  Fd fd = *sys::pidfd_open(child.pid);
  child.end();
  child.reap();
  FakeTree tree;
  const FileId id = tree.add(fd.get());
  DUMP_AND_RESTORE(tree, restored);
  EXPECT_TRUE(readable(restored.fd(id)));
  EXPECT_EQ(::syscall(SYS_pidfd_send_signal, restored.fd(id), 0, nullptr, 0), -1);
  EXPECT_EQ(errno, ESRCH);
  pb::PidDescriptor state;
  state.ParseFromString((*dumped_files)[0].state());
  EXPECT_EQ(state.exit_status(), 7 << 8);
}

TEST(PidfdKind, of_a_process_outside_is_refused) {
  Fd fd = *sys::pidfd_open(1);
  FakeTree tree;
  tree.add(fd.get());
  ASSERT_OK(tree.dump());
  EXPECT_TRUE(tree.refused("pidfd-outside"));
}

std::string targets(int epoll) {
  const std::string info = fdinfo(epoll);
  std::vector<std::string> lines;
  for (size_t at = info.find("tfd:"); at != info.npos; at = info.find("tfd:", at + 1)) {
    lines.push_back(info.substr(at, info.find(" pos:", at) - at));
  }
  std::ranges::sort(lines);
  std::string all;
  for (const auto& line : lines) all += line + "\n";
  return all;
}
void add(int set, int fd, uint32_t events, uint64_t data) {
  epoll_event event{};
  event.events = events;
  event.data.u64 = data;
  ASSERT_EQ(::epoll_ctl(set, EPOLL_CTL_ADD, fd, &event), 0) << std::strerror(errno);
}

TEST(EpollKind, keeps_numbers_events_and_data) {
  Fd set(::epoll_create1(EPOLL_CLOEXEC));
  Fd one(::eventfd(1, EFD_CLOEXEC)), two(::eventfd(0, EFD_CLOEXEC));
  add(set.get(), one.get(), EPOLLIN, 0xdeadbeefcafe);
  add(set.get(), two.get(), EPOLLIN | EPOLLET | EPOLLEXCLUSIVE, 2);
  FakeTree tree;
  const FileId s = tree.add(set.get());
  tree.add(one.get());
  const FileId t = tree.add(two.get());
  EXPECT_EQ(tree.kind_of(s), "epoll");
  DUMP_AND_RESTORE(tree, restored);
  EXPECT_EQ(targets(restored.fd(s)), targets(set.get()));
  epoll_event events[4];
  ASSERT_EQ(::epoll_wait(restored.fd(s), events, 4, 0), 1);
  EXPECT_EQ(uint64_t{events[0].data.u64}, 0xdeadbeefcafeu);
  const uint64_t more = 1;
  ASSERT_OK(io::write_full(restored.fd(t), std::as_bytes(std::span(&more, 1))));
  EXPECT_EQ(::epoll_wait(restored.fd(s), events, 4, 0), 2);
}

TEST(EpollKind, finds_targets_whose_number_was_closed_or_reused) {
  Fd set(::epoll_create1(EPOLL_CLOEXEC));
  Fd first(::eventfd(0, EFD_CLOEXEC));
  const int number = first.get();
  add(set.get(), number, EPOLLIN, 1);
  Fd kept = *sys::dup(number);
  first.reset();
  Fd second(::eventfd(5, EFD_CLOEXEC));
  ASSERT_EQ(second.get(), number);
  add(set.get(), number, EPOLLIN, 2);  // the same number twice in one set
  FakeTree tree;
  const FileId s = tree.add(set.get());
  const FileId k = tree.add(kept.get());
  tree.add(second.get());
  DUMP_AND_RESTORE(tree, restored);
  EXPECT_EQ(targets(restored.fd(s)), targets(set.get()));
  epoll_event events[4];
  ASSERT_EQ(::epoll_wait(restored.fd(s), events, 4, 0), 1);
  EXPECT_EQ(uint64_t{events[0].data.u64}, 2u);
  const uint64_t more = 1;
  ASSERT_OK(io::write_full(restored.fd(k), std::as_bytes(std::span(&more, 1))));
  EXPECT_EQ(::epoll_wait(restored.fd(s), events, 4, 0), 2);
}

TEST(EpollKind, nests) {
  Fd outer(::epoll_create1(EPOLL_CLOEXEC)), inner(::epoll_create1(EPOLL_CLOEXEC));
  Fd event(::eventfd(0, EFD_CLOEXEC));
  add(outer.get(), inner.get(), EPOLLIN, 9);
  add(inner.get(), event.get(), EPOLLIN, 8);
  FakeTree tree;
  const FileId o = tree.add(outer.get());
  tree.add(inner.get());
  const FileId e = tree.add(event.get());
  DUMP_AND_RESTORE(tree, restored);
  epoll_event events[2];
  EXPECT_EQ(::epoll_wait(restored.fd(o), events, 2, 0), 0);
  const uint64_t more = 1;
  ASSERT_OK(io::write_full(restored.fd(e), std::as_bytes(std::span(&more, 1))));
  ASSERT_EQ(::epoll_wait(restored.fd(o), events, 2, 0), 1);
  EXPECT_EQ(uint64_t{events[0].data.u64}, 9u);
}

TEST(EpollKind, leaves_a_one_shot_that_fired_off) {
  Fd set(::epoll_create1(EPOLL_CLOEXEC));
  Fd ready(::eventfd(1, EFD_CLOEXEC));
  auto pipe = *sys::pipe();
  add(set.get(), ready.get(), EPOLLIN | EPOLLONESHOT, 1);
  add(set.get(), pipe.first.get(), EPOLLIN | EPOLLONESHOT, 2);
  ASSERT_OK(io::write_full(pipe.second.get(), "x"));
  epoll_event events[4];
  ASSERT_EQ(::epoll_wait(set.get(), events, 4, 0), 2);
  char byte;
  ASSERT_EQ(::read(pipe.first.get(), &byte, 1), 1);  // now that one has nothing to report
  FakeTree tree;
  const FileId s = tree.add(set.get());
  tree.add(ready.get());
  tree.add(pipe.first.get());
  const FileId w = tree.add(pipe.second.get());
  DUMP_AND_RESTORE(tree, restored);
  ASSERT_OK(io::write_full(restored.fd(w), "y"));
  EXPECT_EQ(::epoll_wait(restored.fd(s), events, 4, 0), 0);
}

TEST(EpollKind, refuses_a_target_that_only_others_hold) {
  Fd set(::epoll_create1(EPOLL_CLOEXEC));
  Fd outside(::eventfd(0, EFD_CLOEXEC));
  add(set.get(), outside.get(), EPOLLIN, 1);
  FakeTree tree;
  tree.add(set.get());
  ASSERT_OK(tree.dump());
  EXPECT_TRUE(tree.refused("epoll-target"));
}

TEST(EpollKind, refuses_numbers_that_no_process_has) {
  for (const int number : {-1, INT_MAX}) {
    pb::EpollSet state;
    auto* item = state.add_items();
    item->set_file(2);
    item->set_fd(number);
    pb::OpenFile set, target;
    set.set_id(1);
    set.set_kind("epoll");
    set.set_state(state.SerializeAsString());
    target.set_id(2);
    target.set_kind("eventfd");
    FakeTree tree;
    FakeRestore restored(tree);
    const auto done = restored.run({set, target});
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error().code, Code::kCorrupt);
  }
}

TEST(InotifyKind, keeps_watches_with_their_numbers) {
  ScratchDir dir;
  ASSERT_OK(sys::make_dirs(dir / "gone"));
  ASSERT_OK(io::replace_file(dir / "file with blank", "x"));
  Fd fd(::inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
  ASSERT_EQ(::inotify_add_watch(fd.get(), (dir / "gone").c_str(), IN_CREATE), 1);
  ASSERT_EQ(::inotify_rm_watch(fd.get(), 1), 0);
  char buffer[1000];
  ASSERT_GT(::read(fd.get(), buffer, sizeof buffer), 0);  // IN_IGNORED
  ASSERT_EQ(::inotify_add_watch(fd.get(), dir.path().c_str(), IN_CREATE | IN_ONLYDIR), 2);
  ASSERT_EQ(::inotify_add_watch(fd.get(), (dir / "file with blank").c_str(), IN_MODIFY | IN_ONESHOT), 3);
  FakeTree tree;
  const FileId id = tree.add(fd.get());
  EXPECT_EQ(tree.kind_of(id), "inotify");
  DUMP_AND_RESTORE(tree, restored);
  const auto watches = [](int f) {
    const std::string info = fdinfo(f);
    return info.substr(info.find("inotify"));
  };
  EXPECT_EQ(watches(restored.fd(id)), watches(fd.get()));
  EXPECT_FALSE(readable(restored.fd(id)));
  ASSERT_OK(io::replace_file(dir / "new", "y"));
  ASSERT_TRUE(readable(restored.fd(id)));
  inotify_event event;
  ASSERT_GE(::read(restored.fd(id), buffer, sizeof buffer), static_cast<ssize_t>(sizeof event));
  std::memcpy(&event, buffer, sizeof event);
  EXPECT_EQ(event.wd, 2);
  EXPECT_EQ(event.mask, static_cast<uint32_t>(IN_CREATE));
}

TEST(InotifyKind, refuses_to_lose_events) {
  ScratchDir dir;
  Fd fd(::inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
  ASSERT_EQ(::inotify_add_watch(fd.get(), dir.path().c_str(), IN_CREATE), 1);
  ASSERT_OK(io::replace_file(dir / "new", "y"));
  FakeTree tree;
  tree.add(fd.get());
  ASSERT_OK(tree.dump());
  EXPECT_TRUE(tree.refused("inotify-events"));
}

}  // namespace
}  // namespace godwit::pod::test
