// Areas of blank processes: the difference between those that are built and those that are wanted, what is mapped when the
// files exist, what follows after the resume, and what comes when all memory is in place. See restorer.h.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <mutex>

#include "base/sys.h"
#include "pod/kernel_abi.h"
#include "pod/memory.h"
#include "pod/restore/area_flags.h"
#include "pod/restore/restorer.h"
#include "pod/vdso.h"

namespace godwit::pod {
namespace {

using Range = std::pair<uint64_t, uint64_t>;

// Shared mappings of files: the file may come, or be replaced by its last version, as late as the freeze, and a mapping
// would stay with the old one. No page of theirs travels as memory, so nothing has to be there before.
bool needs_last_file(const pb::Area& area) {
  return area.file() != 0 || (area.backing() == pb::Area::FILE && area.shared());
}

// Areas that hold a kernel's own pages, or that restore() maps when the files exist.
bool is_mapped_early(const pb::Area& area) {
  return area.backing() != pb::Area::VDSO && area.backing() != pb::Area::VVAR && !needs_last_file(area);
}

// Could the bytes that arrived in a piece of `old` stay where they are for `now`? All but the protection must agree.
bool same_backing(const pb::Area& old, const pb::Area& now) {
  return old.backing() == now.backing() && old.shared() == now.shared() && old.path() == now.path() &&
         old.file() == now.file() && old.object() == now.object() &&
         old.start() - old.offset() == now.start() - now.offset() && old.vm_flags() == now.vm_flags();
}
bool same_anonymous(const pb::Area& old, const pb::Area& now) {
  return old.backing() == pb::Area::ANON && now.backing() == pb::Area::ANON && old.vm_flags() == now.vm_flags();
}

pb::Area piece_of(const pb::Area& area, uint64_t start, uint64_t end) {
  pb::Area piece = area;
  if (area.backing() == pb::Area::FILE || area.backing() == pb::Area::SHARED_OBJECT) {
    piece.set_offset(area.offset() + (start - area.start()));
  }
  piece.set_start(start);
  piece.set_end(end);
  return piece;
}

int mmap_flags(const pb::Area& area) {
  int flags = MAP_FIXED | (area.shared() ? MAP_SHARED : MAP_PRIVATE);
  if (area.backing() == pb::Area::ANON) flags |= MAP_ANONYMOUS;
  if (has_flag(area, "nr")) flags |= MAP_NORESERVE;
  if (has_flag(area, "gd")) flags |= MAP_GROWSDOWN;
  return flags;
}

struct Advice {
  std::string_view flag;
  int advice;
};
// Those that must hold before memory arrives (huge pages) come with the mapping; the rest does no harm there either.
constexpr Advice kAdvice[] = {{"hg", MADV_HUGEPAGE},   {"nh", MADV_NOHUGEPAGE}, {"mg", MADV_MERGEABLE},
                              {"dd", MADV_DONTDUMP},   {"sr", MADV_SEQUENTIAL}, {"rr", MADV_RANDOM},
                              {"wf", MADV_WIPEONFORK}, {"dc", MADV_DONTFORK}};

}  // namespace

Result<int> Restorer::mapped_file(const pb::Area& area) {
  if (area.backing() == pb::Area::SHARED_OBJECT) {
    const auto it = shared_.find(area.object());
    if (it == shared_.end()) return fail(Code::kCorrupt, "no shared object " + std::to_string(area.object()));
    return it->second.fd.get();
  }
  if (area.file() != 0) {
    TRY(const Fd* held, file(area.file()));
    return held->get();
  }
  const bool write = area.shared() && (area.prot() & PROT_WRITE) != 0;
  const std::string key = (write ? "w:" : "r:") + area.path();
  if (const auto it = mapped_files_.find(key); it != mapped_files_.end()) return it->second.get();
  TRY(Fd fd, sys::open(area.path(), write ? O_RDWR : O_RDONLY));
  return mapped_files_.insert_or_assign(key, std::move(fd)).first->second.get();
}

// The vDSO: see vdso.h for the two cases.
Result<void> Restorer::map_vdso(Blank& blank, const pb::AddressSpace& space) {
  uint64_t lowest = 0;
  const pb::Area* code = nullptr;
  for (const auto& area : space.areas()) {
    if (area.backing() != pb::Area::VDSO && area.backing() != pb::Area::VVAR) continue;
    if (lowest == 0 || area.start() < lowest) lowest = area.start();
    if (area.backing() == pb::Area::VDSO) code = &area;
  }
  if (code == nullptr) return {};  // the program unmapped it, or runs with vdso=0
  const bool same = host_.vdso_digest() == own_vdso_digest() && !options_.assume_foreign_vdso;
  if (same) {
    TRY_DO(blank.remote->call(blank.leader(), SYS_arch_prctl, abi::kArchMapVdso64, lowest));
    return {};
  }
  if (host_.vdso_image().size() != code->end() - code->start())
    return fail(Code::kCorrupt, "a vDSO image that isn't as long as its area");
  constexpr uint64_t kRoom = 1u << 20;
  uint64_t hole = 0x5100'0000'0000;
  const auto taken = [&](const pb::Area& area) { return area.start() < hole + kRoom && hole < area.end(); };
  while (std::ranges::any_of(space.areas(), taken)) hole += kRoom;
  TRY_DO(blank.remote->call(blank.leader(), SYS_arch_prctl, abi::kArchMapVdso64, hole));
  TRY(const auto maps, proc_.maps(blank.host_pid));
  const auto made = std::ranges::find(maps, "[vdso]", &MapEntry::name);
  if (made == maps.end()) return fail(Code::kFailed, "the kernel mapped no vDSO");
  TRY(const auto image, redirect_vdso(std::as_bytes(std::span(host_.vdso_image())), made->start));
  TRY_DO(blank.remote->call(blank.leader(), SYS_mmap, code->start(), image.size(), PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
  TRY_DO(write_memory(proc_, blank.host_pid, code->start(), image));
  TRY_DO(blank.remote->call(blank.leader(), SYS_mprotect, code->start(), image.size(), PROT_READ | PROT_EXEC));
  return {};
}

Result<void> Restorer::map_pieces(Blank& blank, std::vector<pb::Area> pieces, std::vector<Range> unmap) {
  Batch batch;
  for (const auto& [start, end] : unmap) batch.must("unmapping", SYS_munmap, start, end - start);
  std::vector<int> fds;
  std::map<int, int> number;  // ours → theirs
  for (const auto& piece : pieces) {
    if (piece.backing() == pb::Area::ANON || sysv_segment(piece) != nullptr) continue;
    TRY(const int fd, mapped_file(piece));
    if (number.try_emplace(fd, static_cast<int>(fds.size())).second) fds.push_back(fd);
  }
  TRY_DO(deliver(blank, fds));
  attach_segments(batch, pieces);
  for (const auto& piece : pieces) {
    if (sysv_segment(piece) != nullptr) continue;
    int fd = -1;
    if (piece.backing() != pb::Area::ANON) {
      TRY(const int ours, mapped_file(piece));
      fd = number.at(ours);
    }
    const uint64_t length = piece.end() - piece.start();
    batch.must("mapping", SYS_mmap, piece.start(), length, first_protection(piece), mmap_flags(piece), fd,
               piece.offset());
    for (const auto& advice : kAdvice) {
      if (has_flag(piece, advice.flag)) batch.add(SYS_madvise, piece.start(), length, advice.advice);
    }
  }
  found_families(blank, batch, pieces, unmap);
  if (!fds.empty()) batch.must("closing mapped files", SYS_close_range, 0, fds.size() - 1, 0);
  return blank.remote->run(blank.leader(), batch);
}

// Another memory than before (execve): nothing of the old one may stay.
Result<void> Restorer::start_space(Blank& blank, const pb::AddressSpace& space) {
  const bool first = blank.space == 0;
  std::vector<Range> all;
  for (const auto& old : blank.areas) all.emplace_back(old.start(), old.end());
  Batch batch;
  for (const auto& [start, end] : all) batch.add(SYS_munmap, start, end - start);
  if (!first) {
    const uint64_t t = raw(blank.remote->base());
    batch.add(SYS_munmap, 0, t);
    batch.add(SYS_munmap, t + kTrampolineSize, 0x7fff'ffff'f000 - t - kTrampolineSize);
  }
  if (!batch.empty()) TRY_DO(blank.remote->run(blank.leader(), batch));
  blank.areas.clear();
  blank.space = space.id();
  TRY_DO(map_vdso(blank, space));
  return {};
}

// Makes the blank's areas those of `space`, keeping every piece whose bytes may have arrived already.
Result<void> Restorer::build_space(Blank& blank, const pb::AddressSpace& space) {
  if (blank.space != space.id()) TRY_DO(start_space(blank, space));
  std::vector<pb::Area> wanted;
  for (const auto& area : space.areas()) {
    if (blank.remote->covers(area.start(), area.end())) {
      return fail(Code::kFailed, "an area of the unit lies where the trampoline is: try again");
    }
    if (is_mapped_early(area)) wanted.push_back(area);
  }
  std::vector<Range> unmap;
  std::vector<pb::Area> map;
  Batch protect;
  auto overlap = [](const pb::Area& a, const pb::Area& b) { return a.start() < b.end() && b.start() < a.end(); };
  // What of the old areas goes: all that no new area can keep.
  for (const auto& old : blank.areas) {
    uint64_t at = old.start();
    for (const auto& now : wanted) {
      if (!overlap(old, now) || !(same_backing(old, now) || same_anonymous(old, now))) continue;
      const uint64_t start = std::max(old.start(), now.start());
      if (at < start) unmap.emplace_back(at, start);
      at = std::min(old.end(), now.end());
      if (old.prot() != now.prot() && !keeps_account(now))
        protect.must("protecting", SYS_mprotect, start, at - start, now.prot());
    }
    if (at < old.end()) unmap.emplace_back(at, old.end());
  }
  // What of the new areas is still missing.
  for (const auto& now : wanted) {
    uint64_t at = now.start();
    for (const auto& old : blank.areas) {
      if (!overlap(old, now) || !(same_backing(old, now) || same_anonymous(old, now))) continue;
      const uint64_t start = std::max(old.start(), now.start());
      if (at < start) map.push_back(piece_of(now, at, start));
      at = std::min(old.end(), now.end());
    }
    if (at < now.end()) map.push_back(piece_of(now, at, now.end()));
  }
  std::vector<pb::Area> fresh = map;
  if (!map.empty() || !unmap.empty()) TRY_DO(map_pieces(blank, std::move(map), std::move(unmap)));
  if (!protect.empty()) TRY_DO(blank.remote->run(blank.leader(), protect));
  blank.areas = std::move(wanted);
  blank.fresh = std::move(fresh);
  return {};
}

// Areas of memfds and deleted files, and those that need a file's last version: mapped when restore() has the files.
Result<void> Restorer::map_held_files(Blank& blank, const pb::AddressSpace& space) {
  std::vector<pb::Area> late;
  for (const auto& area : space.areas()) {
    if (needs_last_file(area)) late.push_back(area);
  }
  if (late.empty()) return {};
  return map_pieces(blank, std::move(late), {});
}

// A page that arrived at once, or that founded a family, brings zeros all around it where the kernel makes a huge page of it;
// and khugepaged fills up what it finds. A page that is there can't arrive any more, so these go first.
Result<void> Restorer::empty_for_late(Blank& blank, SpaceId space, std::span<const Range> areas) {
  // Until restore_process() sets what the program had: then everything is registered, and khugepaged leaves that alone.
  TRY_DO(blank.remote->call(blank.leader(), SYS_prctl, PR_SET_THP_DISABLE, 1, 0, 0, 0));
  std::vector<PageRun> present;
  TRY(const Fd pagemap, proc_.open(blank.host_pid, "pagemap", O_RDONLY));
  for (const auto& [start, end] : areas) {
    MapEntry area;
    area.start = start;
    area.end = end;
    TRY_DO(scan_area(pagemap, space, area, false, present));
  }
  const auto later = late_->runs_of(space);
  Batch batch;
  auto run = later.begin();
  for (const auto& there : present) {
    const uint64_t end = there.address + there.length;
    while (run != later.end() && run->address + run->length <= there.address) ++run;
    for (auto r = run; r != later.end() && r->address < end; ++r) {
      const uint64_t from = std::max(r->address, there.address), to = std::min(r->address + r->length, end);
      batch.must("emptying memory that follows", SYS_madvise, from, to - from, MADV_DONTNEED);
    }
  }
  return batch.empty() ? Result<void>() : blank.remote->run(blank.leader(), batch);
}

Result<void> Restorer::register_late(Blank& blank, const pb::AddressSpace& space) {
  if (!late_ || !late_->holds(space.id())) return {};
  std::vector<Range> areas;
  for (const auto& area : space.areas()) {
    const bool may_follow = area.backing() == pb::Area::ANON && !area.shared();
    // As in capture/late.cc: nothing of these is missing, and they must not wait for anybody.
    if (may_follow && !has_flag(area, "lo") && !has_flag(area, "wf")) areas.emplace_back(area.start(), area.end());
  }
  TRY_DO(empty_for_late(blank, space.id(), areas));
  TRY(const auto theirs, blank.remote->call(blank.leader(), SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK));
  TRY(const Fd pidfd, sys::pidfd_open(blank.host_pid));
  TRY(Fd uffd, sys::pidfd_getfd(pidfd, static_cast<int>(theirs)));
  TRY_DO(blank.remote->call(blank.leader(), SYS_close, theirs));
  TRY_DO(late_->adopt(space.id(), std::move(uffd), areas, "pid " + std::to_string(blank.pid)));
  const std::unique_lock lock(targets_mutex_);
  targets_[space.id()].late = true;
  return {};
}

// What must come after all memory is in place.
Result<void> Restorer::finish_areas(Plan& plan, const pb::AddressSpace& space) {
  constexpr size_t kNameSize = 80;  // ANON_VMA_NAME_MAX_LEN of the kernel
  for (const auto& area : space.areas()) {
    const uint64_t length = area.end() - area.start();
    if (keeps_account(area)) plan.must("protecting", SYS_mprotect, area.start(), length, area.prot());
    if (has_flag(area, "lo"))
      plan.add(SYS_mlock2, area.start(), length, has_flag(area, "lf") ? 1 /* MLOCK_ONFAULT */ : 0);
    for (const auto& guard : area.guards())
      plan.must("guard pages", SYS_madvise, guard.start(), guard.end() - guard.start(), abi::kMadvGuardInstall);
    if (!area.name().empty() && area.name().size() < kNameSize) {
      if (plan.room() < kNameSize) TRY_DO(plan.run());
      plan.add(SYS_prctl, abi::kPrSetVma, 0 /* PR_SET_VMA_ANON_NAME */, area.start(), length,
               plan.put_text(area.name()));
    }
  }
  for (const auto& area : space.areas()) {
    if (has_flag(area, "sl")) plan.add(462 /* mseal, Linux 6.10 */, area.start(), area.end() - area.start(), 0);
  }
  return {};
}

}  // namespace godwit::pod
