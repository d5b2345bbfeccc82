// Every fault point that a keeper passes, armed to fail and to kill, on either side. Both sides are processes of their
// own, so that a kill is a real SIGKILL; the test is both daemons and the store. Afterwards there must be exactly one copy
// that runs, where the store says, unless the keeper that held it was itself killed (a keeper's death is its unit's).
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>

#include "migration/fake_engine.h"
#include "migration/test_kit.h"

namespace godwit::migration {
namespace {

enum Word : char { kAsk = 'a', kYes = 'y', kNo = 'n', kStream = 's' };

// The keeper's end of its daemon: asks, gets answers, and (destination) sockets.
class Relay : public Delegate {
 public:
  explicit Relay(int socket) : socket_(socket) {}
  void ask(const Error*) override { (void)!::send(socket_, "a", 1, MSG_NOSIGNAL); }
  template <typename Move>
  void pump(Move& move, std::function<void(uint32_t, Fd)> on_stream = {}) {
    thread_ = std::jthread([this, &move, on_stream] {
      while (auto m = io::receive_with_fds(socket_)) {
        if (m->message[0] == kStream) on_stream(static_cast<uint32_t>(m->message[1]), std::move(m->fds[0]));
        if (m->message[0] == kYes || m->message[0] == kNo) move.answer({m->message[0] == kYes, 6, "token", "said so"});
      }
    });
  }
  void stop() {
    ::shutdown(socket_, SHUT_RDWR);
    thread_.join();
  }

