#include "base/memory_room.h"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <optional>
#include <string_view>

#include "base/control_groups.h"
#include "base/io.h"

namespace godwit {
namespace {

constexpr uint64_t kUnbounded = UINT64_MAX;

/// The number after `key` at the beginning of a line.
std::optional<uint64_t> number_of(std::string_view text, std::string_view key) {
  for (size_t at = text.find(key); at != std::string_view::npos; at = text.find(key, at + 1)) {
    if (at != 0 && text[at - 1] != '\n') continue;
    const size_t digit = text.find_first_not_of(" \t:", at + key.size());
    uint64_t value = 0;
    if (digit == std::string_view::npos) return std::nullopt;
    const char* end = text.data() + text.size();
    if (std::from_chars(text.data() + digit, end, value).ec == std::errc()) return value;
  }
  return std::nullopt;
}

/// The names of the files of a version.
struct Files {
  const char *limit, *usage, *reclaimable;
};
constexpr Files kVersion1{"memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"};
constexpr Files kVersion2{"memory.max", "memory.current", "inactive_file"};

uint64_t room_of_group(const std::string& dir, const Files& files) {
  const auto limit = number_of(io::read_file(dir + "/" + files.limit).value_or(""), "");  // "max" is no number
  const auto usage = number_of(io::read_file(dir + "/" + files.usage).value_or(""), "");
  if (!limit || !usage) return kUnbounded;
  const auto reclaimable = number_of(io::read_file(dir + "/memory.stat").value_or(""), files.reclaimable).value_or(0);
  const uint64_t held = *usage - std::min(*usage, reclaimable);
  return *limit - std::min(*limit, held);
}

/// This process's group, and all above it: each may have a limit.
uint64_t room_of(const OwnGroup& own, const Files& files) {
  uint64_t room = kUnbounded;
  for (std::string dir = own.dir;; dir.resize(dir.rfind('/'))) {
    room = std::min(room, room_of_group(dir, files));
    if (dir.size() <= own.top.size()) return room;
  }
}

}  // namespace

uint64_t memory_room(const std::string& root) {
  uint64_t room = kUnbounded;
  if (const auto kib = number_of(io::read_file(root + "/proc/meminfo").value_or(""), "MemAvailable"))
    room = *kib * 1024;
  if (const auto own = own_control_group("memory", root)) room = std::min(room, room_of(*own, kVersion1));
  if (const auto own = own_control_group({}, root)) room = std::min(room, room_of(*own, kVersion2));
  return room;
}

}  // namespace godwit
