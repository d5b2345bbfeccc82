// Runs tests/scripts/controller_*.txt: commands, a line of dashes, what the controller decides. A person reads the diff:
//
//     GODWIT_REWRITE=1 build/release/bin/controller_test --gtest_filter='Scripts.*'      # writes what is decided now
//
// The commands are the table at the end of this file. Ids are u1, u2 … and m1, m2 …; time stands still unless a node goes
// silent. `save` and `power-cut` stand for the disk: what was decided since `save` is lost.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <sstream>

#include "base/replayed_scripts.h"
#include "controller/decide.h"
#include "controller/token.h"
#include "delegation/testing.h"

namespace godwit::controller {
namespace {

using Words = std::vector<std::string>;

class World {
 public:
  World() { state_.secret = "test"; }

  std::string run(const Words& w);

 private:
  std::string take(const Changes& changes, std::string text) {
    state_.apply(changes);
    return text;
  }
  static std::string refused(const rpc::Failure& f) {
    std::string out = fmt::format("{}: {}", code_name(f.error.code), f.error.text);
    for (const auto& b : f.blockers) out += fmt::format("\n  [{}] {}: {}", b.code, b.object, b.reason);
    return out;
  }
  static std::string option(const Words& w, const std::string& name) {
    for (const auto& word : w)
      if (word.starts_with(name + "=")) return word.substr(name.size() + 1);
    return {};
  }
  /// "u1:2,u2:1!": units with epochs; '!' shows the right token.
  template <typename Out>
  void add_units(const Words& w, const std::string& node, Out add) {
    std::istringstream list(option(w, "has"));
    for (std::string item; std::getline(list, item, ',');) {
      wire::UnitLoad* load = add();
      const bool proved = item.ends_with('!');
      if (proved) item.pop_back();
      load->set_unit(item.substr(0, item.find(':')));
      load->set_epoch(std::stoul(item.substr(item.find(':') + 1)));
      load->set_state(wire::RUNNING);
      if (proved) load->set_token(epoch_token(state_.secret, load->unit(), load->epoch(), node));
    }
  }
  static std::string disown_text(const std::vector<wire::Disown>& list) {
    std::string out;
    for (const auto& d : list) out += fmt::format("\ndisown {} epoch {}", d.unit(), d.epoch());
    return out;
  }

  std::string trusts(const Words& w);
  std::string joins(const Words& w);
  std::string beats(const Words& w);
  std::string silent(const Words& w);
  std::string starts(const Words& w);
  std::string started(const Words& w);
  std::string moves(const Words& w);
  std::string commits(const Words& w);
  std::string resolves(const Words& w);
  std::string ends(const Words& w);
  std::string drains(const Words& w);
  std::string restores(const Words& w);
  std::string placed(const Words& w);
  std::string shows(const Words& w);
  std::string save(const Words& w);
  std::string power_cut(const Words& w);

