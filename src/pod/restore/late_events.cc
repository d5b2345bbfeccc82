// LateMemory's book: what the kernel tells of a program's areas. All of it with mutex_ held.
#include <linux/userfaultfd.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "pod/restore/late_memory.h"

namespace godwit::pod {
namespace {

constexpr uint64_t kPage = 4096;

bool overlap(uint64_t a, uint64_t a_length, uint64_t b, uint64_t b_length) {
  return a < b + b_length && b < a + a_length;
}

}  // namespace

// Everything that the kernel has to say: changes go into the book at once, faults wait until all was read.
bool LateMemory::take_events(Memory& memory) {
  bool any = false;
  for (;;) {
    any = read_events(memory) || any;
    const bool quiet = settle(memory);
    if (memory.births.empty() || lost_) break;
    if (quiet) {
      deliver(memory);
      break;
    }
    // Until nothing is under way in the parent, a change may turn out to be older than the fork. It comes to that: nobody gets
    // a page meanwhile, so all who touch one wait.
    ::sched_yield();
  }
  return any;
}

bool LateMemory::read_events(Memory& memory) {
  std::array<uffd_msg, 32> messages;
  bool any = false;
  for (;;) {
    const ssize_t n = ::read(memory.uffd.get(), messages.data(), sizeof messages);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return any;
    any = true;
    for (size_t i = 0; i < static_cast<size_t>(n) / sizeof(uffd_msg); i++) apply(memory, messages[i]);
  }
}

void LateMemory::apply(Memory& memory, const uffd_msg& message) {
  memory.told++;
  for (Birth& birth : memory.births) {  // at once, for a child may let something grow there, which nobody tells
    const auto& [from, to, length] = message.arg.remap;
    const auto& [start, end] = message.arg.remove;
    if (message.event == UFFD_EVENT_REMAP) look_at_ends(birth, from, to, length);
    if (message.event == UFFD_EVENT_UNMAP) look_at_ends(birth, start, start, end - start);
  }
  switch (message.event) {
    case UFFD_EVENT_PAGEFAULT:
      faults_++;
      memory.faults.push_back(message.arg.pagefault.address & ~(kPage - 1));
      break;
    case UFFD_EVENT_FORK: {
      Birth birth{Fd(static_cast<int>(message.arg.fork.ufd)), memory.told};
      for (const Change& c : memory.changes) {
        if (c.kind == Change::kMove) look_at_ends(birth, c.from, c.to, c.length);
      }
      for (const Move& m : memory.overtaken) look_at_ends(birth, m.from, m.to, m.length);
      memory.births.push_back(std::move(birth));
      break;
    }
    case UFFD_EVENT_REMAP: {
      Move move{message.arg.remap.from, message.arg.remap.to, message.arg.remap.len, memory.told, false, {}};
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
    memory.missing.erase(move.to, move.to + move.length);
    for (const auto& part : move.parts) {
      const uint64_t start = part.address - move.from + move.to;
      memory.missing.add(start, start + part.length, part.source);
    }
    memory.moved_to.emplace_back(move.to, move.to + move.length);
    memory.changes.push_back({Change::kMove, move.told, move.from, move.to, move.length});
    memory.registered.add(move.to, move.to + move.length);  // `from` goes by its own event, or stays (MREMAP_DONTUNMAP)
    memory.overtaken.erase(memory.overtaken.begin() + static_cast<ptrdiff_t>(i));
    i = 0;
  }
}

// Dropped by the program, also what it has moved there a moment ago.
void LateMemory::removed(Memory& memory, uint64_t start, uint64_t end) {
  memory.changes.push_back({Change::kRemove, memory.told, start, 0, end - start, memory.missing.take(start, end)});
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
  const auto certain = [&](uint64_t from, uint64_t to) {
    if (from >= to) return;
    auto areas = memory.registered.take(from, to);
    memory.changes.push_back(
        {Change::kUnmap, memory.told, from, 0, to - from, memory.missing.take(from, to), std::move(areas)});
  };
  std::ranges::sort(memory.moved_to);
  for (const auto& [from, to] : memory.moved_to) {
    if (to <= start || end <= from) continue;
    certain(start, from);
    const uint64_t doubtful = std::max(start, from), until = std::min(end, to);
    memory.registered.erase(doubtful, until);
    memory.doubts.emplace_back(doubtful, until);
    start = until;
  }
  certain(start, end);
}

// Is an area there that is registered? A copy from a page that can't be read tells, and does nothing.
// "None" counts when it is said twice: the first may come from a change that began in the middle of the call, and then the
// second finds it under way.
LateMemory::Area LateMemory::look(const Fd& uffd, uint64_t address) const {
  for (int i = 0; i < 2; i++) {
    uffdio_copy copy{address, reinterpret_cast<uint64_t>(unreadable_), kPage, 0, 0};
    if (::ioctl(uffd.get(), UFFDIO_COPY, &copy) == 0) return Area::kThere;
    if (errno == EAGAIN) return Area::kChanging;
    if (errno == EFAULT || errno == EEXIST) return Area::kThere;
  }
  return Area::kNone;
}

// Nothing is under way when the kernel answers anything but EAGAIN.
bool LateMemory::is_quiet(const Memory& memory) const { return look(memory.uffd, kNobodysPage) != Area::kChanging; }

// After all events were read. True when nothing is under way, so that the book is certain.
bool LateMemory::settle(Memory& memory) const {
  if (!memory.overtaken.empty()) {
    if (!is_quiet(memory)) return false;
    apply_moves(memory, true);  // what they waited for isn't under way
  }
  if (!settle_doubts(memory)) return false;
  if (memory.moved_to.empty() && memory.changes.empty() && memory.births.empty()) return true;
  if (!is_quiet(memory)) return false;
  memory.moved_to.clear();
  if (memory.births.empty()) memory.changes.clear();
  return true;
}

bool LateMemory::settle_doubts(Memory& memory) const {
  while (!memory.doubts.empty()) {
    const auto [start, end] = memory.doubts.back();
    std::vector<Range> gone;
    for (const auto& part : memory.missing.all()) {
      for (uint64_t page = std::max(part.address, start); page < std::min(part.address + part.length, end);
           page += kPage) {
        const Area area = look(memory.uffd, page);
        if (area == Area::kChanging) return false;
        if (area == Area::kNone) gone.emplace_back(page, page + kPage);
      }
    }
    const Area area = look(memory.uffd, start);
    if (area == Area::kChanging) return false;
    if (area == Area::kThere) memory.registered.add(start, end);
    for (const auto& [from, to] : gone) {
      memory.changes.push_back(
          {Change::kUnmap, memory.told, from, 0, to - from, memory.missing.take(from, to), {{from, to}}});
    }
    if (gone.empty() && area == Area::kNone) {
      memory.changes.push_back({Change::kUnmap, memory.told, start, 0, end - start, {}, {{start, end}}});
    }
    memory.doubts.pop_back();
  }
  return true;
}

}  // namespace godwit::pod
