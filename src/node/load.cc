#include "node/load.h"  // first, so that the header proves self-contained

#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <charconv>
#include <string_view>

#include "base/io.h"
#include "base/memory_room.h"

namespace godwit::node {
namespace {

constexpr uint64_t kKib = 1024;

// "MemTotal:       16384 kB"
uint64_t kib_after(std::string_view text, std::string_view name) {
  size_t at = text.find(name);
  if (at == std::string_view::npos) return 0;
  at = text.find_first_of("0123456789", at + name.size());
  if (at == std::string_view::npos) return 0;
  uint64_t value = 0;
  std::from_chars(text.data() + at, text.data() + text.size(), value);
  return value * kKib;
}

std::string pretty_name(const std::string& root) {
  constexpr std::string_view kKey = "PRETTY_NAME=";
  const auto text = io::read_file(root + "/etc/os-release", 1u << 16);
  if (!text) return "unknown";
  const size_t at = text->find(kKey);
  if (at == std::string::npos) return "unknown";
  std::string value = text->substr(at + kKey.size(), text->find('\n', at) - at - kKey.size());
  if (value.size() >= 2 && value.front() == '"') value = value.substr(1, value.size() - 2);
  return value;
}

}  // namespace

bool is_privileged() {
  if (::geteuid() != 0) return false;
  const auto map = io::read_file("/proc/self/uid_map", 4096);
  return map && map->find("4294967295") != std::string::npos;
}

wire::NodeLoad measure_load(const std::string& state_dir) {
  wire::NodeLoad load;
  double one = 0;
  if (::getloadavg(&one, 1) == 1) load.set_load1(one);
  load.set_cpus(static_cast<uint32_t>(::sysconf(_SC_NPROCESSORS_ONLN)));
  if (const auto memory = io::read_file("/proc/meminfo", 1u << 16)) {
    load.set_memory_bytes(kib_after(*memory, "MemTotal:"));
    load.set_memory_free_bytes(memory_room());
  }
  struct statvfs disk;
  if (::statvfs(state_dir.c_str(), &disk) == 0) load.set_disk_free_bytes(disk.f_bavail * disk.f_frsize);
  return load;
}

wire::NodeInfo describe_machine(const std::string& root, const std::string& state_dir) {
  wire::NodeInfo info;
  utsname names;
  if (::uname(&names) == 0) {
    info.set_arch(names.machine);
    info.set_kernel(names.release);
  }
  info.set_os(pretty_name(root));
  info.set_privileged(is_privileged());
  *info.mutable_load() = measure_load(state_dir);
  return info;
}

}  // namespace godwit::node
