// Areas of blank processes, shared objects, and the way of arriving pages into them. See restorer.h.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <mutex>

#include "base/io.h"
#include "base/sys.h"
#include "pod/kernel_abi.h"
#include "pod/kinds/sysv.h"
#include "pod/memory.h"
#include "pod/restore/area_flags.h"
#include "pod/restore/restorer.h"
#include "pod/vdso.h"

namespace godwit::pod {
namespace {

using Range = std::pair<uint64_t, uint64_t>;
constexpr uint64_t kPage = 4096;

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

Result<void> Restorer::build_shared_objects(const pb::Outline& outline) {
  for (const auto& wanted : outline.shared()) {
    if (shared_.contains(wanted.id())) continue;
    SharedObject object;
    object.size = (wanted.size() + kPage - 1) & ~(kPage - 1);
    if (object.size == 0) object.size = kPage;
    void* memory = MAP_FAILED;
    if (wanted.kind() == pb::SharedMemory::SYSV) {
      TRY(const auto segment, create_sysv_segment(*this, wanted.state(), object.size));
      object.sysv_id = segment.id;
      memory = segment.memory;
    } else if (wanted.kind() == pb::SharedMemory::ANON) {
      // The same kind of object as the source's: shared anonymous memory, of which map_files gives a descriptor.
      memory = ::mmap(nullptr, object.size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
      if (memory != MAP_FAILED) {
        char name[64];
        std::snprintf(name, sizeof name, "map_files/%lx-%lx", reinterpret_cast<uint64_t>(memory),
                      reinterpret_cast<uint64_t>(memory) + object.size);
        if (auto fd = proc_.open(::getpid(), name, O_RDWR))
          object.fd = std::move(*fd);
        else
          ::munmap(std::exchange(memory, MAP_FAILED), object.size);  // an ordinary user may not: a memfd then
      }
    }
    if (memory == MAP_FAILED) {
      TRY(object.fd, sys::memfd("godwit-shared"));
      if (::ftruncate(object.fd.get(), static_cast<off_t>(wanted.size())) < 0)
        return fail_errno(errno, "ftruncate of a shared object");
      memory = ::mmap(nullptr, object.size, PROT_READ | PROT_WRITE, MAP_SHARED, object.fd.get(), 0);
      if (memory == MAP_FAILED)
        return fail_errno(errno, "mmap of a shared object of " + std::to_string(wanted.size()) + " bytes");
    }
    object.memory = static_cast<std::byte*>(memory);
    shared_.insert_or_assign(wanted.id(), std::move(object));
  }
  return {};
}

const Restorer::SharedObject* Restorer::sysv_segment(const pb::Area& area) const {
  if (area.backing() != pb::Area::SHARED_OBJECT) return nullptr;
  const auto it = shared_.find(area.object());
  return it == shared_.end() || it->second.sysv_id < 0 ? nullptr : &it->second;
}

// System V segments are attached whole, for shmdt(2) and the count of users know nothing of mmap(2); what the program
// has unmapped of them since is unmapped again. Before all other pieces, which may lie in such a gap.
void Restorer::attach_segments(Batch& batch, std::span<const pb::Area> pieces) const {
  std::map<std::pair<uint32_t, uint64_t>, std::vector<const pb::Area*>> attached;  // by object and address
  for (const auto& piece : pieces) {
    if (sysv_segment(piece) != nullptr) attached[{piece.object(), piece.start() - piece.offset()}].push_back(&piece);
  }
  for (const auto& [key, areas] : attached) {
    const SharedObject& object = *sysv_segment(*areas.front());
    uint32_t prot = 0;
    for (const auto* area : areas) prot |= area->prot();
    const int flags =
        SHM_REMAP | ((prot & PROT_WRITE) == 0 ? SHM_RDONLY : 0) | ((prot & PROT_EXEC) != 0 ? SHM_EXEC : 0);
    batch.must("attaching a System V segment", SYS_shmat, object.sysv_id, key.second, flags);
    uint64_t at = key.second;
    for (const auto* area : areas) {
      if (area->start() > at) batch.must("unmapping", SYS_munmap, at, area->start() - at);
      at = area->end();
      if (area->prot() != (PROT_READ | (prot & PROT_WRITE) | (prot & PROT_EXEC))) {
        batch.must("protecting", SYS_mprotect, area->start(), area->end() - area->start(), area->prot());
      }
    }
    const uint64_t end = key.second + object.size;
    if (end > at) batch.must("unmapping", SYS_munmap, at, end - at);
  }
}

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

// Sends descriptors to a blank process, where they get the lowest free numbers in this order.
Result<void> Restorer::deliver(Blank& blank, std::span<const int> fds) {
  Plan plan(*blank.remote, blank.leader());
  TRY_DO(deliver(plan, fds));
  return plan.run();
}

Result<void> Restorer::deliver(Plan& plan, std::span<const int> fds) {
  constexpr size_t kPerMessage = 253;  // SCM_MAX_FD
  for (size_t i = 0; i < fds.size(); i += kPerMessage) {
    if (i > 0) TRY_DO(plan.run());  // the socket holds few messages (unix(7), max_dgram_qlen)
    const auto some = fds.subspan(i, std::min(kPerMessage, fds.size() - i));
    TRY_DO(io::send_with_fds(channel_ours_.get(), "f", some));
    struct Message {
      msghdr header;
      iovec part;
      char byte[8];
      char control[CMSG_SPACE(kPerMessage * sizeof(int))];
    };
    Message m{};
    const uint64_t base = plan.place();
    m.header.msg_iov = reinterpret_cast<iovec*>(base + offsetof(Message, part));
    m.header.msg_iovlen = 1;
    m.header.msg_control = reinterpret_cast<void*>(base + offsetof(Message, control));
    m.header.msg_controllen = sizeof m.control;
    m.part = {reinterpret_cast<void*>(base + offsetof(Message, byte)), 1};
    plan.put(m);
    plan.must("taking descriptors", SYS_recvmsg, channel_number_, base, 0);
  }
  return {};
}

Result<void> Restorer::map_pieces(Blank& blank, std::vector<pb::Area> pieces, std::vector<Range> unmap,
                                  const pb::AddressSpace&) {
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

// Makes the blank's areas those of `space`, keeping every piece whose bytes may have arrived already.
Result<void> Restorer::build_space(Blank& blank, const pb::AddressSpace& space) {
  if (blank.space != space.id()) {
    // Another memory than before (execve): nothing of the old one may stay.
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
  }
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
  if (!map.empty() || !unmap.empty()) TRY_DO(map_pieces(blank, std::move(map), std::move(unmap), space));
  if (!protect.empty()) TRY_DO(blank.remote->run(blank.leader(), protect));
  blank.areas = std::move(wanted);
  return {};
}

// Areas of memfds and deleted files, and those that need a file's last version: mapped when restore() has the files.
Result<void> Restorer::map_held_files(Blank& blank, const pb::AddressSpace& space) {
  std::vector<pb::Area> late;
  for (const auto& area : space.areas()) {
    if (needs_last_file(area)) late.push_back(area);
  }
  if (late.empty()) return {};
  return map_pieces(blank, std::move(late), {}, space);
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

void Restorer::refresh_targets() {
  const std::unique_lock lock(targets_mutex_);
  for (const auto& blank : blanks_) {
    if (blank->space == 0) continue;
    Target& target = targets_[blank->space];
    if (target.host_pid != blank->host_pid) {
      target.host_pid = blank->host_pid;
      if (auto mem = proc_.open(blank->host_pid, "mem", O_RDWR)) target.mem = std::move(*mem);
    }
    target.private_areas.clear();
    for (const auto& area : blank->areas) {
      if (area.shared()) continue;
      if (!target.private_areas.empty() && target.private_areas.back().second == area.start())
        target.private_areas.back().second = area.end();
      else
        target.private_areas.emplace_back(area.start(), area.end());
    }
  }
  for (auto& [id, object] : shared_) targets_[id].object = &object;
}

Result<void> Restorer::check_runs(const Target& target, const PageRun& run) const {
  auto bad = [&] {
    return fail(Code::kCorrupt,
                "pages for " + std::to_string(run.address) + ", where the unit has no memory of its own");
  };
  if (run.address % kPage != 0 || run.length % kPage != 0 || run.length == 0 || run.address + run.length < run.address)
    return bad();
  if (target.object != nullptr) {
    if (run.address + run.length > target.object->size) return bad();
    return {};
  }
  const auto next = std::ranges::upper_bound(target.private_areas, run.address, {}, &Range::first);
  if (next == target.private_areas.begin() || std::prev(next)->second < run.address + run.length) return bad();
  return {};
}

Result<void> Restorer::write(std::span<const PageRun> runs, std::span<const std::byte> data) {
  const std::shared_lock lock(targets_mutex_);
  std::array<iovec, 1024> remote;
  for (size_t i = 0; i < runs.size();) {
    const auto it = targets_.find(runs[i].space);
    if (it == targets_.end())
      return fail(Code::kCorrupt, "pages for space " + std::to_string(runs[i].space) + ", which doesn't exist");
    const Target& target = it->second;
    if (target.late) {
      TRY_DO(check_runs(target, runs[i]));
      if (runs[i].length > data.size()) return fail(Code::kCorrupt, "fewer bytes than pages");
      TRY_DO(late_->write(runs[i], data.data()));
      data = data.subspan(runs[i++].length);
      continue;
    }
    size_t n = 0;
    size_t bytes = 0;
    for (; i + n < runs.size() && n < remote.size() && runs[i + n].space == runs[i].space; n++) {
      const auto& run = runs[i + n];
      TRY_DO(check_runs(target, run));
      if (run.length > data.size() - bytes) return fail(Code::kCorrupt, "fewer bytes than pages");
      if (target.object != nullptr)
        std::memcpy(target.object->memory + run.address, data.data() + bytes, run.length);
      else
        remote[n] = {reinterpret_cast<void*>(run.address), run.length};
      bytes += run.length;
    }
    if (target.object == nullptr) {
      iovec local{const_cast<std::byte*>(data.data()), bytes};
      const ssize_t done = ::process_vm_writev(target.host_pid, &local, 1, remote.data(), n, 0);
      if (done != static_cast<ssize_t>(bytes)) {
        // Areas without PROT_WRITE: /proc/PID/mem writes them all the same (FOLL_FORCE).
        size_t offset = 0;
        for (size_t k = 0; k < n; k++) {
          TRY_DO(io::pwrite_full(target.mem.get(), data.subspan(offset, runs[i + k].length), runs[i + k].address));
          offset += runs[i + k].length;
        }
      }
    }
    data = data.subspan(bytes);
    i += n;
  }
  return {};
}

Result<void> Restorer::zero(std::span<const PageRun> runs) {
  static const std::array<std::byte, 1u << 16> kZeros{};
  for (const auto& run : runs) {
    {
      const std::shared_lock lock(targets_mutex_);
      const auto it = targets_.find(run.space);
      if (it != targets_.end() && it->second.late) {
        TRY_DO(check_runs(it->second, run));
        TRY_DO(late_->write(run, nullptr));
        continue;
      }
    }
    for (uint64_t at = 0; at < run.length; at += kZeros.size()) {
      const uint64_t n = std::min<uint64_t>(kZeros.size(), run.length - at);
      const PageRun piece{run.space, run.address + at, n};
      TRY_DO(write(std::span(&piece, 1), std::span(kZeros).subspan(0, n)));
    }
  }
  return {};
}

}  // namespace godwit::pod
