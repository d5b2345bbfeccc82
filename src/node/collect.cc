#include "node/collect.h"  // first, so that the header proves self-contained

#include <fcntl.h>
#include <fmt/format.h>
#include <sched.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <iterator>
#include <sstream>
#include <utility>

#include "base/clock.h"
#include "base/io.h"
#include "base/sys.h"
#include "files/beneath.h"

namespace godwit::node {
namespace {

namespace fs = std::filesystem;

constexpr size_t kSmall = 4096;

std::optional<double> number_after(std::string_view text, std::string_view name) {
  const size_t at = text.find(name);
  if (at == std::string_view::npos) return std::nullopt;
  text.remove_prefix(at + name.size());
  text.remove_prefix(std::min(text.find_first_not_of(" \t"), text.size()));
  double value = 0;
  const auto end = std::from_chars(text.data(), text.data() + text.size(), value);
  if (end.ec != std::errc()) return std::nullopt;
  return value;
}

/// Fields of /proc/PID/stat from the third on: the second may hold blanks and brackets.
std::vector<std::string> stat_fields(const std::string& text) {
  const size_t end = text.rfind(')');
  if (end == std::string::npos) return {};
  std::istringstream in(text.substr(end + 1));
  return {std::istream_iterator<std::string>(in), {}};
}

}  // namespace

double psi_some_avg10(std::string_view text) {
  if (!text.starts_with("some ")) return 0;
  const double value = number_after(text.substr(0, text.find('\n')), "avg10=").value_or(0);
  return std::clamp(value, 0.0, 100.0);
}

std::optional<uint64_t> fdinfo_position(std::string_view text) {
  const auto value = number_after(text, "pos:");
  if (!value || !(*value >= 0) || *value > 1e18) return std::nullopt;
  return static_cast<uint64_t>(*value);
}

std::optional<Said> parse_said(std::string_view text) {
  std::istringstream in{std::string(text.substr(0, kSmall))};
  Said said;
  if (!(in >> said.done >> said.total)) return std::nullopt;
  if (!std::isfinite(said.done) || !std::isfinite(said.total) || said.done < 0 || said.total <= 0) return std::nullopt;
  said.done = std::min(said.done, said.total);
  return said;
}

std::optional<double> cgroup_cpus(std::string_view cpu_max) {
  std::istringstream in{std::string(cpu_max)};
  double quota = 0, period = 0;
  if (!(in >> quota >> period) || quota <= 0 || period <= 0) return std::nullopt;  // "max 100000" isn't a number
  return quota / period;
}

double measure_speed() {
  // Integer, floating and memory steps in a mix; 1 is what an ordinary core of 2020 does.
  constexpr int kSteps = 4'000'000;
  constexpr double kOrdinary = 250e6;
  std::vector<uint32_t> table(1 << 14);
  uint64_t x = 88172645463325252;
  double sum = 0;
  const auto begin = clock_now(CLOCK_THREAD_CPUTIME_ID);
  for (int i = 0; i < kSteps; ++i) {
    x ^= x << 13, x ^= x >> 7, x ^= x << 17;
    sum += static_cast<double>(table[x & (table.size() - 1)] += static_cast<uint32_t>(x)) * 1e-9;
  }
  const double took = std::chrono::duration<double>(clock_now(CLOCK_THREAD_CPUTIME_ID) - begin).count();
  if (!(took > 0) || !(sum >= 0)) return 1;
  return std::clamp(kSteps / took / kOrdinary, 0.01, 100.0);
}

Collector::Collector(std::string proc, std::string cgroups)
    : proc_(std::move(proc)), cgroups_(std::move(cgroups)), speed_(measure_speed()) {}

// ----------------------------------------------------------------------------------------------------------- the machine

namespace {

/// Of the daemon's own cgroups, that of a hierarchy: "" for cgroup 2's, else the controller's. "/" when there is none.
struct OwnGroup {
  std::string controllers, path;
};
std::vector<OwnGroup> own_groups(const std::string& text) {
  std::vector<OwnGroup> out;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) {  // "4:cpu,cpuacct:/a/b", "0::/a/b"
    const size_t first = line.find(':'), second = line.find(':', first == std::string::npos ? first : first + 1);
    if (second == std::string::npos) continue;
    out.push_back({line.substr(first + 1, second - first - 1), line.substr(second + 1)});
  }
  return out;
}

bool names(const std::string& controllers, std::string_view one) {
  return ("," + controllers + ",").find("," + std::string(one) + ",") != std::string::npos;
}

}  // namespace

