// The protocol, explored completely: both keepers (the real tables of machine.cc), the store, the link between the
// keepers and the relays to the store, with every interleaving of every fault, without a bound on how many faults.
// Why this is sound, and what it leaves out: docs/design/migration.md.
#include <gtest/gtest.h>

#include <compare>
#include <deque>
#include <functional>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "migration/machine.h"

namespace godwit::migration {
namespace {

using S = SourceState;
using SE = SourceEvent;
using SA = SourceAction;
using D = DestinationState;
using DE = DestinationEvent;
using DA = DestinationAction;

enum class Store { kPlanned, kCommitted, kAborted };
enum class Ask { kNone, kAsked, kYes, kNo };  // a question on its way, or its answer; yes: committed, granted
enum class Msg { kDemands, kWelcome, kRefusal, kComplete, kAbort, kAborted, kCommitted, kDelivered };
// A step that a side does on its own and that ends some time later, well or badly.
enum class Work { kNone, kConnect, kPrecopy, kCapture, kAdmit, kRestore };

struct World {
  bool lazy = false;  // most memory follows after the commit
  S s = S::kPlanned;
  D d = D::kWaiting;
  bool s_up = true, d_up = true;  // the keepers; a keeper's death is its copy's death
  bool s_runs = true, s_copy = true, d_runs = false, d_copy = false, d_whole = false;
  Work s_work = Work::kNone, d_work = Work::kNone;
  bool link = true;
  bool s_saw_cut = false, d_saw_cut = false;
  bool admitted = false;
  bool s_gave_up = false, d_gave_up = false;  // lazy: a side failed between the commit and the last page
  std::vector<Msg> to_d, to_s;
  Ask s_ask = Ask::kNone, d_ask = Ask::kNone;
  Store store = Store::kPlanned;
  auto operator<=>(const World&) const = default;
};

void say(World& w, std::vector<Msg>& queue, Msg m) {
  if (w.link) queue.push_back(m);
}

void source(World& w, SE event) {
  const auto st = step(w.s, event);
  if (!st.known) return;
  w.s = st.next;
  for (const SA a : st.actions) {
    switch (a) {
      case SA::kConnect: w.s_work = Work::kConnect; break;
      case SA::kPrecopy: w.s_work = Work::kPrecopy; break;
      case SA::kCapture:
        w.s_runs = false;
        w.s_work = Work::kCapture;
        break;
      case SA::kSendComplete: say(w, w.to_d, Msg::kComplete); break;
      case SA::kAskResolve: w.s_ask = Ask::kAsked; break;
      case SA::kServe: break;  // pages: an edge of its own
      case SA::kSendAbort: say(w, w.to_d, Msg::kAbort); break;
      case SA::kThaw: w.s_runs = true; break;
      case SA::kDiscard: w.s_runs = w.s_copy = false; break;
      case SA::kFinish:
        w.s_work = Work::kNone;
        w.s_ask = Ask::kNone;
        w.to_s.clear();
        break;
    }
  }
}

void destination(World& w, DE event) {
  const auto st = step(w.d, event);
  if (!st.known) return;
  w.d = st.next;
  for (const DA a : st.actions) {
    switch (a) {
      case DA::kAdmit: w.d_work = Work::kAdmit; break;
      case DA::kSendVerdict: say(w, w.to_s, w.admitted ? Msg::kWelcome : Msg::kRefusal); break;
      case DA::kRestore:
        w.d_copy = true;
        w.d_work = Work::kRestore;
        break;
      case DA::kAskCommit: w.d_ask = Ask::kAsked; break;
      case DA::kSendGranted: say(w, w.to_s, Msg::kCommitted); break;
      case DA::kResume: w.d_runs = true; break;
      case DA::kSendCommitted: say(w, w.to_s, Msg::kCommitted); break;
      case DA::kSendDelivered: say(w, w.to_s, Msg::kDelivered); break;
      case DA::kLose: w.d_copy = w.d_whole = w.d_runs = false; break;
      case DA::kDiscard: w.d_copy = w.d_whole = w.d_runs = false; break;
      case DA::kSendAborted: say(w, w.to_s, Msg::kAborted); break;
      case DA::kFinish:
        w.d_work = Work::kNone;
        w.d_ask = Ask::kNone;
        w.to_d.clear();
        break;
    }
  }
}

struct Edge {
  std::string what;
  World to;
  bool fault;
};

using Edges = std::vector<Edge>;
void edge(Edges& out, const World& from, const char* what, bool fault, const std::function<void(World&)>& f) {
  World w = from;
  f(w);
  if (w != from) out.push_back({what, std::move(w), fault});
}

// What the keepers do of themselves: a piece of work ends well, or (a fault) badly.
void own_steps(const World& w, Edges& out) {
  if (w.s_up) {
    if (w.s == S::kPlanned) edge(out, w, "source starts", false, [](World& n) { source(n, SE::kStart); });
    const auto done = [&](Work k, const char* what, auto f) {
      if (w.s_work != k) return;
      edge(out, w, what, false, [&](World& n) { n.s_work = Work::kNone, f(n); });
      edge(out, w, "a step of the source fails", true,
           [](World& n) { n.s_work = Work::kNone, source(n, SE::kFailed); });
    };
    if (w.s == S::kServing) {
      edge(out, w, "serving fails", true, [](World& n) { n.s_gave_up = true, source(n, SE::kFailed); });
    }
    done(Work::kConnect, "demands sent", [](World& n) { say(n, n.to_d, Msg::kDemands); });
    done(Work::kPrecopy, "converged", [](World& n) { source(n, SE::kConverged); });
    done(Work::kCapture, "captured", [](World& n) { source(n, SE::kCaptured); });
    edge(out, w, "source is cancelled or out of patience", true, [](World& n) {
      if (n.s != S::kPlanned && n.s != S::kServing) source(n, SE::kFailed);  // then it is too late
    });
    if (w.s == S::kAsking && w.s_ask == Ask::kNone) {
      edge(out, w, "source asks again", false, [](World& n) { source(n, SE::kTick); });
    }
  }
  if (w.d_up) {
    if (w.d_work == Work::kAdmit) {
      edge(out, w, "welcome", false,
           [](World& n) { n.d_work = Work::kNone, n.admitted = true, destination(n, DE::kWelcome); });
      edge(out, w, "refused", true, [](World& n) { n.d_work = Work::kNone, destination(n, DE::kRefused); });
    }
    if (w.d_work == Work::kRestore) {
      edge(out, w, "restored", false, [](World& n) {
        n.d_work = Work::kNone;
        n.d_whole = !n.lazy;
        destination(n, n.lazy && n.d_saw_cut ? DE::kFailed : DE::kRestored);
      });
    }
    if (w.d == D::kArriving && w.s == S::kServing && w.s_up && w.link) {
      edge(out, w, "all memory has arrived", false, [](World& n) { n.d_whole = true, destination(n, DE::kArrived); });
    }
    edge(out, w, "destination fails or is cancelled", true, [](World& n) {
      n.d_gave_up = n.d_gave_up || n.d == D::kArriving;
      destination(n, DE::kFailed);
    });
    if (w.d == D::kAsking && w.d_ask == Ask::kNone) {
      edge(out, w, "destination asks again", false, [](World& n) { destination(n, DE::kTick); });
    }
  }
}

void deliveries(const World& w, Edges& out) {
  if (w.d_up && !w.to_d.empty()) {
    edge(out, w, "a message reaches the destination", false, [](World& n) {
      const Msg m = n.to_d.front();
      n.to_d.erase(n.to_d.begin());
      if (m == Msg::kDemands) destination(n, DE::kDemands);
      if (m == Msg::kComplete) destination(n, DE::kComplete);
      if (m == Msg::kAbort) destination(n, DE::kPeerAborted);
    });
  }
  if (w.s_up && !w.to_s.empty() && w.s != S::kPlanned) {
    edge(out, w, "a message reaches the source", false, [](World& n) {
      const Msg m = n.to_s.front();
      n.to_s.erase(n.to_s.begin());
      if (m == Msg::kWelcome) source(n, SE::kWelcome);
      if (m == Msg::kRefusal) source(n, SE::kRefused);
      if (m == Msg::kAborted) source(n, SE::kPeerAborted);
      if (m == Msg::kCommitted) source(n, n.lazy ? SE::kPeerTook : SE::kPeerCommitted);
      if (m == Msg::kDelivered) source(n, SE::kDelivered);
    });
  }
  // A cut is noticed by heartbeats, and a peer that has ended closes its end behind its last message. Either way what had
  // not been read by then is lost; when it was read before, the message's own edge came first.
  const bool s_alone = !w.link || (is_final(w.d) && w.to_s.empty());
  const bool d_alone = !w.link || (is_final(w.s) && w.to_d.empty());
  if (s_alone && w.s_up && !w.s_saw_cut && w.s != S::kPlanned) {
    edge(out, w, "source notices the cut", false,
         [](World& n) { n.s_saw_cut = true, n.link = false, n.to_s.clear(), source(n, SE::kLinkLost); });
  }
  if (d_alone && w.d_up && !w.d_saw_cut) {
    edge(out, w, "destination notices the cut", false,
         [](World& n) { n.d_saw_cut = true, n.link = false, n.to_d.clear(), destination(n, DE::kLinkLost); });
  }
}

void store_steps(const World& w, Edges& out) {
  if (w.s_ask == Ask::kAsked) {
    edge(out, w, "the store resolves", false, [](World& n) {
      if (n.store == Store::kPlanned) n.store = Store::kAborted;
      n.s_ask = n.store == Store::kCommitted ? Ask::kYes : Ask::kNo;
    });
  }
  if (w.d_ask == Ask::kAsked) {
    edge(out, w, "the store commits", false, [](World& n) {
      if (n.store == Store::kPlanned) n.store = Store::kCommitted;
      n.d_ask = n.store == Store::kCommitted ? Ask::kYes : Ask::kNo;
    });
  }
  if (w.s_up && w.s_ask > Ask::kAsked) {
    edge(out, w, "the answer reaches the source", false, [](World& n) {
      const bool yes = n.s_ask == Ask::kYes;
      n.s_ask = Ask::kNone;
      source(n, yes ? n.lazy && !n.s_saw_cut ? SE::kPeerTook : SE::kAnswerCommitted : SE::kAnswerAborted);
    });
  }
  if (w.d_up && w.d_ask > Ask::kAsked) {
    edge(out, w, "the answer reaches the destination", false, [](World& n) {
      const bool yes = n.d_ask == Ask::kYes;
      n.d_ask = Ask::kNone;
      destination(n, yes ? n.lazy ? DE::kGrantedLate : DE::kGranted : DE::kDenied);
      if (yes && n.lazy && n.d_saw_cut) destination(n, DE::kLinkLost);  // its engine has ended it before it could run
    });
  }
  // The controller, in the name of a dead source node or of an impatient user, may settle it at any time.
  edge(out, w, "the controller gives the move up", true, [](World& n) {
    if (n.store == Store::kPlanned) n.store = Store::kAborted;
  });
}

void faults(const World& w, Edges& out) {
  if (w.link) {
    // Cut with everything lost, or with what was under way still arriving.
    edge(out, w, "the link is cut", true, [](World& n) { n.link = false, n.to_d.clear(), n.to_s.clear(); });
    edge(out, w, "the link is cut behind the messages", true, [](World& n) { n.link = false; });
  }
  // A daemon or the controller dies and comes back: what it relayed is lost, what the store holds isn't.
  edge(out, w, "the source's question is lost", true, [](World& n) { n.s_ask = Ask::kNone; });
  edge(out, w, "the destination's question is lost", true, [](World& n) { n.d_ask = Ask::kNone; });
  if (w.s_up) {
    edge(out, w, "the source's keeper dies", true, [](World& n) {
      n.s_up = n.s_runs = n.s_copy = false;
      n.s_work = Work::kNone, n.link = false, n.to_s.clear();
    });
  }
  if (w.d_up) {
    edge(out, w, "the destination's keeper dies", true, [](World& n) {
      n.d_up = n.d_runs = n.d_copy = n.d_whole = false;
      n.d_work = Work::kNone, n.link = false, n.to_d.clear();
    });
  }
}

Edges edges(const World& w) {
  Edges out;
  own_steps(w, out);
  deliveries(w, out);
  store_steps(w, out);
  faults(w, out);
  return out;
}

std::string broken_rule(const World& w) {
  if (w.s_runs && w.d_runs) return "two copies run";
  if (w.store == Store::kCommitted && w.s_runs) return "the source runs after the commit";
  if (w.store != Store::kCommitted && w.d_runs) return "the destination runs without the commit";
  if (w.store != Store::kCommitted && w.s_up && !w.s_copy) return "the source's copy is gone without a commit";
  const bool has_or_gets = w.d_whole || (w.lazy && w.d_copy) || w.d == D::kLost;
  if (w.store == Store::kCommitted && w.d_up && !has_or_gets)
    return "committed to a destination that has no whole copy";
  if (w.d_up && w.d == D::kRunning && !w.d_whole) return "runs, and memory is missing";
  if (w.d_up && w.d == D::kArriving && w.s_up && !w.s_copy && !w.s_gave_up && w.link)
    return "destroyed, and memory is missing";
  return {};
}

// At rest: nothing but faults can happen. The unit must then run where the store says, if that keeper lives.
std::string bad_end(const World& w) {
  if (w.s_up && !is_final(w.s)) return "the source never ends";
  if (w.d_up && !is_final(w.d) && !(w.d == D::kWaiting && w.link)) return "the destination never ends";
  if (w.store == Store::kCommitted) {
    const bool excused = !w.link || !w.s_up || w.s_gave_up || w.d_gave_up;
    if (w.d == D::kLost && !(w.lazy && excused)) return "lost without a reason";
    if (w.d_up && !w.d_runs && w.d != D::kLost) return "committed, and does not run";
    if (w.s_up && w.s_copy) return "committed, and the source keeps a copy";
  } else {
    if (w.s_up && !w.s_runs) return "not committed, and the source does not run";
    if (w.d_up && w.d_copy) return "not committed, and the destination keeps a copy";
  }
  return {};
}

struct Graph {
  std::map<World, std::pair<const World*, std::string>> seen;  // how each was first reached
  std::string trace(const World& w) const {
    std::vector<std::string> steps;
    for (const World* at = &w; at != nullptr;) {
      const auto& [from, what] = seen.at(*at);
      if (from != nullptr) steps.push_back(what);
      at = from;
    }
    std::ostringstream out;
    for (auto it = steps.rbegin(); it != steps.rend(); ++it) out << "  " << *it << "\n";
    return out.str();
  }
};

Graph explore() {
  Graph g;
  std::deque<const World*> todo;
  const auto add = [&](const World& w, const World* from, const std::string& what) {
    const auto [it, fresh] = g.seen.try_emplace(w, from, what);
    if (fresh) todo.push_back(&it->first);
  };
  add(World{}, nullptr, "");
  World late;
  late.lazy = true;
  add(late, nullptr, "");
  while (!todo.empty()) {
    const World* w = todo.front();
    todo.pop_front();
    for (const auto& e : edges(*w)) add(e.to, w, e.what);
  }
  return g;
}

TEST(MachineExplorer, never_two_copies_and_never_none_whatever_fails) {
  const Graph g = explore();
  EXPECT_GT(g.seen.size(), 500u);
  RecordProperty("worlds", static_cast<int>(g.seen.size()));
  for (const auto& [w, how] : g.seen) {
    const std::string rule = broken_rule(w);
    ASSERT_EQ(rule, "") << name(w.s) << "/" << name(w.d) << " after\n" << g.trace(w);
  }
}

TEST(MachineExplorer, once_the_faults_stop_everything_ends_and_the_unit_runs_where_the_store_says) {
  const Graph g = explore();
  // Without faults every path must end: no cycle (depth-first, three colours), and each end is a good one.
  std::map<World, int> colour;
  std::vector<std::pair<World, Edges>> stack;
  const auto calm = [](const World& w) {
    Edges out = edges(w);
    std::erase_if(out, [](const Edge& e) { return e.fault; });
    return out;
  };
  for (const auto& [start, how] : g.seen) {
    if (colour[start] != 0) continue;
    colour[start] = 1;
    stack.emplace_back(start, calm(start));
    if (stack.back().second.empty()) {
      ASSERT_EQ(bad_end(start), "") << g.trace(start);
    }
    while (!stack.empty()) {
      auto& [w, next] = stack.back();
      if (next.empty()) {
        colour[w] = 2;
        stack.pop_back();
        continue;
      }
      const World n = next.back().to;
      next.pop_back();
      ASSERT_NE(colour[n], 1) << "a cycle without a fault, after\n" << g.trace(n);
      if (colour[n] == 2) continue;
      colour[n] = 1;
      stack.emplace_back(n, calm(n));
      if (stack.back().second.empty()) {
        ASSERT_EQ(bad_end(n), "") << name(n.s) << "/" << name(n.d) << "\n" << g.trace(n);
      }
    }
  }
}

TEST(Machine, an_event_without_meaning_changes_nothing) {
  EXPECT_FALSE(step(S::kGone, SE::kAnswerAborted).known);
  EXPECT_EQ(step(S::kGone, SE::kAnswerAborted).next, S::kGone);
  EXPECT_FALSE(step(S::kPrecopy, SE::kPeerCommitted).known);
  EXPECT_FALSE(step(D::kAsking, DE::kFailed).known);  // too late to give up alone
  EXPECT_FALSE(step(D::kRunning, DE::kDenied).known);
  EXPECT_FALSE(step(S::kServing, SE::kAnswerAborted).known);
}

}  // namespace
}  // namespace godwit::migration
