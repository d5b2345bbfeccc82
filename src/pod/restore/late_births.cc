// What a forked child misses. All of it with mutex_ held.
//
// The problem. A fork is told by an event, and so is what other threads of the parent do to their areas at that moment. Each
// thread waits until its event was read, but they come in any order: a move that was told before the fork may not be the child's,
// for it was made behind it, and one that is told later may have been made before. And the child runs as soon as its fork was
// read.
//
// The idea. The child gets its book when nothing is under way in the parent any more: then all that can be older than the fork
// was told. It is the parent's, and what the child was born without is undone, last change first. Whether it had a change is
// seen from where it has areas, for the kernel tells of each address whether something registered is there (look()). If
// a later change of the same addresses is the child's, so is this one. What the child itself has done since is told by its own
// events, which are kept aside until the book is certain.
//
// A change is told by what lies at its addresses; addresses that were used twice meanwhile need both ends of a move. Where that
// leaves no trace (MREMAP_DONTUNMAP onto addresses that were just freed; memory that has grown over what was unmapped), what was
// told before the fork counts as the child's and what was told later does not. For a call that was under way at the fork is another thread's
// than the forking one's, and a child that touches what it was about to change would be wrong anywhere; while what was called
// before the fork or after it is told in that order. For the same reason MADV_DONTNEED, which drops after its event was read.
//
// A child's memory may grow before its parent's last change is told, and mremap(2) tells nobody of that: what it has grown over
// looks as if it had been born with it. When it moved the area to let it grow, the kernel told of the move: what lies right
// behind its target proves nothing then (kPerhaps).
//
// Limit. What has grown where it was, over addresses that another thread of the parent had changed just before the fork, when
// the kernel tells of that only after it (that thread lost its CPU between the change and the telling).
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
constexpr uint64_t kMostLooks = 512;  // pages

bool covers(uint64_t start, uint64_t end, uint64_t address) { return start <= address && address < end; }

}  // namespace

void LateMemory::deliver(Memory& parent) {
  for (Birth& birth : parent.births) {
    auto child = std::make_unique<Memory>();
    child->space = parent.space;
    child->name = parent.name.starts_with("a child of ") ? parent.name : "a child of " + parent.name;
    child->missing = parent.missing;
    child->registered = parent.registered;
    find_book(parent, birth, *child);
    child->uffd = std::move(birth.uffd);
    Memory& born = *child;
    memories_.push_back(std::move(child));
    for (const auto& message : birth.own) apply(born, message);
  }
  parent.births.clear();
  parent.changes.clear();
  nudge();  // the pager polls them from now on
}

void LateMemory::find_book(const Memory& parent, Birth& birth, Memory& child) const {
  const auto& changes = parent.changes;
  const auto touches = [](const Change& a, const Change& b) {
    const auto in = [&](uint64_t start) {
      const auto over = [&](uint64_t at) { return start < at + b.length && at < start + a.length; };
      return over(b.from) || (b.kind == Change::kMove && over(b.to));
    };
    return in(a.from) || (a.kind == Change::kMove && in(a.to));
  };
  std::vector<size_t> theirs;
  for (size_t i = changes.size(); i-- > 0;) {
    const Change& change = changes[i];
    bool is_theirs = false;
    if (change.kind == Change::kRemove) {
      is_theirs = change.told < birth.told;
    } else if (std::ranges::any_of(theirs, [&](size_t later) { return touches(changes[later], change); })) {
      is_theirs = true;
    } else {
      is_theirs = had(parent, i, birth);
    }
    if (!is_theirs) {
      undo(child, change);
    } else if (change.kind != Change::kRemove) {
      theirs.push_back(i);
    }
  }
}

