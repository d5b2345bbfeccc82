#include "confine/groups.h"  // first, so that the header proves self-contained

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <iterator>
#include <thread>

#include "base/control_groups.h"
#include "base/io.h"
#include "base/log.h"
#include "base/sys.h"

namespace godwit::confine {
namespace {

constexpr uint64_t kPeriod = 100'000;  // of CPU bandwidth, in microseconds: the kernel's own
constexpr uint64_t kLoosePercent = 10'000;
constexpr std::chrono::milliseconds kGonePatience{500}, kGoneStep{5};

std::string text_of(const std::string& path) { return io::read_file(path, 1u << 20).value_or(""); }

bool is_limited(const std::string& dir) {
  return std::ranges::any_of(std::array{kCpu, kMemory, kProcesses}, [&](std::string_view controller) {
    const std::string text = text_of(dir + "/" + std::string(controller) + ".max");
    return !text.empty() && !text.starts_with("max");
  });
}

Result<Place> second_place(const Controllers& wanted, const std::string& root) {
  const auto own = own_control_group({}, root);
  if (!own) return fail(Code::kRefused, "no cgroup 2 hierarchy is mounted");
  for (std::string dir = own->dir;; dir.resize(dir.rfind('/'))) {
    const auto lists_all = [&](const char* file) {
      const std::string text = text_of(dir + "/" + file);
      return std::ranges::all_of(wanted, [&](std::string_view c) { return has_word(text, c); });
    };
    if (lists_all("cgroup.subtree_control")) return Place{dir, true, false};
    if (!lists_all("cgroup.controllers")) return fail(Code::kRefused, "not all of the controllers are in " + dir);
    const bool first_of_all = ::access((dir + "/cgroup.type").c_str(), F_OK) < 0;  // the root alone may have both
    if (first_of_all || text_of(dir + "/cgroup.procs").empty()) return Place{dir, true, true};
    if (is_limited(dir) || dir == own->top)
      return fail(Code::kRefused, "the node's own group " + dir + " has processes, so none can be below it");
  }
}

}  // namespace

Result<Place> place_for(std::string_view controller, const Controllers& wanted, const std::string& root) {
  const auto first = [&](std::string_view c) { return c.empty() ? std::nullopt : own_control_group(c, root); };
  Place place;
  if (const auto own = first(controller)) {
    place.dir = own->dir;
  } else {
    Controllers rest;
    std::ranges::copy_if(wanted, std::back_inserter(rest), [&](std::string_view c) { return !first(c); });
    TRY(place, second_place(rest, root));
  }
  if (::access(place.dir.c_str(), W_OK) < 0) return fail_errno(errno, place.dir + " can't be written to");
  return place;
}

void remove_group(const std::string& path) {
  const auto limit = std::chrono::steady_clock::now() + kGonePatience;
  while (::rmdir(path.c_str()) < 0 && errno == EBUSY && std::chrono::steady_clock::now() < limit)
    std::this_thread::sleep_for(kGoneStep);
}

Controllers Groups::Wish::controllers() const {
  Controllers out;
  if (limits.cpu_percent != 0) out.push_back(kCpu);
  if (limits.memory_bytes != 0) out.push_back(kMemory);
  if (limits.processes != 0) out.push_back(kProcesses);
  return out;
}

Result<Groups::Group*> Groups::below(const Place& place, const std::string& name) {
  for (auto& group : groups_)
    if (group.dir == place.dir) return &group;
  Group group;
  group.dir = place.dir;
  group.name = name;
  group.second = place.second;
  TRY(group.parent, sys::open(place.dir, O_RDONLY | O_DIRECTORY));
  TRY_DO(sys::make_dirs(place.dir + "/" + name));
  TRY(group.self, sys::open_at(group.parent, name, O_RDONLY | O_DIRECTORY));
  groups_.push_back(std::move(group));
  Group& made = groups_.back();
  TRY(made.procs, sys::open_at(made.self, "cgroup.procs", O_WRONLY));
  return &made;
}

namespace {

Result<void> put(const Fd& dir, const char* file, const std::string& value) {
  TRY(const Fd fd, sys::open_at(dir, file, O_WRONLY));
  if (auto r = io::write_full(fd.get(), value); !r) return std::unexpected(r.error().in(file));
  return {};
}

}  // namespace

// From the start, so that a unit whose memory comes from elsewhere is counted as it comes. No swap beside it: version 2 counts that
// apart, version 1 the two together.
Result<void> Groups::limit_memory(const Group& group, uint64_t bytes) {
  const std::string value = std::to_string(bytes);
  const auto has = [&](const char* file) { return ::faccessat(group.self.get(), file, F_OK, 0) == 0; };
  if (group.second) {
    TRY_DO(put(group.self, "memory.max", value));
    return has("memory.swap.max") ? put(group.self, "memory.swap.max", "0") : Result<void>();
  }
  TRY_DO(put(group.self, "memory.limit_in_bytes", value));
  return has("memory.memsw.limit_in_bytes") ? put(group.self, "memory.memsw.limit_in_bytes", value) : Result<void>();
}

// Bandwidth control is switched on now, for the first one of a machine changes the scheduler's code, and made tight in arm().
// A version 1 group can't have more than the one above it (EINVAL): then that one's limit is the tighter, and holds.
Result<void> Groups::limit_cpu(const Group& group, uint64_t percent) {
  const char* const file = group.second ? "cpu.max" : "cpu.cfs_quota_us";
  const auto value = [&](uint64_t p) {
    const std::string quota = std::to_string(p * kPeriod / 100);
    return group.second ? quota + " " + std::to_string(kPeriod) : quota;
  };
  if (auto loose = put(group.self, file, value(std::max(percent, kLoosePercent))); !loose) {
    auto tight = put(group.self, file, value(percent));
    if (!tight && tight.error().errnum == EINVAL && !group.second) return {};
    return tight;
  }
  TRY(Fd fd, sys::open_at(group.self, file, O_WRONLY));
  later_.push_back({std::move(fd), value(percent), "the limit of CPU time"});
  return {};
}

Result<Groups> Groups::make(const Wish& wish, const std::string& name, const std::string& root) {
  Groups out;
  out.groups_.reserve(4);  // below() gives addresses of its elements
  const Controllers wanted = wish.controllers();
  const auto group_for = [&](std::string_view controller) -> Result<Group*> {
    TRY(const Place place, place_for(controller, wanted, root));
    if (place.enable && !controller.empty())
      TRY_DO(io::write_file(place.dir + "/cgroup.subtree_control", "+" + std::string(controller)));
    return out.below(place, name);
  };
  if (wish.limits.memory_bytes != 0) {
    TRY(const Group* group, group_for(kMemory));
    TRY_DO(out.limit_memory(*group, wish.limits.memory_bytes));
  }
  if (wish.limits.cpu_percent != 0) {
    TRY(const Group* group, group_for(kCpu));
    TRY_DO(out.limit_cpu(*group, wish.limits.cpu_percent));
  }
  if (wish.limits.processes != 0) {
    TRY(const Group* group, group_for(kProcesses));
    TRY(Fd fd, sys::open_at(group->self, "pids.max", O_WRONLY));
    out.later_.push_back({std::move(fd), std::to_string(wish.limits.processes + wish.own), "the limit of processes"});
  }
  if (wish.addresses && out.unified() == nullptr) TRY_DO(group_for({}));
  return out;
}

Groups::~Groups() {
  for (const auto& group : groups_) {
    const auto limit = std::chrono::steady_clock::now() + kGonePatience;
    while (::unlinkat(group.parent.get(), group.name.c_str(), AT_REMOVEDIR) < 0) {
      if (errno == ENOENT) break;
      if (errno != EBUSY || std::chrono::steady_clock::now() > limit) {
        log::warn("control group {}/{} stays: errno {}", group.dir, group.name, errno);
        break;
      }
      std::this_thread::sleep_for(kGoneStep);
    }
  }
}

Result<void> Groups::arm() {
  for (const auto& later : later_)
    if (auto r = io::write_full(later.file.get(), later.value); !r) return std::unexpected(r.error().in(later.what));
  return {};
}

std::vector<int> Groups::joins() const {
  std::vector<int> out;
  for (const auto& group : groups_) out.push_back(group.procs.get());
  return out;
}

const Fd* Groups::unified() const {
  const auto it = std::ranges::find(groups_, true, &Group::second);
  return it == groups_.end() ? nullptr : &it->self;
}

std::vector<std::string> Groups::paths() const {
  std::vector<std::string> out;
  for (const auto& group : groups_) out.push_back(group.dir + "/" + group.name);
  return out;
}

}  // namespace godwit::confine
