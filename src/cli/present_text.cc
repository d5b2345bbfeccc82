// The tables for people. Nothing here is an interface: scripts use --json.
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>

#include "base/clock.h"
#include "cli/present.h"

namespace godwit::cli {
namespace {

size_t screen_width() {
  winsize size{};
  if (!::isatty(STDOUT_FILENO) || ::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return 0;
  return size.ws_col;
}

/// Columns on a terminal: continuation bytes of UTF-8 take none.
size_t width(std::string_view text) {
  return static_cast<size_t>(
      std::ranges::count_if(text, [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

std::string command_line(const wire::UnitSpec& spec) {
  std::string line = fmt::format("{}", fmt::join(spec.argv(), " "));
  for (char& c : line)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';  // what runs must not write to this terminal
  return line;
}

std::string ms_text(double ms) { return ms < 10 ? fmt::format("{:.2f} ms", ms) : fmt::format("{:.1f} ms", ms); }

}  // namespace

std::string state_word(wire::UnitState state) {
  switch (state) {
    case wire::STARTING: return "starting";
    case wire::RUNNING: return "running";
    case wire::MOVING: return "moving";
    case wire::EXITED: return "ended";
    case wire::LOST: return "lost";
    default: return "unknown";
  }
}

std::string size_text(uint64_t bytes) {
  constexpr const char* kUnits[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  double value = static_cast<double>(bytes);
  size_t unit = 0;
  while (value >= 1024 && unit + 1 < std::size(kUnits)) {
    value /= 1024;
    ++unit;
  }
  return unit == 0 ? fmt::format("{} B", bytes) : fmt::format("{:.1f} {}", value, kUnits[unit]);
}

std::string age_text(int64_t since_ms) {
  const auto now = std::chrono::duration_cast<std::chrono::milliseconds>(clock_now(CLOCK_REALTIME)).count();
  const int64_t s = std::max<int64_t>(0, (now - since_ms) / 1000);
  if (s < 120) return fmt::format("{} s", s);
  if (s < 7200) return fmt::format("{} min", s / 60);
  if (s < 172800) return fmt::format("{} h", s / 3600);
  return fmt::format("{} d", s / 86400);
}

std::string leaving_text(int64_t leaves_ms) {
  const auto now = std::chrono::duration_cast<std::chrono::milliseconds>(clock_now(CLOCK_REALTIME)).count();
  return leaves_ms <= now ? "leaving now" : fmt::format("leaving in {} s", (leaves_ms - now) / 1000);
}

std::string exit_text(const wire::ExitStatus& exit) {
  if (exit.signal() == 0) return fmt::format("exit {}", exit.status());
  if (!exit.reason().empty()) return fmt::format("ended: {}", exit.reason().substr(0, exit.reason().find('\n')));
  const char* name = ::sigabbrev_np(exit.signal());
  return fmt::format("killed by SIG{} ({})", name ? name : "?", exit.signal());
}

std::string table(const std::vector<std::vector<std::string>>& rows) {
  std::vector<size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], width(row[i]));
  }
  const size_t screen = screen_width();
  std::string out;
  for (const auto& row : rows) {
    std::string line;
    for (size_t i = 0; i < row.size(); ++i) {
      line += row[i];
      if (i + 1 < row.size()) line += std::string(widths[i] - width(row[i]) + 2, ' ');
    }
    if (screen > 8 && width(line) > screen && line.size() == width(line)) line = line.substr(0, screen - 1) + "…";
    out += line + "\n";
  }
  return out;
}

std::string units_table(const google::protobuf::RepeatedPtrField<wire::Unit>& units) {
  std::vector<std::vector<std::string>> rows = {
      {"UNIT", "NAME", "STATE", "NODE", "EPOCH", "MEMORY", "CPU", "AGE", "COMMAND"}};
  for (const auto& u : units) {
    const std::string state = u.state() == wire::EXITED ? exit_text(u.exit()) : state_word(u.state());
    rows.push_back({u.id(), u.spec().name(), state, u.node(), std::to_string(u.epoch()),
                    size_text(u.load().memory_bytes()), fmt::format("{:.1f} s", u.load().cpu_seconds()),
                    age_text(u.created_ms()), command_line(u.spec())});
  }
  return table(rows);
}

std::string nodes_table(const google::protobuf::RepeatedPtrField<wire::NodeInfo>& nodes) {
  std::vector<std::vector<std::string>> rows = {
      {"NODE", "STATE", "UNITS", "LOAD", "CPUS", "MEMORY FREE", "ARCH", "KERNEL", "SYSTEM", "ADDRESS"}};
  for (const auto& n : nodes) {
    std::string state = n.state() == wire::READY ? "ready" : n.state() == wire::CORDONED ? "drained" : "gone";
    if (n.leaves_ms() != 0 && n.state() == wire::CORDONED) state = leaving_text(n.leaves_ms());
    rows.push_back(
        {n.name(), state, std::to_string(n.units()), fmt::format("{:.2f}", n.load().load1()),
         std::to_string(n.load().cpus()),
         fmt::format("{} of {}", size_text(n.load().memory_free_bytes()), size_text(n.load().memory_bytes())), n.arch(),
         n.kernel(), n.os(), n.control()});
  }
  return table(rows);
}

std::string history_table(const wire::HistoryReply& history, const std::string& name) {
  std::vector<std::vector<std::string>> rows = {{"CHECKPOINT", "AGE", "SIZE", "NEW", "DOWNTIME", "EPOCH", "ON"}};
  for (const auto& c : history.checkpoints())
    rows.push_back({fmt::format("{}@{}{}", name, c.number(), c.sealed_to().empty() ? "" : " (encrypted)"),
                    age_text(c.time_ms()), size_text(c.bytes()), size_text(c.bytes_new()), ms_text(c.downtime_ms()),
                    std::to_string(c.epoch()), fmt::format("{}", fmt::join(c.nodes(), ", "))});
  return table(rows);
}

std::string phases_text(const google::protobuf::RepeatedPtrField<wire::Phase>& phases) {
  std::vector<std::vector<std::string>> rows;
  for (const auto& p : phases) rows.push_back({"  " + p.name(), fmt::format("{:>12}", ms_text(p.ms()))});
  return table(rows);
}

std::string report_text(const wire::Report& r) {
  std::string out = fmt::format("{} moved from {} to {} (epoch {}): down {}, in all {}\n", r.unit(), r.from(), r.to(),
                                r.epoch(), ms_text(r.downtime_ms()), ms_text(r.total_ms()));
  out += fmt::format("  {} sent in {} round{} ({} before compression; memory {}, files {})\n",
                     size_text(r.bytes_sent()), r.rounds(), r.rounds() == 1 ? "" : "s", size_text(r.bytes_raw()),
                     size_text(r.memory_bytes()), size_text(r.files_bytes()));
  if (r.mode() == wire::LAZY) {
    out += fmt::format("  {} pages followed while it ran, {} of them as it waited for them\n", r.pages_later(),
                       r.pages_wanted());
  }
  return out + phases_text(r.phases());
}

std::string show_text(const wire::ShowReply& show) {
  const auto& u = show.unit();
  std::vector<std::vector<std::string>> rows = {
      {"unit", u.id()},
      {"name", u.spec().name()},
      {"state", u.state() == wire::EXITED ? exit_text(u.exit()) : state_word(u.state())},
      {"node", u.node()},
      {"epoch", std::to_string(u.epoch())},
      {"command", command_line(u.spec())},
      {"started", age_text(u.created_ms()) + " ago"},
      {"user", fmt::format("{}:{}", u.spec().uid(), u.spec().gid())},
      {"memory", size_text(u.load().memory_bytes())},
      {"processes", std::to_string(u.load().processes())},
      {"cpu", fmt::format("{:.1f} s", u.load().cpu_seconds())}};
  if (!u.spec().dir().empty()) rows.push_back({"dir", u.spec().dir()});
  if (!u.parent().empty()) rows.push_back({"branch of", u.parent()});
  std::string out = table(rows);
  if (show.migrations_size() > 0) {
    out += "\nmoves\n";
    std::vector<std::vector<std::string>> moves;
    for (const auto& m : show.migrations()) {
      const std::string how = m.state() == wire::COMMITTED ? fmt::format("down {}", ms_text(m.report().downtime_ms()))
                              : m.state() == wire::ABORTED ? "rolled back: " + m.error()
                                                           : "in progress";
      moves.push_back({"  " + m.from() + " → " + m.to(), age_text(m.time_ms()) + " ago", how});
    }
    out += table(moves);
  }
  if (show.checkpoints_size() > 0) {
    wire::HistoryReply history;
    *history.mutable_checkpoints() = show.checkpoints();
    out += "\n" + history_table(history, u.spec().name());
  }
  return out;
}

std::string check_text(const wire::CheckReply& check, const std::string& what, const std::string& to) {
  const std::string where = to.empty() ? "" : " to " + to;
  std::string out = check.blockers().empty()
                        ? fmt::format("{} can be moved{}.\n", what, where)
                        : fmt::format("{} can't be moved{}; {} thing{} against it:\n", what, where,
                                      check.blockers_size(), check.blockers_size() == 1 ? " is" : "s are");
  for (const auto& b : check.blockers()) {
    out += fmt::format("  {}: {} [{}]\n", b.object(), b.reason(), b.code());
    if (!b.lift().empty()) out += fmt::format("      → {}\n", b.lift());
  }
  if (check.demands_size() > 0) {
    out += "A destination must have:\n";
    std::vector<std::vector<std::string>> rows;
    for (const auto& d : check.demands()) rows.push_back({"  " + d.kind(), d.what()});
    out += table(rows);
  }
  if (check.memory_bytes() > 0) out += fmt::format("Its memory: {}\n", size_text(check.memory_bytes()));
  return out;
}

}  // namespace godwit::cli