// Both versions: a machine may have the CPU controller in the old hierarchy and nothing of use in the new one. A group's limit
// is the least of its own and those above it.
Collector::Limit Collector::limit() const {
  Limit out;
  cpu_set_t set;
  out.cpus = static_cast<double>(::sysconf(_SC_NPROCESSORS_ONLN));
  if (::sched_getaffinity(0, sizeof(set), &set) == 0) out.cpus = CPU_COUNT(&set);
  const auto groups = own_groups(io::read_file(proc_ + "/self/cgroup", 1u << 16).value_or(""));
  const auto text = [](const std::string& path) { return io::read_file(path, kSmall).value_or(""); };
  for (const auto& group : groups) {
    const bool second = group.controllers.empty();
    if (!second && !names(group.controllers, "cpu")) continue;
    const bool unified = second && text(cgroups_ + "/cgroup.controllers").empty();
    const std::string base = cgroups_ + (second ? (unified ? "/unified" : "") : "/" + group.controllers);
    for (std::string path = group.path; path.size() > 1; path.resize(path.rfind('/'))) {
      const std::string dir = base + path;
      const auto cpus = cgroup_cpus(second ? text(dir + "/cpu.max")
                                           : text(dir + "/cpu.cfs_quota_us") + " " + text(dir + "/cpu.cfs_period_us"));
      if (!cpus || *cpus >= out.cpus) continue;
      out.cpus = *cpus;
      out.group = dir;
      out.usage = second ? dir + "/cpu.stat" : "";
      // The old hierarchy counts in a controller of its own.
      for (const auto& other : groups)
        if (!second && names(other.controllers, "cpuacct") && other.path.starts_with(path))
          out.usage = cgroups_ + "/" + other.controllers + path + "/cpuacct.usage";
    }
  }
  out.cpus = std::max(0.01, out.cpus);
  return out;
}

/// CPU seconds used so far within the limit, by whatever; nothing when nobody counts them.
std::optional<double> Collector::used(const Limit& limit) const {
  if (limit.group.empty()) {
    const auto text = io::read_file(proc_ + "/stat", 1u << 20);
    if (!text || !text->starts_with("cpu ")) return std::nullopt;
    std::istringstream in(text->substr(4));
    double user = 0, nice = 0, system = 0, idle = 0, wait = 0, interrupt = 0, soft = 0;
    in >> user >> nice >> system >> idle >> wait >> interrupt >> soft;
    return (user + nice + system + interrupt + soft) / static_cast<double>(::sysconf(_SC_CLK_TCK));
  }
  const auto text = limit.usage.empty() ? std::nullopt : std::optional(io::read_file(limit.usage, kSmall).value_or(""));
  if (!text || text->empty()) return std::nullopt;
  if (const auto us = number_after(*text, "usage_usec")) return *us * 1e-6;
  if (const auto ns = number_after(*text, "")) return *ns * 1e-9;
  return std::nullopt;
}

wire::NodeActivity Collector::node(double time_s) {
  wire::NodeActivity out;
  const Limit limit = this->limit();
  out.set_speed(speed_);
  out.set_cpus(limit.cpus);
  if (const auto seconds = used(limit)) {
    busy_.sample(time_s, *seconds);
    out.set_cpu_busy(busy_.per_s());
  } else {
    // Nobody counts what else runs within the limit: at least its units do.
    for (const auto& [id, row] : rows_) out.set_cpu_busy(out.cpu_busy() + row.cpu.per_s());
  }
  const auto pressure = [&](const std::string& what) {
    auto text = io::read_file(limit.group + "/" + what + ".pressure", kSmall);
    if (limit.group.empty() || !text) text = io::read_file(proc_ + "/pressure/" + what, kSmall);
    return text ? psi_some_avg10(*text) : 0;
  };
  out.set_cpu_pressure(pressure("cpu"));
  out.set_memory_pressure(pressure("memory"));
  out.set_io_pressure(pressure("io"));
  return out;
}

// ----------------------------------------------------------------------------------------------------------------- units

/// The process and all that came of it: who lost its parent has the unit's init for one.
std::vector<int> Collector::tree(int root, Budget& budget) const {
  std::vector<int> pids{root};
  std::error_code trouble;
  for (size_t i = 0; i < pids.size(); ++i) {
    const fs::directory_iterator threads(fmt::format("{}/{}/task", proc_, pids[i]), trouble);
    for (auto it = begin(threads); !trouble && it != end(threads); it.increment(trouble)) {
      if (!budget.take()) return pids;
      std::istringstream in(io::read_file(it->path().string() + "/children", 1u << 16).value_or(""));
      for (int pid = 0; in >> pid;) pids.push_back(pid);
    }
  }
  return pids;
}

