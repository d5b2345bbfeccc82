#include "fault_accidents.h"

#include <fcntl.h>
#include <signal.h>

#include <map>
#include <mutex>
#include <ostream>
#include <set>

#include "memory_group.h"

namespace godwit::test {
namespace {

constexpr int kLinkLanes = 10;

const std::string& source(Cell& c) { return c.lane().source; }
const std::string& destination(Cell& c) { return c.lane().destination; }

// ------------------------------------------------------------------------------------------------------------ processes

void restart(Cell& c, const std::string& who) {
  c.grid().kill(who);
  c.grid().start(who);
}

void kill_keeper(Cell& c, const std::string& node) {
  const pid_t pid = c.keeper(node);
  if (pid > 0) ::kill(pid, SIGKILL);
}

// A keeper takes the unit along that it holds. Until the destination has everything only the source's has it, and from the
// commit on only the destination's; in a lazy move both hold it between the commit and the last page.
bool dies_with_source(const std::string& point) {
  static const std::set<std::string> lives = {"source.verdict",        "source.discarded",    "destination.answered",
                                              "destination.committed", "destination.running", "destination.arriving",
                                              "controller.committed"};
  return !lives.contains(point);
}
bool dies_with_destination(const std::string& point) {
  return point.starts_with("controller.commit") || point.starts_with("destination.commit") ||
         point == "destination.answered" || point == "destination.running" || point == "source.transferred" ||
         point == "source.verdict" || point == "source.discarded" || is_lazy(point);
}
// The link's loss takes a unit along whose memory is still at the source.
bool dies_with_link(const std::string& point) { return point == "source.serving"; }

// ---------------------------------------------------------------------------------------------------------------- links

void expect_end_of_move(Cell& c) {
  const auto ended = [&] {
    c.release();  // the keeper comes to the point behind its daemon
    return c.move_ended();
  };
  EXPECT_TRUE(eventually(ended, std::chrono::seconds(60))) << "the move waits for ever";
}

// A node alone: neither the other node nor the controller. What is to be decided without it is decided, and the unit runs
// if it is on the other side; then the link is mended.
void wait_without(Cell& c, const std::string& node) {
  expect_end_of_move(c);
  const auto unit = c.record();
  EXPECT_LE(c.running_copies(), 1u);
  const std::string owner = unit.value("node", "");
  const auto ended = [&] { return dies_with_link(c.point()) && c.record().value("state", "") == "ended"; };
  const bool goes_on = owner == node || eventually([&] { return c.runs_on(owner) || ended(); });
  EXPECT_TRUE(goes_on) << unit.dump();
}

// Only what the two nodes say to each other vanishes.
void drop_between(Cell& c, bool on) {
  const auto from = c.grid().member(source(c)), to = c.grid().member(destination(c));
  const auto ran =
      run_program({"/usr/bin/nsenter", "-t", std::to_string(from.holder_pid), "-n", "/usr/sbin/nft", "-f", "-"},
                  !on ? "delete table inet lost\n"
                      : "table inet lost {\n chain in { type filter hook input priority -300; ip saddr " + to.address +
                            " drop; }\n chain out { type filter hook output priority -300; ip daddr " + to.address +
                            " drop; }\n}\n");
  EXPECT_EQ(ran.status, 0) << ran.err;
}
std::string missing_nft() { return ::access("/usr/sbin/nft", X_OK) == 0 ? "" : "nft"; }

// ---------------------------------------------------------------------------------------------------------------- disks

std::string filler(Cell& c, const std::string& who) {
  return c.grid().state() + (who == "controller" ? "/controller" : "/nodes/" + who) + "/filler";
}
void fill(Cell& c, const std::string& who) {
  const Fd file = *sys::open(filler(c, who), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  static const std::string kBlock(64 << 10, 'x');
  for (size_t size = kBlock.size(); size > 0;) {
    if (::write(file.get(), kBlock.data(), size) < 0) size /= 2;
  }
}
void empty(Cell& c, const std::string& who) { EXPECT_TRUE(sys::unlink(filler(c, who))); }

// The move must end while the disk is still full.
void empty_after_the_move(Cell& c, const std::string& who) {
  expect_end_of_move(c);
  empty(c, who);
}

// --------------------------------------------------------------------------------------------------------------- memory

std::string missing_memory_group() { return MemoryGroup::missing() ? "a memory cgroup" : ""; }

// One a destination: kept until the next limit, for a copy that fitted in all the same lives on in it.
MemoryGroup& group_of(Cell& c) {
  static std::mutex mutex;
  static std::map<std::string, MemoryGroup> groups;
  const std::lock_guard lock(mutex);
  return groups.try_emplace(destination(c), destination(c)).first->second;
}
void limit_memory(Cell& c, int64_t bytes) {
  const MemoryGroup& group = group_of(c);
  EXPECT_TRUE(group.limit(bytes));
  EXPECT_TRUE(group.add(c.keeper(destination(c))));
}
void forget_memory_limit(Cell& c) {
  expect_end_of_move(c);
  EXPECT_TRUE(group_of(c).limit(-1));
}
bool memory_arrives(const std::string& point) {
  return point == "destination.keeper" || point == "source.connected" || point == "destination.precopy";
}

}  // namespace

void PrintTo(const Accident& accident, std::ostream* out) { *out << accident.name; }

const std::vector<Accident>& accidents() {
  static const std::vector<Accident> table = {
      {.name = "source_daemon_killed", .strike = [](Cell& c) { restart(c, source(c)); }},
      {.name = "destination_daemon_killed", .strike = [](Cell& c) { restart(c, destination(c)); }},
      {.name = "controller_killed",
       .strike = [](Cell& c) { restart(c, "controller"); },
       .alone = true,
       .answer_counts = false},
      {.name = "source_keeper_killed",
       .strike = [](Cell& c) { kill_keeper(c, source(c)); },
       .may_die = dies_with_source},
      {.name = "destination_keeper_killed",
       .strike = [](Cell& c) { kill_keeper(c, destination(c)); },
       .may_die = dies_with_destination},
      {.name = "link_blinks",
       .strike = [](Cell& c) { c.grid().cut(destination(c)); },
       .mend =
           [](Cell& c) {
             // What the loser logged may be gone with its directory.
             EXPECT_TRUE(eventually([&] { return c.went_on() || c.move_ended(); }));
             c.grid().mend(destination(c));
           },
       .lanes = kLinkLanes,
       .may_die = dies_with_link},
      {.name = "source_cut_off",
       .strike = [](Cell& c) { c.grid().cut(source(c)); },
       .mend =
           [](Cell& c) {
             wait_without(c, source(c));
             c.grid().mend(source(c));
           },
       .answer_counts = false,
       .lanes = kLinkLanes,
       .may_die = dies_with_link},
      {.name = "destination_cut_off",
       .strike = [](Cell& c) { c.grid().cut(destination(c)); },
       .mend =
           [](Cell& c) {
             wait_without(c, destination(c));
             c.grid().mend(destination(c));
           },
       .answer_counts = false,
       .lanes = kLinkLanes,
       .may_die = dies_with_link},
      {.name = "link_between_frozen",
       .strike = [](Cell& c) { drop_between(c, true); },
       .mend =
           [](Cell& c) {
             wait_without(c, "");
             drop_between(c, false);
           },
       .lanes = kLinkLanes,
       .may_die = dies_with_link,
       .missing = missing_nft},
      {.name = "destination_disk_full",
       .strike = [](Cell& c) { fill(c, destination(c)); },
       .mend = [](Cell& c) { empty_after_the_move(c, destination(c)); }},
      {.name = "source_disk_full",
       .strike = [](Cell& c) { fill(c, source(c)); },
       .mend = [](Cell& c) { empty_after_the_move(c, source(c)); }},
      {.name = "controller_disk_full",
       .strike = [](Cell& c) { fill(c, "controller"); },
       .mend = [](Cell& c) { empty(c, "controller"); },
       .alone = true,
       .answer_counts = false},
      {.name = "destination_out_of_memory",
       .strike = [](Cell& c) { limit_memory(c, 4 << 20); },
       .mend = forget_memory_limit,
       .megabytes = 48,
       .applies = memory_arrives,
       .missing = missing_memory_group},
  };
  return table;
}

}  // namespace godwit::test
