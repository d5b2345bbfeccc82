#include "pod/proc.h"

#include <sys/mman.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>

#include "base/io.h"
#include "base/sys.h"

namespace godwit::pod {
namespace {

// Takes the next word off the front of `text`; empty at its end.
std::string_view next_word(std::string_view& text) {
  const size_t begin = std::min(text.find_first_not_of(" \t"), text.size());
  const size_t end = std::min(text.find_first_of(" \t", begin), text.size());
  const auto word = text.substr(begin, end - begin);
  text.remove_prefix(end);
  return word;
}

template <typename T>
T number(std::string_view word, int base = 10) {
  T value{};
  std::from_chars(word.data(), word.data() + word.size(), value, base);
  return value;
}

template <typename T>
std::vector<T> numbers(std::string_view text) {
  std::vector<T> list;
  for (auto word = next_word(text); !word.empty(); word = next_word(text)) list.push_back(number<T>(word));
  return list;
}

std::string_view next_line(std::string_view& text) {
  const size_t end = std::min(text.find('\n'), text.size());
  const auto line = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  return line;
}

// The kernel writes a newline in a mapped file's name as \012.
std::string unescape(std::string_view name) {
  std::string out;
  for (size_t i = 0; i < name.size(); i++) {
    if (name.substr(i).starts_with("\\012")) {
      out += '\n';
      i += 3;
    } else {
      out += name[i];
    }
  }
  return out;
}

bool parse_map_line(std::string_view line, MapEntry& entry) {
  const char* p = line.data();
  const char* const end = p + line.size();
  auto hex = [&](auto& value) {
    const auto r = std::from_chars(p, end, value, 16);
    const bool ok = r.ptr != p;
    p = r.ptr;
    return ok;
  };
  auto skip = [&](char c) { return p < end && *p == c ? (p++, true) : false; };
  if (!hex(entry.start) || !skip('-') || !hex(entry.end) || !skip(' ') || end - p < 5) return false;
  entry.prot = (p[0] == 'r' ? PROT_READ : 0) | (p[1] == 'w' ? PROT_WRITE : 0) | (p[2] == 'x' ? PROT_EXEC : 0);
  entry.shared = p[3] == 's';
  p += 4;
  unsigned major_number = 0, minor_number = 0;
  if (!skip(' ') || !hex(entry.offset) || !skip(' ') || !hex(major_number) || !skip(':') || !hex(minor_number) ||
      !skip(' ')) {
    return false;
  }
  entry.device = makedev(major_number, minor_number);
  const auto r = std::from_chars(p, end, entry.inode, 10);
  if (r.ptr == p) return false;
  p = r.ptr;
  while (p < end && *p == ' ') p++;
  entry.name = unescape(std::string_view(p, static_cast<size_t>(end - p)));
  return true;
}

// The kernel writes the list area by area, and a running process may change it between two: an area that was joined with the
// one after it, or has grown, is written again from its start.
void cut_overlaps(std::vector<MapEntry>& list) {
  uint64_t end = 0;
  for (auto& entry : list) {
    const uint64_t known = std::min(entry.end, std::max(entry.start, end)) - entry.start;
    if (entry.inode != 0) entry.offset += known;
    entry.start += known;
    end = std::max(end, entry.end);
  }
  std::erase_if(list, [](const MapEntry& entry) { return entry.start >= entry.end; });
}

}  // namespace

Result<std::vector<MapEntry>> parse_maps(std::string_view text) {
  std::vector<MapEntry> list;
  while (!text.empty()) {
    const auto line = next_line(text);
    if (line.starts_with("VmFlags:")) {
      auto flags = line.substr(8);
      while (flags.starts_with(' ')) flags.remove_prefix(1);
      while (flags.ends_with(' ')) flags.remove_suffix(1);
      if (!list.empty()) list.back().vm_flags = flags;
    } else if (line.starts_with("ProtectionKey:")) {
      auto rest = line.substr(14);
      if (!list.empty()) list.back().protection_key = number<int>(next_word(rest));
    } else if (!line.empty() && (std::isdigit(line[0]) != 0 || (line[0] >= 'a' && line[0] <= 'f'))) {
      MapEntry entry;
      if (!parse_map_line(line, entry)) return fail(Code::kCorrupt, "not a line of maps: " + std::string(line));
      list.push_back(std::move(entry));
    }
  }
  cut_overlaps(list);
  return list;
}

Result<ProcStatus> parse_status(std::string_view text) {
  ProcStatus s;
  while (!text.empty()) {
    const auto line = next_line(text);
    const size_t colon = line.find(':');
    if (colon == std::string_view::npos) continue;
    const auto key = line.substr(0, colon);
    auto rest = line.substr(colon + 1);
    auto first = [&] { return next_word(rest); };
    auto hex = [&] { return number<uint64_t>(first(), 16); };
    auto four = [&](std::array<uint32_t, 4>& a) {
      for (auto& id : a) id = number<uint32_t>(first());
    };
    if (key == "State") {
      const auto w = first();
      s.state = w.empty() ? '?' : w[0];
    } else if (key == "Tgid")
      s.tgid = number<pid_t>(first());
    else if (key == "TracerPid")
      s.tracer = number<pid_t>(first());
    else if (key == "Uid")
      four(s.uids);
    else if (key == "Gid")
      four(s.gids);
    else if (key == "Groups")
      s.groups = numbers<uint32_t>(rest);
    else if (key == "NSpid")
      s.ns_pid = numbers<pid_t>(rest);
    else if (key == "NStgid")
      s.ns_tgid = numbers<pid_t>(rest);
    else if (key == "NSpgid")
      s.ns_pgid = numbers<pid_t>(rest);
    else if (key == "NSsid")
      s.ns_sid = numbers<pid_t>(rest);
    else if (key == "CapInh")
      s.cap_inh = hex();
    else if (key == "CapPrm")
      s.cap_prm = hex();
    else if (key == "CapEff")
      s.cap_eff = hex();
    else if (key == "CapBnd")
      s.cap_bnd = hex();
    else if (key == "CapAmb")
      s.cap_amb = hex();
    else if (key == "SigPnd")
      s.sig_pending = hex();
    else if (key == "ShdPnd")
      s.shared_pending = hex();
    else if (key == "SigBlk")
      s.blocked = hex();
    else if (key == "SigIgn")
      s.ignored = hex();
    else if (key == "SigCgt")
      s.caught = hex();
    else if (key == "Umask")
      s.umask = number<uint32_t>(first(), 8);
    else if (key == "Seccomp")
      s.seccomp = number<int>(first());
    else if (key == "Seccomp_filters")
      s.seccomp_filters = number<int>(first());
    else if (key == "NoNewPrivs")
      s.no_new_privs = first() == "1";
    else if (key == "Threads")
      s.threads = number<int>(first());
    else if (key == "THP_enabled")
      s.thp_enabled = first() == "1";
  }
  if (s.ns_pid.empty()) return fail(Code::kCorrupt, "a status without NSpid");
  return s;
}

Result<ProcStat> parse_stat(std::string_view text) {
  ProcStat s;
  const size_t open = text.find('(');
  const size_t close = text.rfind(')');
  if (open == std::string_view::npos || close == std::string_view::npos || close < open) {
    return fail(Code::kCorrupt, "not a stat line");
  }
  s.comm = text.substr(open + 1, close - open - 1);
  auto rest = text.substr(close + 1);
  if (rest.ends_with('\n')) rest.remove_suffix(1);
  std::vector<std::string_view> f(3);  // so that f[n] is field n of proc_pid_stat(5)
  for (auto word = next_word(rest); !word.empty(); word = next_word(rest)) f.push_back(word);
  if (f.size() < 53) return fail(Code::kCorrupt, "a stat line of " + std::to_string(f.size()) + " fields");
  auto u = [&](size_t n) { return number<uint64_t>(f[n]); };
  s.state = f[3][0];
  s.terminal = number<unsigned>(f[7]);
  s.ppid = number<pid_t>(f[4]);
  constexpr uint64_t kExiting = 4;  // PF_EXITING, include/linux/sched.h
  s.exiting = (u(9) & kExiting) != 0;
  s.threads = number<int>(f[20]);
  s.start_time = u(22);
  s.start_code = u(26);
  s.end_code = u(27);
  s.start_stack = u(28);
  s.exit_signal = number<int>(f[38]);
  s.start_data = u(45);
  s.end_data = u(46);
  s.start_brk = u(47);
  s.arg_start = u(48);
  s.arg_end = u(49);
  s.env_start = u(50);
  s.env_end = u(51);
  s.exit_code = number<int>(f[52]);
  return s;
}

Result<ProcFs> ProcFs::open(const std::string& path) {
  TRY(Fd dir, sys::open(path, O_PATH | O_DIRECTORY));
  return ProcFs(std::move(dir));
}

namespace {
std::string proc_path(pid_t pid, std::string_view name) { return std::to_string(pid) + "/" + std::string(name); }

// A process that ended between two looks is normal: ENOENT for its directory, ESRCH from an open file of it.
template <typename T>
Result<T> gone_or(Result<T> r) {
  if (!r && (r.error().errnum == ENOENT || r.error().errnum == ESRCH))
    return std::unexpected(r.error().as(Code::kGone));
  return r;
}
}  // namespace

Result<std::string> ProcFs::read(pid_t pid, std::string_view name) const {
  return gone_or(io::read_file_at(dir_, proc_path(pid, name)));
}
Result<std::string> ProcFs::link(pid_t pid, std::string_view name) const {
  return gone_or(sys::read_link_at(dir_, proc_path(pid, name)));
}
Result<std::vector<std::string>> ProcFs::list(pid_t pid, std::string_view name) const {
  return gone_or(sys::list_dir_at(dir_, proc_path(pid, name)));
}
Result<Fd> ProcFs::open(pid_t pid, std::string_view name, int flags) const {
  return gone_or(sys::open_at(dir_, proc_path(pid, name), flags));
}

Result<ProcStatus> ProcFs::status(pid_t pid, pid_t tid) const {
  TRY(const auto text, read(pid, tid == 0 ? std::string("status") : "task/" + std::to_string(tid) + "/status"));
  return parse_status(text);
}

Result<ProcStat> ProcFs::stat(pid_t pid, pid_t tid) const {
  TRY(const auto text, read(pid, tid == 0 ? std::string("stat") : "task/" + std::to_string(tid) + "/stat"));
  return parse_stat(text);
}

bool ProcFs::has_ended(pid_t pid) const {
  const auto now = stat(pid);
  if (!now) return now.error().code == Code::kGone;
  return (now->state == 'Z' || now->exiting) && now->threads <= 1;  // else only its first thread has
}

Result<std::vector<MapEntry>> ProcFs::maps(pid_t pid) const {
  TRY(const auto text, read(pid, "maps"));
  return parse_maps(text);
}

Result<std::vector<MapEntry>> ProcFs::smaps(pid_t pid) const {
  TRY(const auto text, read(pid, "smaps"));
  return parse_maps(text);
}

Result<std::vector<pid_t>> ProcFs::threads(pid_t pid) const {
  TRY(const auto names, list(pid, "task"));
  std::vector<pid_t> tids;
  for (const auto& name : names) tids.push_back(number<pid_t>(name));
  std::ranges::sort(tids);
  return tids;
}

Result<std::vector<pid_t>> ProcFs::children(pid_t pid) const {
  TRY(const auto tids, threads(pid));
  std::vector<pid_t> all;
  for (const pid_t tid : tids) {
    const auto some = children(pid, tid);
    if (!some) {
      if (some.error().code == Code::kGone) continue;
      return std::unexpected(some.error());
    }
    all.insert(all.end(), some->begin(), some->end());
  }
  std::ranges::sort(all);
  return all;
}

Result<std::vector<pid_t>> ProcFs::children(pid_t pid, pid_t tid) const {
  TRY(const auto text, read(pid, "task/" + std::to_string(tid) + "/children"));
  auto list = numbers<pid_t>(text);
  std::erase(list, 0);  // one that was just waited for has no number any more
  return list;
}

}  // namespace godwit::pod
