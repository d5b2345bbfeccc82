#include "pod/restore/late_memory.h"

#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>

#include "base/log.h"
#include "base/sys.h"

namespace godwit::pod {
namespace {

constexpr uint64_t kPage = 4096;
constexpr uint64_t kFeatures =
    UFFD_FEATURE_EVENT_FORK | UFFD_FEATURE_EVENT_REMAP | UFFD_FEATURE_EVENT_REMOVE | UFFD_FEATURE_EVENT_UNMAP;
constexpr long kAgainNs = 20'000;  // a thread that was told to go on needs about that long to say so
constexpr size_t kNamedRanges = 4;
constexpr size_t kWantedAtOnce = 32;

void pause_ns(long ns) {
  const timespec t{0, ns};
  ::nanosleep(&t, nullptr);
}

Result<void> enable(const Fd& uffd) {
  uffdio_api api{UFFD_API, kFeatures, 0};
  if (::ioctl(uffd.get(), UFFDIO_API, &api) < 0) return fail_errno(errno, "userfaultfd with events");
  return {};
}

// The guard: raw calls only, for it is a copy of a process that had other threads.
[[noreturn]] void run_guard(int keeper, int init) {
  ::prctl(PR_SET_NAME, "godwit-guard");
  ::setsid();
  pollfd p{keeper, POLLIN, 0};
  while (::poll(&p, 1, -1) != 1) {
  }
  (void)::syscall(SYS_pidfd_send_signal, init, SIGKILL, nullptr, 0);
  p.fd = init;
  while (::poll(&p, 1, -1) != 1) {
  }
  ::_exit(0);
}

}  // namespace

Result<void> LateMemory::probe() {
  const auto fd = ::syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return fail_errno(errno, "userfaultfd(2)");
  return enable(Fd(static_cast<int>(fd)));
}

LateMemory::LateMemory(std::vector<PageRun> later, engine::LatePages& pages)
    : later_(std::move(later)), pages_(pages) {}

LateMemory::~LateMemory() {
  lose();
  (void)finish();
  if (unreadable_ != nullptr) ::munmap(unreadable_, kPage);
}

std::vector<PageRun> LateMemory::runs_of(SpaceId space) const {
  std::vector<PageRun> out;
  std::ranges::copy_if(later_, std::back_inserter(out), [&](const PageRun& r) { return r.space == space; });
  return out;
}

bool LateMemory::holds(SpaceId space) const {
  return std::ranges::any_of(later_, [&](const PageRun& r) { return r.space == space; });
}

Result<void> LateMemory::start(pid_t init) {
  TRY(wake_, sys::eventfd());
  TRY(init_, sys::pidfd_open(init));
  TRY(self_, sys::pidfd_open(::getpid()));
  void* const page = ::mmap(nullptr, kPage, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (page == MAP_FAILED) return fail_errno(errno, "mmap of a page");
  unreadable_ = page;
  pager_ = std::thread([this] { run_pager(); });
  return {};
}

// On the pager's thread: copying this process takes a few ms when the unit has much shared memory.
void LateMemory::start_guard() {
  const int keeper = self_.get(), init = init_.get();
  // Without SIGCHLD: whoever waits for children here doesn't know it.
  const auto pid = static_cast<pid_t>(::syscall(SYS_clone, CLONE_FILES, 0, 0, 0, 0));
  if (pid == 0) run_guard(keeper, init);
  const std::scoped_lock lock(mutex_);
  guard_ = pid;
  guard_tried_ = true;
  guard_changed_.notify_all();
}

Result<void> LateMemory::guarded() {
  std::unique_lock lock(mutex_);
  guard_changed_.wait(lock, [&] { return guard_tried_; });
  if (guard_ < 0) return fail(Code::kFailed, "the guard of the userfaultfds can't be started");
  return {};
}

void LateMemory::end_guard() {
  if (guard_ <= 0) return;
  ::kill(guard_, SIGKILL);
  while (::waitpid(guard_, nullptr, __WALL) < 0 && errno == EINTR) {
  }
  guard_ = 0;
}

Result<void> LateMemory::adopt(SpaceId space, Fd uffd, std::span<const std::pair<uint64_t, uint64_t>> areas,
                               std::string name) {
  TRY_DO(enable(uffd));
  auto memory = std::make_unique<Memory>();
  memory->space = space;
  memory->name = std::move(name);
  memory->uffd = std::move(uffd);
  const auto runs = runs_of(space);
  size_t i = 0;
  for (const auto& [start, end] : areas) {
    for (; i < runs.size() && runs[i].address < end; i++) {
      if (runs[i].address < start || runs[i].address + runs[i].length > end) break;
      memory->missing.add(runs[i].address, runs[i].address + runs[i].length, runs[i].address);
    }
    uffdio_register registration{{start, end - start}, UFFDIO_REGISTER_MODE_MISSING, 0};
    if (::ioctl(memory->uffd.get(), UFFDIO_REGISTER, &registration) < 0) {
      return fail_errno(errno, "registering memory that follows");
    }
    memory->registered.add(start, end);
  }
  if (i != runs.size()) return fail(Code::kCorrupt, "pages that follow, where the unit has no memory");
  {
    const std::scoped_lock lock(mutex_);
    memories_.push_back(std::move(memory));
  }
  nudge();
  return {};
}

// The pager looks again.
void LateMemory::nudge() const {
  const uint64_t one = 1;
  (void)!::write(wake_.get(), &one, sizeof one);
}

void LateMemory::run_pager() {
  start_guard();
  std::vector<pollfd> polled;
  std::vector<PageRun> wanted;
  bool again = false;
  while (!stop_) {
    polled.assign(1, {wake_.get(), POLLIN, 0});
    {
      const std::scoped_lock lock(mutex_);
      for (const auto& m : memories_) {
        if (!m->gone && !lost_) polled.push_back({m->uffd.get(), POLLIN, 0});
      }
    }
    const timespec soon{0, kAgainNs};
    (void)::ppoll(polled.data(), polled.size(), again ? &soon : nullptr, nullptr);
    uint64_t n = 0;
    if (polled[0].revents != 0) (void)!::read(wake_.get(), &n, sizeof n);
    wanted.clear();
    again = false;
    {
      const std::scoped_lock lock(mutex_);
      if (lost_) continue;  // nobody gets anything any more
      for (size_t i = 0; i < memories_.size(); i++) {  // a fork adds one
        Memory& m = *memories_[i];
        if (m.gone) continue;
        take_events(m);
        again = answer_faults(m, wanted) || again || !m.overtaken.empty() || !m.doubts.empty() || !m.changes.empty();
      }
    }
    std::ranges::sort(wanted, {}, [](const PageRun& r) { return std::pair(r.space, r.address); });
    for (size_t i = 0; i < wanted.size(); i += kWantedAtOnce) {
      pages_.want(std::span(wanted).subspan(i, std::min(kWantedAtOnce, wanted.size() - i)));
    }
  }
}

// With mutex_. True when some have to be tried again.
bool LateMemory::answer_faults(Memory& memory, std::vector<PageRun>& wanted) {
  std::vector<uint64_t> later;
  for (const uint64_t address : std::exchange(memory.faults, {})) {
    const bool moving = std::ranges::any_of(
        memory.overtaken, [&](const Move& m) { return address >= m.to && address - m.to < m.length; });
    if (moving) {
      later.push_back(address);
      continue;
    }
    if (const auto source = memory.missing.source_of(address)) {
      if (asked_.emplace(memory.space, *source).second) wanted.push_back({memory.space, *source, kPage});
      continue;
    }
    uint64_t length = kPage;
    const auto done = put(memory, address, nullptr, length);
    if (!done) {
      log::error("{}: a zero page at {:x}: {}", memory.name, address, done.error().message());
      continue;
    }
    if (*done == Put::kChanging) later.push_back(address);
    if (*done == Put::kPresent || *done == Put::kNoArea) wake(memory, address);
  }
  memory.faults.insert(memory.faults.end(), later.begin(), later.end());
  return !memory.faults.empty();
}

// `length` becomes what was put there.
Result<LateMemory::Put> LateMemory::put(Memory& memory, uint64_t address, const std::byte* data, uint64_t& length) {
  if (!memory.doubts.empty() || !memory.overtaken.empty()) {
    length = 0;
    return Put::kChanging;
  }
  int64_t moved = 0;
  int r = 0;
  if (data != nullptr) {
    uffdio_copy copy{address, reinterpret_cast<uint64_t>(data), length, 0, 0};
    r = ::ioctl(memory.uffd.get(), UFFDIO_COPY, &copy);
    moved = copy.copy;
  } else {
    uffdio_zeropage zero{{address, length}, 0, 0};
    r = ::ioctl(memory.uffd.get(), UFFDIO_ZEROPAGE, &zero);
    moved = zero.zeropage;
  }
  const int e = r < 0 ? errno : 0;
  if (e != EAGAIN) {  // nothing was under way
    memory.changes.clear();
    memory.moved_to.clear();
  }
  length = moved > 0 ? static_cast<uint64_t>(moved) : 0;
  if (length > 0 || e == 0) return Put::kDone;
  switch (e) {
    case EAGAIN: return Put::kChanging;
    case EEXIST: return Put::kPresent;
    case ENOENT: return look(memory.uffd, address) == Area::kChanging ? Put::kChanging : Put::kNoArea;
    case ESRCH:
      memory.gone = true;
      memory.missing.clear();
      memory.faults.clear();
      return Put::kGone;
    default: return fail_errno(e, "putting a page into " + memory.name);
  }
}

void LateMemory::wake(Memory& memory, uint64_t address) {
  uffdio_range range{address, kPage};
  (void)::ioctl(memory.uffd.get(), UFFDIO_WAKE, &range);
}

Result<void> LateMemory::write(const PageRun& run, const std::byte* data) {
  std::unique_lock lock(mutex_);
  for (size_t i = 0; i < memories_.size() && !lost_; i++) {  // a fork meanwhile adds one
    if (memories_[i]->space == run.space) TRY_DO(install(*memories_[i], run, data, lock));
  }
  return {};
}

Result<void> LateMemory::install(Memory& memory, const PageRun& run, const std::byte* data,
                                 std::unique_lock<std::mutex>& lock) {
  for (bool again = true; again && !memory.gone && !lost_;) {
    // What is on its way to another address would not be found.
    again = !memory.overtaken.empty() || !memory.doubts.empty();
    for (const auto& part : memory.missing.at_source(run.address, run.length)) {
      if (again) break;
      bool by_page = false;
      for (uint64_t at = 0; at < part.length && !again && !memory.gone;) {
        const uint64_t address = part.address + at;
        uint64_t length = by_page ? kPage : part.length - at;
        TRY(const Put done,
            put(memory, address, data != nullptr ? data + (part.source + at - run.address) : nullptr, length));
        switch (done) {
          case Put::kDone:
            memory.missing.erase(address, address + length);
            at += length;
            break;
          case Put::kNoArea:
            // Either the run lies in several areas, or there is none: then nobody misses it.
            if (!by_page && part.length - at > kPage) {
              by_page = true;
              break;
            }
            [[fallthrough]];
          case Put::kPresent:
            if (done == Put::kPresent) log::error("{}: {:x} was there before it arrived", memory.name, address);
            memory.missing.erase(address, address + kPage);
            wake(memory, address);
            at += kPage;
            break;
          case Put::kChanging: again = true; break;
          case Put::kGone: return {};
        }
      }
      if (again) break;
    }
    if (!again) break;
    if (!take_events(memory)) {
      lock.unlock();
      pause_ns(kAgainNs);
      lock.lock();
    }
    if (!memory.faults.empty()) nudge();
  }
  return {};
}

// With mutex_. A memory ends with its last process; asked for an area that can't be registered, the kernel tells.
bool LateMemory::is_gone(Memory& memory) {
  uffdio_range range{kNobodysPage, kPage};
  if (memory.registered.overlaps(range.start, range.start + range.len)) return false;
  if (::ioctl(memory.uffd.get(), UFFDIO_UNREGISTER, &range) == 0 || errno != ENOMEM) return false;
  memory.gone = true;
  memory.missing.clear();
  memory.faults.clear();
  return true;
}

// An empty book counts when nothing is under way: a fork that wasn't told yet is of a time when it wasn't empty.
bool LateMemory::misses_locked(std::unique_lock<std::mutex>& lock) {
  for (;;) {
    bool quiet = true;
    for (size_t i = 0; i < memories_.size() && !lost_; i++) {  // a fork adds one
      Memory& m = *memories_[i];
      if (m.gone || is_gone(m)) continue;
      if (!m.missing.empty()) return true;
      take_events(m);
      if (!m.faults.empty()) nudge();
      if (!m.missing.empty()) return true;
      quiet = quiet && m.overtaken.empty() && is_quiet(m);
    }
    if (lost_ || quiet) return lost_;
    lock.unlock();
    pause_ns(kAgainNs);
    lock.lock();
  }
}

bool LateMemory::misses() {
  std::unique_lock lock(mutex_);
  return misses_locked(lock);
}

void LateMemory::lose() {
  std::unique_lock lock(mutex_);
  if (!lost_ && misses_locked(lock) && !lost_) lose_locked({});
}

void LateMemory::lose_locked(std::string why) {
  lost_ = true;
  lost_pages_ = std::move(why);
  if (init_.valid()) (void)::syscall(SYS_pidfd_send_signal, init_.get(), SIGKILL, nullptr, 0);
  size_t named = 0;
  for (const auto& m : memories_) {
    if (m->missing.empty()) continue;
    lost_pages_ += "\n  " + m->name + ": " + std::to_string(m->missing.bytes() / kPage) + " pages";
    for (const auto& part : m->missing.all()) {
      if (named++ >= kNamedRanges) break;
      char range[64];
      std::snprintf(range, sizeof range, " %lx-%lx", part.source, part.source + part.length);
      lost_pages_ += range;
    }
  }
  if (named > kNamedRanges) lost_pages_ += " …";
}

Result<void> LateMemory::finish() {
  if (!pager_.joinable() && memories_.empty()) return {};
  Result<void> result;
  {
    const std::scoped_lock lock(mutex_);
    if (lost_) result = fail(Code::kPeer, "memory was lost on its way, so the unit was ended:" + lost_pages_);
  }
  if (!result && init_.valid()) {
    pollfd p{init_.get(), POLLIN, 0};  // nobody may be left when the descriptors close
    while (::poll(&p, 1, -1) < 0) {
    }
  }
  stop_ = true;
  if (pager_.joinable()) {
    nudge();
    pager_.join();
  }
  {
    const std::scoped_lock lock(mutex_);
    memories_.clear();  // nothing is missing, or nobody is left to miss it
  }
  end_guard();
  return result;
}

}  // namespace godwit::pod