void Collector::look_at_reads(std::vector<int> pids, int init_pid, const std::string& path, Row& row,
                              Budget& budget) const {
  const auto root = sys::open(fmt::format("{}/{}/root", proc_, init_pid), O_PATH | O_DIRECTORY);
  if (!root || path.empty() || path.front() != '/') return;
  const auto opened = files::open_in_root(*root, path, O_PATH);
  if (!opened) return;
  const auto input = sys::stat(*opened);
  if (!input || !S_ISREG(input->st_mode) || input->st_size <= 0) return;
  row.total = static_cast<double>(input->st_size);
  if (const auto from = std::ranges::find(pids, std::exchange(row.next, 0)); from != pids.end())
    std::ranges::rotate(pids, from);
  for (size_t i = 0; i < pids.size(); ++i) {
    const std::string dir = fmt::format("{}/{}", proc_, pids[i]);
    std::error_code trouble;
    const fs::directory_iterator numbers(dir + "/fd", trouble);
    for (auto it = begin(numbers); !trouble && it != end(numbers); it.increment(trouble)) {
      if (!budget.take()) {
        // One that has more than a whole budget isn't looked at for ever.
        row.next = pids[i == 0 ? 1 % pids.size() : i];
        return;
      }
      const auto file = sys::stat(it->path().string());
      if (!file || file->st_ino != input->st_ino || file->st_dev != input->st_dev) continue;
      const auto info = io::read_file(fmt::format("{}/fdinfo/{}", dir, it->path().filename().string()), kSmall);
      const auto position = info ? fdinfo_position(*info) : std::nullopt;
      // Never backward: a second look at the beginning isn't less progress.
      if (position) row.done = std::max(row.done, std::min(row.total, static_cast<double>(*position)));
    }
  }
}

void Collector::look_at_file(int init_pid, const std::string& path, Row& row) const {
  const auto root = sys::open(fmt::format("{}/{}/root", proc_, init_pid), O_PATH | O_DIRECTORY);
  if (!root || path.empty() || path.front() != '/') return;
  const auto file = files::open_in_root(*root, path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
  if (!file) return;
  const auto kind = sys::stat(*file);
  if (!kind || !S_ISREG(kind->st_mode)) return;
  char buffer[256];
  const ssize_t got = ::read(file->get(), buffer, sizeof(buffer));
  if (got <= 0) return;
  if (const auto said = parse_said({buffer, static_cast<size_t>(got)})) row.done = said->done, row.total = said->total;
}

wire::UnitActivity Collector::unit(const std::string& id, int init_pid, double cpu_seconds, const std::string& progress,
                                   double time_s) {
  wire::UnitActivity out;
  Row& row = rows_[id];
  row.cpu.sample(time_s, cpu_seconds);
  out.set_cpu_rate(row.cpu.per_s());
  if (init_pid > 0) {
    // In thirds, so that none of them eats what the others need.
    const size_t share = Budget::of_one(rows_.size()).left() / 3;
    Budget for_tree(share), for_numbers(share), for_files(share);
    const std::vector<int> pids = tree(init_pid, for_tree);
    double read = 0, written = 0;
    int threads = 0;
    for (const int pid : pids) {
      if (!for_numbers.take()) break;
      const std::string dir = fmt::format("{}/{}", proc_, pid);
      if (const auto text = io::read_file(dir + "/io", kSmall)) {
        read += number_after(*text, "rchar:").value_or(0);
        written += number_after(*text, "wchar:").value_or(0);
      }
      if (const auto text = io::read_file(dir + "/stat", kSmall))
        if (const auto fields = stat_fields(*text); fields.size() > 17) threads += std::atoi(fields[17].c_str());
    }
    row.read.sample(time_s, read);
    row.write.sample(time_s, written);
    out.set_threads(threads);
    if (progress.starts_with("reads:")) look_at_reads(pids, init_pid, progress.substr(6), row, for_files);
    if (progress.starts_with("file:")) look_at_file(init_pid, progress.substr(5), row);
  }
  out.set_read_rate(row.read.per_s());
  out.set_write_rate(row.write.per_s());
  if (row.total > 0) {
    out.set_done(row.done);
    out.set_total(row.total);
    out.set_source(progress.starts_with("reads:") ? "reads" : "said");
  }
  return out;
}

void Collector::keep_only(const std::set<std::string>& ids) {
  std::erase_if(rows_, [&](const auto& row) { return !ids.contains(row.first); });
}

}  // namespace godwit::node
