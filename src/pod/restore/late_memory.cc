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
constexpr uint64_t kNobodys = 0x10000;  // vm.mmap_min_addr: hardly ever a program's memory
constexpr int kLooksAtFork = 1000;
constexpr long kAtForkNs = 2'000;
constexpr size_t kNamedRanges = 4;
constexpr size_t kWantedAtOnce = 32;

void pause_ns(long ns) {
  const timespec t{0, ns};
  ::nanosleep(&t, nullptr);
}

bool overlap(uint64_t a, uint64_t a_length, uint64_t b, uint64_t b_length) {
  return a < b + b_length && b < a + a_length;
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
  const uint64_t one = 1;
  (void)!::write(wake_.get(), &one, sizeof one);
  return {};
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
        again = answer_faults(m, wanted) || again || !m.overtaken.empty() || !m.doubts.empty();
      }
    }
    std::ranges::sort(wanted, {}, [](const PageRun& r) { return std::pair(r.space, r.address); });
    for (size_t i = 0; i < wanted.size(); i += kWantedAtOnce) {
      pages_.want(std::span(wanted).subspan(i, std::min(kWantedAtOnce, wanted.size() - i)));
    }
  }
}

// With mutex_. Everything that the kernel has to say: changes go into the book at once, faults wait until all was read.
bool LateMemory::take_events(Memory& memory) {
  std::array<uffd_msg, 32> messages;
  bool any = false;
  for (int looks = 0;; looks++) {
    const ssize_t n = ::read(memory.uffd.get(), messages.data(), sizeof messages);
    if (n < 0 && errno == EINTR) continue;
    if (n > 0) {
      any = true;
      for (size_t i = 0; i < static_cast<size_t>(n) / sizeof(uffd_msg); i++) apply(memory, messages[i]);
      continue;
    }
    if (memory.newborn.empty()) break;
    // Until nothing is under way in the parent, a change may turn out to be older than the fork.
    if (look(memory, kNobodys) != Area::kChanging || looks > kLooksAtFork) {
      memory.newborn.clear();
      break;
    }
    pause_ns(kAtForkNs);
  }
  settle(memory);
  return any;
}

void LateMemory::apply(Memory& memory, const uffd_msg& message) {
  switch (message.event) {
    case UFFD_EVENT_PAGEFAULT:
      faults_++;
      memory.faults.push_back(message.arg.pagefault.address & ~(kPage - 1));
      break;
    case UFFD_EVENT_FORK: fork(memory, Fd(static_cast<int>(message.arg.fork.ufd))); break;
    case UFFD_EVENT_REMAP: {
      Move move{message.arg.remap.from, message.arg.remap.to, message.arg.remap.len, false, {}};
      const bool behind = std::ranges::any_of(
          memory.overtaken, [&](const Move& m) { return overlap(m.to, m.length, move.from, move.length); });
      if (!behind) lift(memory, move);
      memory.overtaken.push_back(std::move(move));
      break;
    }
    case UFFD_EVENT_REMOVE: removed(memory, message.arg.remove.start, message.arg.remove.end); break;
    case UFFD_EVENT_UNMAP: unmapped(memory, message.arg.remove.start, message.arg.remove.end); break;
    default: break;
  }
  apply_moves(memory);
}

void LateMemory::lift(Memory& memory, Move& move) {
  if (move.lifted) return;
  move.parts = memory.missing.take(move.from, move.from + move.length);
  move.lifted = true;
}

// In the order in which they were told, each when its target is free, or `all` of them.
void LateMemory::apply_moves(Memory& memory, bool all) {
  for (size_t i = 0; i < memory.overtaken.size();) {
    Move& move = memory.overtaken[i];
    const bool behind = std::any_of(memory.overtaken.begin(), memory.overtaken.begin() + static_cast<ptrdiff_t>(i),
                                    [&](const Move& m) { return overlap(m.to, m.length, move.from, move.length); });
    if (!all && (behind || memory.registered.overlaps(move.to, move.to + move.length))) {
      i++;
      continue;
    }
    lift(memory, move);
    move_newborn(memory, move);
    memory.missing.erase(move.to, move.to + move.length);
    for (const auto& part : move.parts) {
      const uint64_t start = part.address - move.from + move.to;
      memory.missing.add(start, start + part.length, part.source);
    }
    memory.moved_to.emplace_back(move.to, move.to + move.length);
    memory.registered.add(move.to, move.to + move.length);  // `from` goes by its own event, or stays (MREMAP_DONTUNMAP)
    memory.overtaken.erase(memory.overtaken.begin() + static_cast<ptrdiff_t>(i));
    i = 0;
  }
}

// A child whose fork was told before this move may have been forked behind it. Its parent's thread has hardly returned
// from fork(2), and no event of the child's own is read in between: what the kernel says of it is as it was born.
void LateMemory::move_newborn(Memory& parent, const Move& move) {
  for (Memory* child : parent.newborn) {
    const Area there = look(*child, move.to), here = look(*child, move.from);
    if (child->gone || there == Area::kNone || here == Area::kThere) continue;
    if (there == Area::kChanging || here == Area::kChanging) {
      return lose_locked("\n  " + child->name + ": can't be told what it has");
    }
    child->missing.move(move.from, move.to, move.length);
    child->registered.add(move.to, move.to + move.length);
  }
}

// Dropped by the program, also what it has moved there a moment ago.
void LateMemory::removed(Memory& memory, uint64_t start, uint64_t end) {
  memory.missing.erase(start, end);
  for (Move& move : memory.overtaken) {
    if (!move.lifted || !overlap(move.to, move.length, start, end - start)) continue;
    MissingPages parts;
    for (const auto& part : move.parts) parts.add(part.address, part.address + part.length, part.source);
    const uint64_t from = std::max(start, move.to), to = std::min(end, move.to + move.length);
    parts.erase(from - move.to + move.from, to - move.to + move.from);
    move.parts = parts.all();
  }
}

