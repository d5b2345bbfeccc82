// LateMemory's pages: what the pager thread does for threads that wait, and what arrives put in its place.
#include <linux/userfaultfd.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/log.h"
#include "pod/restore/late_memory.h"

namespace godwit::pod {
namespace {

constexpr uint64_t kPage = 4096;
constexpr size_t kWantedAtOnce = 32;

}  // namespace

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
    if (!take_events(memory)) wait_a_moment(lock);
    if (!memory.faults.empty()) nudge();
  }
  return {};
}

}  // namespace godwit::pod
