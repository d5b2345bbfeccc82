#include "fault_cell.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/fault.h"

namespace godwit::test {

using nlohmann::json;

namespace {

constexpr auto kSettle = std::chrono::seconds(20);

std::string holder_of(const std::string& point, const Lane& lane) {
  if (point.starts_with("controller.")) return "controller";
  return point.starts_with("source.") ? lane.source : lane.destination;
}

/// What is armed for a cell. A daemon that stands with an answer that its keeper has holds nobody up: so that the move stands, too,
/// the keeper stops at what comes next.
std::string spec_of(const std::string& point) {
  const std::string stall = point + ":stall";
  return point == "destination.answered" ? stall + ",destination.committed:stall" : stall;
}

}  // namespace

bool is_lazy(const std::string& point) {
  return std::ranges::any_of(fault::points(),
                             [&](const fault::Point& p) { return p.name == point && p.where.starts_with("lazy:"); });
}

bool Cell::begin(const std::string& accident) {
  name_ = accident + "-" + point_;
  std::ranges::replace(name_, '.', '-');
  std::ranges::replace(name_, '_', '-');
  mark_ = "mark-" + name_ + ".";
  char work[] = "/tmp/godwit_cell_XXXXXX";
  if (::mkdtemp(work) == nullptr) return false;
  work_ = work;
  const auto ran = ask({"run", "--name", name_, "--node", lane_.source, "--dir", work_, "--cwd", work_, "--", program_,
                        mark_, std::to_string(megabytes_)});
  EXPECT_EQ(ran.status, 0) << name_ << ": " << ran.err;
  id_ = ran.out.substr(0, ran.out.find('\n'));
  if (ran.status != 0 || !eventually([&] { return runs_on(lane_.source); })) return false;
  const std::string logs[] = {grid_.state() + "/controller/controller.log", node_dir(lane_.source) + "/node.log",
                              node_dir(lane_.destination) + "/node.log"};
  for (size_t i = 0; i < std::size(logs); i++) log_starts_[i] = io::read_file(logs[i]).value_or("").size();

  arm(spec_of(point_));
  std::vector<std::string> move = {"move", name_, "--to", lane_.destination};
  if (is_lazy(point_)) move.emplace_back("--lazy");
  moved_ = std::async(std::launch::async, [this, move = std::move(move)] { return grid_.godwit(move); });
  const bool stands = eventually([&] { return logs_say(": stall") || move_ended(); }) && !move_ended();
  EXPECT_TRUE(stands) << name_ << ": the point was not reached: " << (move_ended() ? moved_.get().err : "");
  return stands;
}

void Cell::arm(const std::string& spec) const {
  const std::string holder = holder_of(point_, lane_);
  std::vector<std::string> arguments = {"arm", spec};
  if (holder != "controller") arguments.insert(arguments.end(), {"--node", holder});
  const auto armed = ask(arguments);
  EXPECT_EQ(armed.status, 0) << name_ << ": arming " << holder << ": " << armed.err;
}

Ran Cell::ask(const std::vector<std::string>& arguments) const {
  Ran ran;
  (void)eventually([&] {
    ran = grid_.godwit(arguments);
    return ran.status == 0 || ran.err.find("it can't be reached") == std::string::npos;
  });
  return ran;
}

bool Cell::logs_say(const std::string& what) const {
  const std::string line = "fault point " + point_ + what;
  const std::string logs[] = {grid_.state() + "/controller/controller.log", node_dir(lane_.source) + "/node.log",
                              node_dir(lane_.destination) + "/node.log"};
  for (size_t i = 0; i < std::size(logs); i++) {
    if (io::read_file(logs[i]).value_or("").find(line, log_starts_[i]) != std::string::npos) return true;
  }
  for (const auto& node : {lane_.source, lane_.destination}) {
    if (io::read_file(unit_dir(node) + "/keeper.log").value_or("").find(line) != std::string::npos) return true;
  }
  return false;
}

pid_t Cell::keeper(const std::string& node) const {
  return ProcTable::read().first(grid_.member(node).holder_pid, "godwit-keeper --unit " + id_);
}

void Cell::release() const {
  const std::string holder = holder_of(point_, lane_);
  const auto go_on = [](pid_t pid) {
    if (pid > 0) ::kill(pid, SIGCONT);
  };
  go_on(grid_.member(holder).daemon_pid);
  if (holder != "controller") go_on(keeper(holder));
}

size_t Cell::running_copies() const {
  const auto table = ProcTable::read();
  size_t n = 0;
  for (const auto& node : {lane_.source, lane_.destination}) {
    n += std::ranges::count_if(copies(table, node), [](const Proc& p) { return !p.stands(); });
  }
  return n;
}

bool Cell::runs_on(const std::string& node) const {
  const size_t before = output(node).size();
  return eventually([&] { return output(node).size() > before; }, std::chrono::seconds(1));
}

json Cell::record() const {
  for (const auto& u : json::parse(grid_.godwit({"ps", "--all", "--json"}).out, nullptr, false)) {
    if (u.is_object() && u.value("id", "") == id_) return u;
  }
  return json::object();
}

std::string Cell::unsettled(json& record) const {
  if (!move_ended()) return "`godwit move` has not ended";
  for (const auto& n : json::parse(grid_.godwit({"nodes", "--json"}).out, nullptr, false)) {
    if (!n.is_object() || n.value("state", "") != "ready") return "not all nodes are ready";
  }
  record = this->record();
  const std::string state = record.value("state", "unknown");
  const auto table = ProcTable::read();
  const auto here = copies(table, lane_.source), there = copies(table, lane_.destination);
  if (state == "ended") return here.empty() && there.empty() ? "" : "it has ended, and a copy is left";
  if (state != "running") return "it is " + state;
  const bool moved = record.value("node", "") == lane_.destination;
  const auto& ours = moved ? there : here;
  const std::string loser = moved ? lane_.source : lane_.destination;
  if (here.size() + there.size() != 1 || ours.size() != 1) {
    return fmt::format("{} copies at the source, {} at the destination, the owner is {}", here.size(), there.size(),
                       record.value("node", ""));
  }
  if (ours.front().stands()) return "the one copy stands still";
  for (const auto& p : table.below(grid_.member(loser).holder_pid)) {
    if (p.command.find(id_) != std::string::npos) return "the loser has " + p.command;
  }
  if (::access(unit_dir(loser).c_str(), F_OK) == 0) return "the loser has the unit's directory";
  return {};
}

void Cell::finish(bool may_die, bool exit_code_counts) {
  json unit;
  std::string why;
  const bool settled = eventually(
      [&] {
        release();  // a daemon or keeper that was started anew may stand at the point again
        why = unsettled(unit);
        return why.empty();
      },
      kSettle);
  EXPECT_TRUE(settled) << name_ << " (" << id_ << ") has not settled: " << why << "\n"
                       << unit.dump() << "\n"
                       << story();
  arm("");  // a node arms its next keepers, too
  if (!settled) return;
  const bool died = unit.value("state", "") == "ended";
  EXPECT_TRUE(!died || may_die) << name_ << ": it was lost\n" << unit.dump();
  if (!died) expect_whole(unit.value("node", ""));
  if (exit_code_counts) expect_sane_answer(unit, died);
  const Ran& answer = moved_.get();
  std::printf("  %-44s %s status %d %s", name_.c_str(), died ? "died" : unit.value("node", "").c_str(), answer.status,
              answer.status == 0 ? "\n" : answer.err.c_str());
}

std::string Cell::story() const {
  std::string text;
  const auto tell = [&](const std::string& who, const std::string& log, pid_t pid) {
    const std::string all = io::read_file(log).value_or("");
    text += fmt::format("--- {}, process {}\n{}{}", who, pid,
                        all.substr(all.size() - std::min<size_t>(all.size(), 2000)), pid > 0 ? thread_list(pid) : "");
  };
  tell("controller", grid_.state() + "/controller/controller.log", grid_.member("controller").daemon_pid);
  for (const auto& node : {lane_.source, lane_.destination}) {
    tell(node, node_dir(node) + "/node.log", grid_.member(node).daemon_pid);
    tell("the keeper of " + node, unit_dir(node) + "/keeper.log", keeper(node));
  }
  return text;
}

void Cell::expect_whole(const std::string& node) const {
  EXPECT_TRUE(eventually([&] { return runs_on(node); })) << name_ << ": its output doesn't grow";
  for (const auto& p : copies(ProcTable::read(), node)) ::kill(p.pid, SIGTERM);
  const auto waited = grid_.godwit({"wait", id_, "--timeout", "20"});
  EXPECT_EQ(waited.status, 0) << name_ << ": " << waited.out << waited.err;
  const std::string found = ask({"logs", id_}).out;
  Steady plain(static_cast<size_t>(megabytes_));
  std::string expected;
  while (expected.size() < found.size()) expected += plain.next();
  EXPECT_TRUE(found == expected && !found.empty())
      << name_ << ": " << found.size() << " bytes of output differ from the plain run after byte "
      << std::ranges::mismatch(found, expected).in1 - found.begin();
}

void Cell::expect_sane_answer(const json& record, bool died) const {
  const Ran& answer = moved_.get();
  const bool moved = !died && record.value("node", "") == lane_.destination;
  if (died) {
    EXPECT_FALSE(answer.err.empty() && answer.status != 0) << name_;
    return;
  }
  if (!moved && answer.status == 3) return;  // found before anything was touched
  EXPECT_EQ(answer.status, moved ? 0 : 4) << name_ << ": it is on " << record.value("node", "") << "\n" << answer.err;
  const bool says_so = moved || answer.err.find("rolled back") != std::string::npos;
  EXPECT_TRUE(says_so) << name_ << ": " << answer.err;
}

}  // namespace godwit::test