void LateMemory::unmapped(Memory& memory, uint64_t start, uint64_t end) {
  for (Memory* child : memory.newborn) {  // unmapped before the fork?
    if (look(*child, start) != Area::kNone || look(*child, end - kPage) != Area::kNone) continue;
    child->missing.erase(start, end);
    child->registered.erase(start, end);
  }
  memory.registered.erase(start, end);
  std::ranges::sort(memory.moved_to);
  for (const auto& [from, to] : memory.moved_to) {
    if (to <= start || end <= from) continue;
    if (start < from) memory.missing.erase(start, from);
    memory.doubts.emplace_back(std::max(start, from), std::min(end, to));
    start = std::min(end, to);
  }
  if (start < end) memory.missing.erase(start, end);
}

// Is an area there that is registered? A copy from a page that can't be read tells, and does nothing.
// "None" counts when it is said twice: the first may come from a change that began in the middle of the call, and then the
// second finds it under way.
LateMemory::Area LateMemory::look(const Memory& memory, uint64_t address) const {
  for (int i = 0; i < 2; i++) {
    uffdio_copy copy{address, reinterpret_cast<uint64_t>(unreadable_), kPage, 0, 0};
    if (::ioctl(memory.uffd.get(), UFFDIO_COPY, &copy) == 0) return Area::kThere;
    if (errno == EAGAIN) return Area::kChanging;
    if (errno == EFAULT || errno == EEXIST) return Area::kThere;
  }
  return Area::kNone;
}

// With mutex_, after all events were read. Nothing is under way when the kernel answers anything but EAGAIN.
void LateMemory::settle(Memory& memory) {
  if (!memory.overtaken.empty()) {
    if (look(memory, kNobodys) == Area::kChanging) return;
    apply_moves(memory, true);  // what they waited for isn't under way
  }
  while (!memory.doubts.empty()) {
    const auto [start, end] = memory.doubts.back();
    std::vector<Range> gone;
    for (const auto& part : memory.missing.all()) {
      for (uint64_t page = std::max(part.address, start); page < std::min(part.address + part.length, end);
           page += kPage) {
        const Area area = look(memory, page);
        if (area == Area::kChanging) return;
        if (area == Area::kNone) gone.emplace_back(page, page + kPage);
      }
    }
    for (const auto& [from, to] : gone) memory.missing.erase(from, to);
    const Area area = look(memory, start);
    if (area == Area::kChanging) return;
    if (area == Area::kThere) memory.registered.add(start, end);
    memory.doubts.pop_back();
  }
  if (!memory.moved_to.empty() && look(memory, kNobodys) != Area::kChanging) memory.moved_to.clear();
}

void LateMemory::fork(Memory& parent, Fd uffd) {
  auto child = std::make_unique<Memory>();
  child->space = parent.space;
  child->name = "a child of " + parent.name;
  child->uffd = std::move(uffd);
  child->missing = parent.missing;
  child->registered = parent.registered;
  // In the child it has all happened; the event that they wait for is the parent's alone.
  for (const auto& m : parent.overtaken) {
    const auto parts = m.lifted ? m.parts : child->missing.take(m.from, m.from + m.length);
    child->missing.erase(m.to, m.to + m.length);
    for (const auto& part : parts) {
      const uint64_t start = part.address - m.from + m.to;
      child->missing.add(start, start + part.length, part.source);
    }
    child->registered.add(m.to, m.to + m.length);
  }
  child->moved_to = parent.moved_to;
  child->doubts = parent.doubts;
  parent.newborn.push_back(child.get());
  memories_.push_back(std::move(child));
  const uint64_t one = 1;
  (void)!::write(wake_.get(), &one, sizeof one);  // the pager polls it from now on
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
  length = moved > 0 ? static_cast<uint64_t>(moved) : 0;
  if (length > 0 || e == 0) return Put::kDone;
  switch (e) {
    case EAGAIN: return Put::kChanging;
    case EEXIST: return Put::kPresent;
    case ENOENT: return look(memory, address) == Area::kChanging ? Put::kChanging : Put::kNoArea;
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
    if (!memory.faults.empty()) {
      const uint64_t one = 1;
      (void)!::write(wake_.get(), &one, sizeof one);
    }
  }
  return {};
}

// With mutex_. A memory ends with its last process; asked for an area that can't be registered, the kernel tells.
bool LateMemory::is_gone(Memory& memory) {
  uffdio_range range{kNobodys, kPage};
  if (memory.registered.overlaps(range.start, range.start + range.len)) return false;
  if (::ioctl(memory.uffd.get(), UFFDIO_UNREGISTER, &range) == 0 || errno != ENOMEM) return false;
  memory.gone = true;
  memory.missing.clear();
  memory.faults.clear();
  return true;
}

bool LateMemory::misses_locked() {
  return std::ranges::any_of(memories_, [&](const auto& m) {
    return !m->gone && (!m->missing.empty() || !m->overtaken.empty()) && !is_gone(*m);
  });
}

bool LateMemory::misses() {
  const std::scoped_lock lock(mutex_);
  return lost_ || misses_locked();
}

void LateMemory::lose() {
  const std::scoped_lock lock(mutex_);
  if (!lost_ && misses_locked()) lose_locked({});
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
    const uint64_t one = 1;
    (void)!::write(wake_.get(), &one, sizeof one);
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
