// Address spaces: the areas of /proc/PID/smaps, and what each is made of.
//
//   private anonymous            built as such; its pages travel
//   private, of a file           mapped from the same file; only its changed pages travel. A deleted file's area becomes
//                                anonymous with all of its pages: nobody but this process could tell the difference
//   shared, of a file            mapped from the same file; no pages travel (the file is the content)
//   shared anonymous, SysV       one shared object for all that map it
//   shared, of a memfd or a deleted file   mapped from the OpenFile that holds it
#include <fcntl.h>
#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "base/sys.h"
#include "pod/capture/capture.h"
#include "pod/kernel_abi.h"
#include "pod/kinds/sysv.h"

namespace godwit::pod {
namespace {

bool has_flag(const MapEntry& area, std::string_view flag) {
  std::string_view words = area.vm_flags;
  for (size_t at = words.find(flag); at != std::string_view::npos; at = words.find(flag, at + 1)) {
    const bool starts = at == 0 || words[at - 1] == ' ';
    const bool ends = at + flag.size() == words.size() || words[at + flag.size()] == ' ';
    if (starts && ends) return true;
  }
  return false;
}

struct RefusedFlag {
  std::string_view flag, code;
};
// VmFlags of proc_pid_smaps(5) that name memory which can't be carried.
constexpr RefusedFlag kRefused[] = {{"io", "io-mapping"}, {"pf", "io-mapping"},   {"ht", "hugetlb"},
                                    {"dp", "droppable"},  {"ss", "shadow-stack"}, {"um", "userfaultfd"},
                                    {"ui", "userfaultfd"}};
// Those that are made again by madvise(2), mlock2(2), mmap(2) flags; the restore knows each (restore/areas.cc).
constexpr std::string_view kKept[] = {"lo", "lf", "sr", "rr", "dc", "dd", "hg",
                                      "nh", "mg", "wf", "nr", "gd", "sl", "ac"};

std::string area_name(const FrozenProcess& process, const MapEntry& area) {
  char range[64];
  std::snprintf(range, sizeof range, "memory %lx-%lx of ", area.start, area.end);
  return range + process.name() + (area.name.empty() ? "" : " (" + area.name + ")");
}

bool is_deleted(const std::string& name) { return name.ends_with(" (deleted)"); }
// The kernel's internal tmpfs: names that no path leads to.
bool is_shared_anonymous(const std::string& name) {
  return name.starts_with("/dev/zero (deleted)") || name.starts_with("[anon_shmem:") || name.starts_with("/SYSV");
}

std::string map_file(const MapEntry& area) {
  char name[64];
  std::snprintf(name, sizeof name, "map_files/%lx-%lx", area.start, area.end);
  return name;
}

}  // namespace

SpaceId Capture::space_of(pid_t host_pid) {
  if (options_.known_spaces != nullptr) {
    if (const auto it = options_.known_spaces->find(host_pid); it != options_.known_spaces->end()) return it->second;
  }
  return next_space_++;
}

// smaps walks all page tables. Where the areas are what they were just before the freeze, its flags are taken from then.
Result<std::vector<MapEntry>> Capture::areas_of(FrozenProcess& process) {
  if (options_.earlier_areas != nullptr) {
    const auto it = options_.earlier_areas->find(process.host_pid);
    if (it != options_.earlier_areas->end()) {
      TRY(const auto& now, look(process).maps);
      const bool same =
          std::ranges::equal(now, it->second, [](const MapEntry& a, const MapEntry& b) { return a.same_place(b); });
      if (same) return it->second;
    }
  }
  TRY(auto areas, proc_.smaps(process.host_pid));
  if (process.remote) process.remote->cut_out(areas);
  return areas;
}

Result<void> Capture::capture_space(FrozenProcess& process, pb::AddressSpace& out) {
  out.set_id(space_of(process.host_pid));
  out.set_pid(process.pid);
  TRY(const auto areas, areas_of(process));
  SpaceSource source;
  source.id = out.id();
  source.host_pid = process.host_pid;
  for (const auto& area : areas) TRY_IN(area_name(process, area), capture_area(process, area, out, source));
  sources_.push_back(std::move(source));
  TRY(const auto stat, stat_of(process));
  auto* f = out.mutable_fields();
  f->set_start_code(stat.start_code);
  f->set_end_code(stat.end_code);
  f->set_start_data(stat.start_data);
  f->set_end_data(stat.end_data);
  f->set_start_brk(stat.start_brk);
  f->set_start_stack(stat.start_stack);
  f->set_arg_start(stat.arg_start);
  f->set_arg_end(stat.arg_end);
  f->set_env_start(stat.env_start);
  f->set_env_end(stat.env_end);
  TRY(const auto& auxv, look(process).auxv);
  for (size_t at = 0; at + sizeof(uint64_t) <= auxv.size(); at += sizeof(uint64_t)) {
    uint64_t word = 0;
    std::memcpy(&word, auxv.data() + at, sizeof word);
    out.add_auxv(word);
  }
  TRY(const auto& exe, look(process).exe);
  demand_file(exe, wire::FileDemand::EXECUTABLE, 0, process.name());
  out.set_exe(exe);
  return {};
}

Result<void> Capture::capture_area(FrozenProcess& process, const MapEntry& area, pb::AddressSpace& out,
                                   SpaceSource& source) {
  const auto name = [&] { return area_name(process, area); };  // seldom wanted
  for (const auto& refused : kRefused) {
    if (has_flag(area, refused.flag) && !is_kernel_area(area)) {
      refuse(refused.code, name(), {});
      return {};
    }
  }
  if (area.protection_key != 0) {
    refuse("pkey", name(), {});
    return {};
  }
  if (area.name == "[vsyscall]") return {};
  pb::Area& a = *out.add_areas();
  a.set_start(area.start);
  a.set_end(area.end);
  a.set_prot(static_cast<uint32_t>(area.prot));
  a.set_shared(area.shared);
  a.set_offset(area.offset);
  std::string flags;
  for (const auto kept : kKept) {
    if (has_flag(area, kept)) flags += (flags.empty() ? "" : " ") + std::string(kept);
  }
  a.set_vm_flags(flags);
  if (area.name == "[vdso]") {
    a.set_backing(pb::Area::VDSO);
  } else if (area.name.starts_with("[vvar")) {
    a.set_backing(pb::Area::VVAR);
  } else if (area.inode == 0 && !area.shared) {
    a.set_backing(pb::Area::ANON);
    if (area.name.starts_with("[anon:")) a.set_name(area.name.substr(6, area.name.size() - 7));
  } else if (area.shared) {
    return capture_shared_area(process, area, a);
  } else if (travels_whole(area)) {
    if (area.name.starts_with("/secretmem")) refuse("secretmem", name(), {});
    a.set_backing(pb::Area::ANON);
    a.set_offset(0);
    source.areas.push_back(area);
    source.whole_file.push_back(true);
    return {};
  } else {
    a.set_backing(pb::Area::FILE);
    a.set_path(area.name);
    demand_file(area.name, wire::FileDemand::MAPPED, 0, process.name());
  }
  if (is_dumped_privately(area)) {
    source.areas.push_back(area);
    source.whole_file.push_back(false);
  }
  return {};
}

Result<void> Capture::capture_shared_area(FrozenProcess& process, const MapEntry& area, pb::Area& out) {
  if (area.name.starts_with("/secretmem")) {
    refuse("secretmem", area_name(process, area), {});
    return {};
  }
  if (area.name.starts_with("anon_inode:")) {
    const bool ring = area.name.starts_with("anon_inode:[io_uring]");
    refuse(ring ? "io-uring" : "io-mapping", area_name(process, area), area.name);
    return {};
  }
  if (area.name.starts_with("/[aio]")) {
    refuse("aio", area_name(process, area), {});
    return {};
  }
  if (is_shared_anonymous(area.name)) {
    out.set_backing(pb::Area::SHARED_OBJECT);
    TRY(const SpaceId id, shared_object(process, area));
    out.set_object(id);
    return {};
  }
  out.set_backing(pb::Area::FILE);
  if (!is_deleted(area.name)) {
    out.set_path(area.name);
    demand_file(area.name, (area.prot & PROT_WRITE) != 0 ? wire::FileDemand::OPEN_WRITE : wire::FileDemand::MAPPED, 0,
                process.name());
    return {};
  }
  // A memfd or a deleted file: mapped again from the description that holds it; one is made if no descriptor does.
  const bool write = has_flag(area, "mw");
  auto file = proc_.open(process.host_pid, map_file(area), write ? O_RDWR : O_RDONLY);
  if (!file) return std::unexpected(file.error());
  TRY(const auto st, sys::stat(*file));
  for (const FileId id : files_.with_inode(st.st_dev, st.st_ino)) {
    const auto& entry = *files_.entries()[id - 1];
    const auto mode = entry.flags & O_ACCMODE;
    if (mode == O_RDWR || (!write && mode == O_RDONLY)) {
      out.set_file(id);
      return {};
    }
  }
  TRY(const FileId id, file_of(*file, area_name(process, area)));
  out.set_file(id);
  return dump_files();
}

Result<SpaceId> Capture::shared_object(FrozenProcess& process, const MapEntry& area) {
  const auto key = std::pair{area.device, area.inode};
  if (const auto it = shared_by_inode_.find(key); it != shared_by_inode_.end()) return it->second;
  TRY(Fd object, proc_.open(process.host_pid, map_file(area), O_RDONLY));
  TRY(const auto st, sys::stat(object));
  SpaceId id = 0;
  if (options_.known_shared != nullptr) {
    const auto [known, is_new] = options_.known_shared->ids.try_emplace(key, next_space_);
    if (is_new) options_.known_shared->next = ++next_space_;
    id = known->second;
  } else {
    id = next_space_++;
  }
  shared_by_inode_[key] = id;
  auto* shared = state_.add_shared();
  shared->set_id(id);
  shared->set_size(static_cast<uint64_t>(st.st_size));
  shared->set_kind(pb::SharedMemory::ANON);
  if (area.name.starts_with("/SYSV")) {
    shared->set_kind(pb::SharedMemory::SYSV);
    TRY(*shared->mutable_state(), describe_sysv_segment(static_cast<int>(st.st_ino)));  // the inode number is its id
  }
  SpaceSource source;
  source.id = id;
  source.object = std::move(object);
  source.size = static_cast<uint64_t>(st.st_size);
  sources_.push_back(std::move(source));
  return id;
}

}  // namespace godwit::pod