 private:
  int socket_;
  std::jthread thread_;
};

Plan quick_plan(const char* peer) {
  Plan p = kit::plan(peer);
  p.patience.heartbeat = std::chrono::milliseconds(50);
  p.patience.silence = std::chrono::milliseconds(700);
  p.patience.ask_again = std::chrono::milliseconds(50);
  p.arrival = std::chrono::milliseconds(500);
  p.verdict = std::chrono::milliseconds(500);
  return p;
}

int run_source(fake::Flags& flags, const std::string& endpoint, int socket, const std::string& fault, bool lazy) {
  if (!fault::arm(fault)) return 9;
  fake::Source source(flags, 7, {64, 8}, 2);
  Relay relay(socket);
  Plan plan = quick_plan("node-b");
  if (lazy) plan.mode = Mode::kLazy;
  Outgoing move(plan, endpoint, kit::certificates().client.get(), source, nullptr, relay);
  relay.pump(move);
  const Outcome outcome = move.run();
  relay.stop();
  return outcome.committed ? 1 : 0;
}

int run_destination(fake::Flags& flags, int socket, const std::string& fault) {
  if (!fault::arm(fault)) return 9;
  fake::Destination destination(flags);
  Outcome outcome;  // lost: as a keeper does, the unit is ended
  Relay relay(socket);
  {
    Incoming move(quick_plan("node-a"), kit::certificates().server.get(), destination, nullptr, relay);
    relay.pump(move, [&](uint32_t i, Fd s) { move.add_stream(i, std::move(s)); });
    outcome = move.run();
    relay.stop();
  }
  return outcome.committed ? 1 : 0;
}

struct Case {
  std::string point, action;
  bool lose_first_question = false;
  bool lazy = false;
};
void PrintTo(const Case& c, std::ostream* out) { *out << c.point << ":" << c.action << (c.lazy ? " lazy" : ""); }

// Where a failure may come after the commit of a lazy move and before its last page.
bool may_lose_unit(const std::string& point) {
  const char* const late[] = {"source.transferred",  "source.verdict",        "source.serving",
                              "destination.commit",  "destination.committed", "destination.running",
                              "destination.arriving"};
  return std::ranges::find(late, point) != std::end(late);
}

class FaultTest : public testing::TestWithParam<Case> {};

TEST_P(FaultTest, leaves_exactly_one_copy) {
  const auto& [point, action, lose, lazy] = GetParam();
  void* const shared = ::mmap(nullptr, sizeof(fake::Flags), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  auto& flags = *new (shared) fake::Flags();
  (void)kit::certificates();  // made once, before the forks
  kit::Daemon daemon;
  auto [source_ours, source_theirs] = *sys::socketpair(AF_UNIX, SOCK_SEQPACKET);
  auto [destination_ours, destination_theirs] = *sys::socketpair(AF_UNIX, SOCK_SEQPACKET);
  const std::string spec = point + ":" + action;
  const bool at_source = point.starts_with("source");
  const pid_t source = ::fork();
  if (source == 0) {
    source_ours.reset();
    destination_ours.reset();
    ::_exit(run_source(flags, daemon.endpoint(), source_theirs.get(), at_source ? spec : "", lazy));
  }
  const pid_t destination = ::fork();
  if (destination == 0) {
    source_ours.reset();
    destination_ours.reset();
    ::_exit(run_destination(flags, destination_theirs.get(), at_source ? "" : spec));
  }
  source_theirs.reset();
  destination_theirs.reset();
  daemon.serve([&, to = destination_ours.get()](const link::Preamble& p, Fd s) {
    const std::string message{kStream, static_cast<char>(p.index)};
    const int fd = s.get();
    (void)io::send_with_fds(to, message, std::span(&fd, 1));
  });
  kit::Store store;
  const auto relay = [&](int socket, bool is_source) {
    bool lost = !lose;
    while (auto m = io::receive_with_fds(socket)) {
      if (!std::exchange(lost, true)) continue;
      const Answer a = is_source ? store.resolve() : store.commit();
      (void)!::send(socket, a.committed ? "y" : "n", 1, MSG_NOSIGNAL);
    }
  };
  int source_status = 0, destination_status = 0;
  {
    std::jthread one([&] { relay(source_ours.get(), true); });
    std::jthread two([&] { relay(destination_ours.get(), false); });
    ::waitpid(source, &source_status, 0);
    ::waitpid(destination, &destination_status, 0);
    daemon.stop();
  }
  const bool source_died = WIFSIGNALED(source_status), destination_died = WIFSIGNALED(destination_status);
  EXPECT_EQ(source_died, at_source && action == "kill");
  EXPECT_EQ(destination_died, !at_source && action == "kill");
  if (source_died) flags.source_runs = flags.source_copy = 0;
  if (destination_died) flags.destination_runs = flags.destination_copy = 0;
  EXPECT_EQ(flags.both_ran, 0);
  // A lazy unit needs its source after the commit: whatever takes that away ends it, and nobody runs with wrong memory.
  const bool needs_source = lazy && store.committed() && flags.equal == 0;
  if (needs_source) {
    EXPECT_TRUE(may_lose_unit(point)) << "the unit is gone though nobody failed after the commit";
    EXPECT_EQ(flags.destination_runs, 0);
    EXPECT_EQ(flags.source_copy, 0);
    EXPECT_EQ(flags.source_runs, 0);
  } else if (store.committed()) {
    EXPECT_EQ(flags.destination_runs, destination_died ? 0 : 1);
    EXPECT_EQ(flags.source_copy, 0);
    EXPECT_EQ(flags.equal, 1);
  } else {
    EXPECT_EQ(flags.source_runs, source_died ? 0 : 1);
    EXPECT_EQ(flags.destination_copy, 0);
  }
  ::munmap(shared, sizeof(fake::Flags));
}

std::vector<Case> all_cases() {
  std::vector<Case> out;
  for (const auto& p : fault::points()) {
    // The daemons and the controller pass theirs.
    if (p.name.starts_with("checkpoint.") || p.name.starts_with("restore.")) continue;
    if (p.name.starts_with("controller") || p.name.ends_with(".prepare") || p.name.ends_with(".answered")) continue;
    const bool only_lazy = p.name == "source.serving" || p.name == "destination.arriving";
    for (const char* action : {"fail", "kill"}) {
      if (!only_lazy) out.push_back({std::string(p.name), action});
      if (!p.name.ends_with(".precopy")) out.push_back({std::string(p.name), action, false, true});
    }
  }
  out.push_back({"source.transferred", "fail", true});
  out.push_back({"destination.commit", "fail", true});
  out.push_back({"source.transferred", "fail", true, true});
  out.push_back({"destination.commit", "fail", true, true});
  return out;
}

INSTANTIATE_TEST_SUITE_P(Points, FaultTest, testing::ValuesIn(all_cases()), [](const auto& test) {
  std::string n = test.param.point + "_" + test.param.action +
                  (test.param.lose_first_question ? "_question_lost" : "") + (test.param.lazy ? "_lazy" : "");
  std::ranges::replace(n, '.', '_');
  return n;
});

}  // namespace
}  // namespace godwit::migration
