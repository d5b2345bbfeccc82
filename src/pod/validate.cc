#include "pod/validate.h"

#include <sys/user.h>

#include <set>

#include "pod/kinds.h"

namespace godwit::pod {
namespace {

constexpr uint64_t kPage = 4096;
constexpr uint64_t kUserEnd = 0x7fff'ffff'f000;  // x86-64, four-level page tables
// Limits against absurd counts, each far above what a kernel allows by default (pid_max, nr_open, max_map_count).
constexpr int kMaxProcesses = 1 << 16;
constexpr int kMaxThreads = 1 << 17;
constexpr int kMaxAreas = 1 << 20;
constexpr int kMaxFiles = 1 << 20;
constexpr pid_t kMaxPid = 1 << 22;  // PID_MAX_LIMIT of the kernel
constexpr size_t kMaxXstate = 1 << 16;

auto bad(const std::string& what) { return fail(Code::kCorrupt, "a state that can't be: " + what); }

Result<void> validate_spaces(const google::protobuf::RepeatedPtrField<v1::AddressSpace>& spaces,
                             const google::protobuf::RepeatedPtrField<v1::SharedMemory>& shared) {
  std::set<uint32_t> ids, objects;
  std::set<int32_t> owners;
  for (const auto& object : shared) {
    if (object.id() == 0 || !ids.insert(object.id()).second)
      return bad("shared memory " + std::to_string(object.id()) + " twice");
    if (object.size() > kUserEnd) return bad("shared memory of " + std::to_string(object.size()) + " bytes");
    objects.insert(object.id());
  }
  for (const auto& space : spaces) {
    if (space.id() == 0 || !ids.insert(space.id()).second) return bad("space " + std::to_string(space.id()) + " twice");
    if (!owners.insert(space.pid()).second) return bad("two memories of pid " + std::to_string(space.pid()));
    if (space.areas_size() > kMaxAreas) return bad(std::to_string(space.areas_size()) + " areas");
    uint64_t last = 0;
    for (const auto& area : space.areas()) {
      if (area.start() % kPage != 0 || area.end() % kPage != 0 || area.offset() % kPage != 0)
        return bad("an area that isn't of whole pages");
      if (area.start() < last || area.end() <= area.start() || area.end() > kUserEnd)
        return bad("areas that overlap or lie outside");
      last = area.end();
      if (area.prot() > 7) return bad("a protection of " + std::to_string(area.prot()));
      if (area.backing() == v1::Area::FILE && area.file() == 0 && !area.path().starts_with('/'))
        return bad("a mapped file without a path");
      if (area.backing() == v1::Area::SHARED_OBJECT && !objects.contains(area.object()))
        return bad("an area of unknown shared memory");
      if (area.path().find('\0') != std::string::npos) return bad("a path with a zero byte");
    }
  }
  return {};
}

Result<void> validate_pid(int32_t pid, std::set<int32_t>& seen) {
  if (pid <= 0 || pid > kMaxPid) return bad("pid " + std::to_string(pid));
  if (!seen.insert(pid).second) return bad("pid " + std::to_string(pid) + " twice");
  return {};
}

Result<void> validate_process(const v1::Process& p, const std::set<uint32_t>& files, const std::set<uint32_t>& spaces,
                              std::set<int32_t>& tids) {
  const std::string name = "pid " + std::to_string(p.pid());
  if (p.is_init() || p.state() == v1::ZOMBIE) return {};
  if (!spaces.contains(p.space())) return bad(name + " without memory");
  if (p.threads_size() == 0 || p.threads_size() > kMaxThreads)
    return bad(name + " with " + std::to_string(p.threads_size()) + " threads");
  if (p.threads(0).tid() != p.pid()) return bad(name + " whose first thread is " + std::to_string(p.threads(0).tid()));
  for (int i = 0; i < p.threads_size(); i++) {
    const auto& t = p.threads(i);
    if (i > 0) TRY_DO(validate_pid(t.tid(), tids));
    if (t.regs().size() != sizeof(user_regs_struct))
      return bad(name + ": registers of " + std::to_string(t.regs().size()) + " bytes");
    if (t.xstate().size() > kMaxXstate)
      return bad(name + ": extended state of " + std::to_string(t.xstate().size()) + " bytes");
  }
  std::set<int32_t> numbers;
  for (const auto& d : p.descriptors()) {
    if (d.fd() < 0 || d.fd() >= kMaxFiles || !numbers.insert(d.fd()).second)
      return bad(name + ": descriptor " + std::to_string(d.fd()));
    if (!files.contains(d.file())) return bad(name + ": descriptor " + std::to_string(d.fd()) + " of an unknown file");
  }
  for (const auto& a : p.actions()) {
    if (a.signal() < 1 || a.signal() > 64) return bad(name + ": signal " + std::to_string(a.signal()));
  }
  for (const auto* path : {&p.cwd(), &p.root()}) {
    if (!path->starts_with('/') || path->find('\0') != std::string::npos)
      return bad(name + ": a directory that isn't a path");
  }
  return {};
}

}  // namespace

Result<void> validate(const v1::PodState& state) {
  if (state.version() != 1)
    return fail(Code::kRefused,
                "a state of version " + std::to_string(state.version()) + "; this Godwit reads version 1");
  if (state.processes_size() == 0 || state.processes_size() > kMaxProcesses)
    return bad(std::to_string(state.processes_size()) + " processes");
  if (state.files_size() > kMaxFiles) return bad(std::to_string(state.files_size()) + " files");
  TRY_DO(validate_spaces(state.spaces(), state.shared()));
  std::set<uint32_t> files, spaces;
  for (const auto& f : state.files()) {
    if (f.id() == 0 || !files.insert(f.id()).second) return bad("file " + std::to_string(f.id()) + " twice");
    if (find_file_kind(f.kind()) == nullptr)
      return fail(Code::kRefused, "an open file of kind '" + f.kind() + "', which this Godwit doesn't know");
  }
  for (const auto& s : state.spaces()) {
    spaces.insert(s.id());
    for (const auto& area : s.areas()) {
      if (area.file() != 0 && !files.contains(area.file())) return bad("an area of an unknown file");
    }
  }
  std::set<int32_t> tids;
  for (const auto& p : state.processes()) {
    // Parents before children, so there are no cycles.
    if (p.ppid() != 0 && !tids.contains(p.ppid()))
      return bad("pid " + std::to_string(p.pid()) + " before its parent " + std::to_string(p.ppid()));
    TRY_DO(validate_pid(p.pid(), tids));
  }
  for (const auto& p : state.processes()) TRY_DO(validate_process(p, files, spaces, tids));
  return {};
}

Result<void> validate(const v1::Outline& outline) {
  if (outline.processes_size() == 0 || outline.processes_size() > kMaxProcesses)
    return bad(std::to_string(outline.processes_size()) + " processes");
  TRY_DO(validate_spaces(outline.spaces(), outline.shared()));
  std::set<int32_t> pids;
  for (const auto& p : outline.processes()) TRY_DO(validate_pid(p.pid(), pids));
  for (const auto& s : outline.spaces()) {
    if (!pids.contains(s.pid())) return bad("memory of pid " + std::to_string(s.pid()) + ", which doesn't exist");
  }
  return {};
}

Result<v1::PodState> parse_state(const std::string& bytes) {
  v1::PodState state;
  if (!state.ParseFromString(bytes)) return bad("it can't be parsed");
  TRY_DO(validate(state));
  return state;
}

Result<v1::Outline> parse_outline(const std::string& bytes) {
  v1::Outline outline;
  if (!outline.ParseFromString(bytes)) return bad("its outline can't be parsed");
  TRY_DO(validate(outline));
  return outline;
}

uint32_t descriptors_below(const v1::PodState& state) {
  int below = 0;
  for (const auto& process : state.processes())
    for (const auto& d : process.descriptors()) below = std::max(below, d.fd() + 1);
  return static_cast<uint32_t>(below);
}

}  // namespace godwit::pod
