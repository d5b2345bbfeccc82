// LateMemory's beginning and end: probing, the userfaultfds that are taken over, whether something is still missing, and what
// becomes of the unit then. See late_memory.h.
#include "pod/restore/late_memory.h"

#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>

#include "base/log.h"
#include "base/sys.h"

namespace godwit::pod {
namespace {

constexpr uint64_t kPage = 4096;
constexpr uint64_t kFeatures =
    UFFD_FEATURE_EVENT_FORK | UFFD_FEATURE_EVENT_REMAP | UFFD_FEATURE_EVENT_REMOVE | UFFD_FEATURE_EVENT_UNMAP;
constexpr size_t kNamedRanges = 4;

Result<void> enable(const Fd& uffd) {
  uffdio_api api{UFFD_API, kFeatures, 0};
  if (::ioctl(uffd.get(), UFFDIO_API, &api) < 0) return fail_errno(errno, "userfaultfd with events");
  return {};
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

// Without the lock meanwhile.
void LateMemory::wait_a_moment(std::unique_lock<std::mutex>& lock) {
  lock.unlock();
  const timespec t{0, kAgainNs};
  ::nanosleep(&t, nullptr);
  lock.lock();
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
    wait_a_moment(lock);
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