  State state_;
  State saved_;
  Now now_{1'000'000, 1'000'000};
  int units_ = 0;
  int migrations_ = 0;
};

// trust [SITE…]: these and no others
std::string World::trusts(const Words& w) {
  state_.sites = {w.begin() + 1, w.end()};
  return "ok";
}

/// That of a unit whose user lets it be at these sites; all when none are named.
std::string document(const std::string& instance, const std::string& sites) {
  namespace dl = delegation;
  dl::Grants grants;
  grants.not_after = dl::testing::kNow;
  if (!sites.empty()) grants.sites.trusted.clear();
  std::istringstream words(sites);
  for (std::string word; std::getline(words, word, ',');) grants.sites.trusted.push_back(word);
  dl::Document out = dl::testing::document_of("user", grants);
  out.instance = dl::testing::id_of(instance);
  return dl::testing::sure(out.sign(dl::testing::key_of("user"))).encode();
}

// node-joins NAME [cpus=N] [load=X] [arch=A] [emulated=yes] [has=…] [receiving=UNIT]
std::string World::joins(const Words& w) {
  wire::RegisterRequest request;
  auto& node = *request.mutable_node();
  node.set_name(w.at(1));
  node.set_trace_key(delegation::testing::key_of(w.at(1)).public_key().base64());
  node.set_arch(option(w, "arch").empty() ? "x86_64" : option(w, "arch"));
  node.set_emulated(!option(w, "emulated").empty());
  node.mutable_load()->set_cpus(option(w, "cpus").empty() ? 1 : static_cast<uint32_t>(std::stoul(option(w, "cpus"))));
  node.mutable_load()->set_load1(option(w, "load").empty() ? 0 : std::stod(option(w, "load")));
  add_units(w, w.at(1), [&] { return request.add_units(); });
  if (const auto unit = option(w, "receiving"); !unit.empty()) request.add_receiving()->set_unit(unit);
  const auto verdict = registered(state_, now_, request);
  state_.apply(verdict.changes);
  for (const auto& id : verdict.certain) state_.uncertain.erase(id);
  state_.seen[w.at(1)] = now_.monotonic_ms;
  std::string out = (verdict.again ? "again" : "ok") + disown_text(verdict.disown);
  for (const auto& note : verdict.notes) out += "\n" + note;
  return out;
}

// heartbeat NAME has=…
std::string World::beats(const Words& w) {
  wire::HeartbeatRequest request;
  add_units(w, w.at(1), [&] { return request.add_units(); });
  state_.apply(found_again(state_, w.at(1), request.units()));
  return "ok" + disown_text(disowned(state_, w.at(1), request.units()));
}

std::string World::silent(const Words& w) {
  now_.monotonic_ms += kGoneMs + 1;
  for (auto& [name, at] : state_.seen)
    if (name != w.at(1)) at = now_.monotonic_ms;
  return "ok";
}

// run NAME [node=A] [document=yes] [sites=SITE,…] [for=ARCHITECTURE,…] [portable=ARCHITECTURE,…]
std::string World::starts(const Words& w) {
  wire::UnitSpec spec;
  if (w.size() > 1 && w[1].find('=') == std::string::npos) spec.set_name(w[1]);
  spec.add_argv("/usr/bin/prog");
  if (!option(w, "portable").empty()) spec.set_grain(wire::PORTABLE);
  for (const char* kind : {"for", "portable"}) {
    std::istringstream words(option(w, kind));
    for (std::string word; std::getline(words, word, ',');) spec.add_architectures(word);
  }
  if (!option(w, "document").empty() || !option(w, "sites").empty())
    spec.set_delegation(document(fmt::format("u{}", units_ + 1), option(w, "sites")));
  const auto plan = plan_run(state_, now_, spec, option(w, "node"), fmt::format("u{}", units_ + 1));
  if (!plan) return refused(plan.error());
  ++units_;
  return take(plan->changes,
              fmt::format("{} named {} on {}", plan->unit.id(), plan->unit.spec().name(), plan->unit.node()));
}

std::string World::started(const Words& w) {
  auto& unit = state_.units.at(w.at(1));
  unit.set_state(wire::RUNNING);
  return "ok";
}

// move UNIT NODE [engine=portable|pod]
std::string World::moves(const Words& w) {
  const auto unit = find_unit(state_, w.at(1));
  if (!unit) return refused(unit.error());
  wire::MoveOptions options;
  const std::string engine = option(w, "engine");
  if (!engine.empty()) options.set_grain(engine == "pod" ? wire::POD : wire::PORTABLE);
  const auto plan = plan_move(state_, now_, *unit, w.at(2), options, fmt::format("m{}", migrations_ + 1));
  if (!plan) return refused(plan.error());
  ++migrations_;
  return take(plan->changes, fmt::format("{}: {} epoch {} from {} to {}{}", plan->migration.id(), unit->id(),
                                         plan->migration.epoch(), plan->migration.from(), plan->migration.to(),
                                         plan->migration.options().grain() == wire::PORTABLE ? ", portably" : ""));
}

// commit MIGRATION by=NODE [epoch=N]
std::string World::commits(const Words& w) {
  wire::CommitRequest request;
  request.set_migration(w.at(1));
  request.set_node(option(w, "by"));
  if (const auto m = state_.migrations.find(w.at(1)); m != state_.migrations.end()) {
    request.set_unit(m->second.unit());
    request.set_epoch(m->second.epoch());
  }
  if (!option(w, "epoch").empty()) request.set_epoch(std::stoul(option(w, "epoch")));
  const auto verdict = commit(state_, now_, request);
  if (!verdict.reply.granted()) return "not granted: " + verdict.reply.reason();
  const bool token =
      epoch_token_holds(state_.secret, request.unit(), verdict.reply.epoch(), request.node(), verdict.reply.token());
  return take(verdict.changes, fmt::format("granted epoch {}{}{}", verdict.reply.epoch(), token ? "" : " WRONG TOKEN",
                                           verdict.changes.empty() ? ", again" : ""));
}

// resolve MIGRATION [by=A]; without it is the controller itself that asks
std::string World::resolves(const Words& w) {
  wire::ResolveRequest request;
  request.set_migration(w.at(1));
  request.set_node(option(w, "by"));
  const auto verdict = resolve(state_, request, "nobody answered");
  if (!verdict) return refused(verdict.error());
  return take(verdict->changes, fmt::format("{}{}", verdict->reply.state() == wire::COMMITTED ? "committed" : "aborted",
                                            verdict->changes.empty() ? ", as before" : ""));
}

// exited UNIT node=A epoch=N
std::string World::ends(const Words& w) {
  wire::UnitExitedRequest request;
  request.set_unit(w.at(1));
  request.set_node(option(w, "node"));
  request.set_epoch(std::stoul(option(w, "epoch")));
  const auto changes = exited(state_, request);
  return take(changes, changes.empty() ? "not its present incarnation" : "ended");
}

std::string World::drains(const Words& w) {
  const auto plan = plan_drain(state_, now_, w.at(1));
  if (!plan) return refused(plan.error());
  std::string out = "moves";
  for (const auto& u : plan->units) out += " " + u;
  return take(plan->changes, out);
}

// restore UNIT NUMBER [node=A] [branch=NAME]
std::string World::restores(const Words& w) {
  const auto unit = find_unit(state_, w.at(1));
  if (!unit) return refused(unit.error());
  const RestoreWish wish{option(w, "node"), !option(w, "branch").empty(), option(w, "branch")};
  const auto plan = plan_restore(state_, now_, *unit, static_cast<uint32_t>(std::stoul(w.at(2))), wish,
                                 fmt::format("u{}", units_ + 1));
  if (!plan) return refused(plan.error());
  if (wish.branch) ++units_;
  return take(plan->changes, fmt::format("{} named {} epoch {} on {}", plan->unit.id(), plan->unit.spec().name(),
                                         plan->unit.epoch(), plan->unit.node()));
}

// place [without=A]
std::string World::placed(const Words& w) {
  const auto node = place(state_, now_, {option(w, "without")}, {});
  return node ? *node : refused(node.error());
}

std::string World::shows(const Words&) {
  std::string out;
  const auto line = [&](std::string text) { out += (out.empty() ? "" : "\n") + std::move(text); };
  for (const auto& [name, node] : state_.nodes) {
    const auto shown = view(state_, now_, node);
    line(fmt::format("node {} {} units {}", name, wire::NodeState_Name(shown.state()), shown.units()));
  }
  for (const auto& [id, unit] : state_.units)
    line(fmt::format("unit {} {} epoch {} {}", id, unit.node(), unit.epoch(),
                     wire::UnitState_Name(view(state_, now_, unit).state())));
  for (const auto& [id, m] : state_.migrations)
    line(fmt::format("migration {} {}{}", id, wire::MigrationState_Name(m.state()),
                     state_.uncertain.contains(id) ? ", uncertain" : ""));
  return out;
}

std::string World::save(const Words&) {
  saved_ = state_;
  return "ok";
}

std::string World::power_cut(const Words&) {
  state_ = saved_;
  state_.seen.clear();
  for (const auto& [unit, id] : state_.open_moves) state_.uncertain.insert(id);
  return "ok";
}

std::string World::run(const Words& w) {
  static const std::map<std::string, std::string (World::*)(const Words&)> kTable = {
      {"trust", &World::trusts},       {"node-joins", &World::joins}, {"heartbeat", &World::beats},
      {"silent", &World::silent},      {"run", &World::starts},       {"started", &World::started},
      {"move", &World::moves},         {"commit", &World::commits},   {"resolve", &World::resolves},
      {"exited", &World::ends},        {"drain", &World::drains},     {"restore", &World::restores},
      {"place", &World::placed},       {"show", &World::shows},       {"save", &World::save},
      {"power-cut", &World::power_cut}};
  const auto it = kTable.find(w.at(0));
  return it == kTable.end() ? "no such command" : (this->*it->second)(w);
}

/// One block a command: the line, "----", the answer, an empty line. What stands before a command with '#' is prose.
std::string replay(const std::string& text) {
  World world;
  std::istringstream in(text);
  std::string out;
  for (std::string line; std::getline(in, line);) {
    if (line.empty() || line.front() == '#') {
      out += line + "\n";
      continue;
    }
    std::istringstream words(line);
    const Words w{std::istream_iterator<std::string>(words), {}};
    out += line + "\n----\n" + world.run(w) + "\n";
    if (std::getline(in, line) && line == "----")
      while (std::getline(in, line) && !line.empty()) {
      }
    out += "\n";
  }
  return out;
}

TEST(Scripts, the_controller_decides_as_written) {
  test::expect_scripts(GODWIT_SOURCE_DIR "/tests/scripts", "controller_", 5, replay);
}

TEST(Tokens, prove_one_epoch_of_one_unit_on_one_node) {
  const std::string token = epoch_token("key", "u", 3, "a");
  EXPECT_TRUE(epoch_token_holds("key", "u", 3, "a", token));
  EXPECT_FALSE(epoch_token_holds("key", "u", 4, "a", token));
  EXPECT_FALSE(epoch_token_holds("key", "u", 3, "b", token));
  EXPECT_FALSE(epoch_token_holds("key", "v", 3, "a", token));
  EXPECT_FALSE(epoch_token_holds("other", "u", 3, "a", token));
  EXPECT_FALSE(epoch_token_holds("key", "u", 3, "a", ""));
}

TEST(Nodes, of_another_site_are_so_many_at_most) {
  State state;
  for (size_t i = 0; i < kMaxNodesOfSite; ++i) {
    const std::string name = fmt::format("away/node-{}", i);
    EXPECT_TRUE(has_room(state, name));
    state.nodes[name].set_name(name);
  }
  EXPECT_FALSE(has_room(state, "away/one-more"));
  EXPECT_TRUE(has_room(state, "away/node-7"));
  EXPECT_TRUE(has_room(state, "away-too/node-1"));
  EXPECT_TRUE(has_room(state, "third/node-1"));
  EXPECT_TRUE(has_room(state, "node-1"));
}

TEST(Names, the_closest_ones_are_offered) {
  State state;
  wire::Unit unit;
  unit.set_id("0123456789ab");
  unit.mutable_spec()->set_name("simulation");
  state.units[unit.id()] = unit;
  EXPECT_EQ(find_unit(state, "0123")->id(), unit.id());
  EXPECT_EQ(find_unit(state, "simulation")->id(), unit.id());
  EXPECT_EQ(find_unit(state, "simulaton").error().error.text, "no unit simulaton; did you mean simulation?");
  EXPECT_EQ(find_unit(state, "web").error().error.text, "no unit web");
}

}  // namespace
}  // namespace godwit::controller