// None of the later changes of these addresses is the child's.
bool LateMemory::had(const Memory& parent, size_t which, Birth& birth) const {
  const Change& change = parent.changes[which];
  const bool told_before = change.told < birth.told;
  if (change.kind == Change::kUnmap) {
    if (told_before) return true;
    for (const auto& [start, end] : change.areas) {
      const Area area = born_with(birth, start, end);
      if (area != Area::kUnknown) return area == Area::kNone;
    }
    return true;
  }
  const auto frees = [&](const Change& other, uint64_t at) {
    return other.kind != Change::kRemove && other.from < at + change.length && at < other.from + other.length;
  };
  const Area there = born_with(birth, change.to, change.to + change.length);
  if (there == Area::kNone) return false;
  // Both ends: what is at the new one may have grown over it since, for the child finds the same gaps as its parent.
  const Area here = born_with(birth, change.from, change.from + change.length);
  if (here == Area::kNone) return true;
  const bool left = std::ranges::any_of(
      parent.changes, [&](const Change& c) { return c.kind == Change::kUnmap && frees(c, change.from); });
  if (left) return false;
  const auto earlier = std::span(parent.changes).first(which);
  const bool was_free = std::ranges::none_of(earlier, [&](const Change& c) { return frees(c, change.to); });
  return (there == Area::kThere && was_free) || told_before;
}

// Had it something registered there when it was born?
LateMemory::Area LateMemory::born_with(Birth& birth, uint64_t start, uint64_t end) const {
  const auto traced = [&](uint64_t page) -> std::optional<Area> {
    for (const auto& m : birth.own) {
      const auto& move = m.arg.remap;
      const auto& range = m.arg.remove;
      if (m.event == UFFD_EVENT_REMAP && covers(move.from, move.from + move.len, page)) return Area::kThere;
      // Over something registered it would have told first that this is unmapped.
      if (m.event == UFFD_EVENT_REMAP && covers(move.to, move.to + move.len, page)) return Area::kNone;
      if (m.event == UFFD_EVENT_UNMAP && covers(range.start, range.end, page)) return Area::kUnknown;
      if (m.event == UFFD_EVENT_REMOVE && covers(range.start, range.end, page)) return Area::kThere;
    }
    return std::nullopt;
  };
  // Right behind what it has moved itself may lie what that has grown by.
  const auto may_have_grown = [&](uint64_t page) {
    return std::ranges::any_of(birth.own, [&](const uffd_msg& m) {
      const uint64_t behind = m.arg.remap.to + m.arg.remap.len;
      if (m.event != UFFD_EVENT_REMAP || page < behind || page - behind >= kMostLooks * kPage) return false;
      uint64_t at = page;
      while (at > behind && look(birth.uffd, at - kPage) != Area::kNone) at -= kPage;
      return at == behind;
    });
  };
  const auto born_with_page = [&](uint64_t page) {
    for (;;) {
      if (const auto seen = birth.seen.find(page); seen != birth.seen.end()) return seen->second;
      if (const auto area = traced(page)) return *area;
      Area area = look(birth.uffd, page);
      if (area == Area::kThere && may_have_grown(page)) area = Area::kPerhaps;
      if (area != Area::kChanging) return birth.seen[page] = area;
      std::array<uffd_msg, 8> messages;
      const ssize_t n = ::read(birth.uffd.get(), messages.data(), sizeof messages);
      if (n > 0) {
        birth.own.insert(birth.own.end(), messages.begin(),
                         messages.begin() + static_cast<ptrdiff_t>(static_cast<size_t>(n) / sizeof(uffd_msg)));
      } else {
        ::sched_yield();
      }
    }
  };
  const Area first = born_with_page(start);
  return first == Area::kThere || first == Area::kNone ? first : born_with_page(end - kPage);
}

void LateMemory::look_at_ends(Birth& birth, uint64_t from, uint64_t to, uint64_t length) const {
  (void)born_with(birth, to, to + length);
  (void)born_with(birth, from, from + length);
}

void LateMemory::undo(Memory& child, const Change& change) {
  if (change.kind != Change::kMove) {
    for (const auto& part : change.parts) child.missing.add(part.address, part.address + part.length, part.source);
    for (const auto& [start, end] : change.areas) child.registered.add(start, end);
    return;
  }
  child.missing.move(change.to, change.from, change.length);
  child.registered.erase(change.to, change.to + change.length);
  child.registered.add(change.from, change.from + change.length);
}

}  // namespace godwit::pod
