#include "controller/state.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <numeric>

#include "controller/sched_view.h"

namespace godwit::controller {

void State::apply(const Changes& changes) {
  turn++;
  if (!changes.heard.empty()) heard_at[changes.heard] = turn;
  for (const auto& u : changes.units) {
    const auto& old = units[u.id()];
    if (old.node() != u.node() || old.epoch() != u.epoch() || old.state() != u.state()) given[u.id()] = turn;
    const auto load = old.load();
    units[u.id()] = u;
    if (!u.has_load()) *units[u.id()].mutable_load() = load;
  }
  for (const auto& id : changes.removed_units) {
    units.erase(id);
    given.erase(id);
    meta.erase(work_before_key(id));
    delegations.erase(id);
  }
  for (const auto& n : changes.nodes) nodes[n.name()] = n;
  for (const auto& m : changes.migrations) {
    migrations[m.id()] = m;
    if (m.state() == wire::PLANNED) {
      open_moves[m.unit()] = m.id();
    } else {
      uncertain.erase(m.id());
      const auto open = open_moves.find(m.unit());
      if (open != open_moves.end() && open->second == m.id()) open_moves.erase(open);
    }
  }
  for (const auto& c : changes.checkpoints) checkpoints[{c.unit(), c.number()}] = c;
  for (const auto& key : changes.removed_checkpoints) {
    checkpoints.erase(key);
    meta.erase(work_at_key(key.first, key.second));
  }
  for (const auto& t : changes.tokens) tokens[t.token] = t;
  for (const auto& t : changes.removed_tokens) tokens.erase(t);
  for (const auto& key : changes.removed_meta) meta.erase(key);
  for (const auto& [key, value] : changes.meta) meta[key] = value;
  for (const auto& d : changes.delegations) delegations[d.unit] = d;
  revoked.insert(changes.revocations.begin(), changes.revocations.end());
}

bool is_gone(const State& state, const Now& now, const std::string& node) {
  // One of a site that isn't trusted (any more) can't be heard.
  if (const auto site = pki::split_name(node).site; !site.empty() && !state.sites.contains(site)) return true;
  const auto it = state.seen.find(node);
  return it == state.seen.end() || now.monotonic_ms - it->second > kGoneMs;
}

const wire::Migration* open_migration(const State& state, const std::string& unit) {
  const auto open = state.open_moves.find(unit);
  if (open == state.open_moves.end()) return nullptr;
  const auto it = state.migrations.find(open->second);
  return it == state.migrations.end() ? nullptr : &it->second;
}

wire::NodeState node_state(const State& state, const Now& now, const wire::NodeInfo& node) {
  if (is_gone(state, now, node.name())) return wire::GONE;
  return node.state() == wire::CORDONED ? wire::CORDONED : wire::READY;
}

wire::Unit view(const State& state, const Now& now, const wire::Unit& unit) {
  wire::Unit shown = unit;
  if (unit.state() == wire::EXITED || unit.state() == wire::LOST) return shown;
  if (const auto* m = open_migration(state, unit.id())) {
    shown.set_migration(m->id());
    shown.set_state(wire::MOVING);
  } else if (is_gone(state, now, unit.node())) {
    shown.set_state(wire::LOST);
  }
  return shown;
}

wire::NodeInfo view(const State& state, const Now& now, const wire::NodeInfo& node) {
  wire::NodeInfo shown = node;
  shown.set_state(node_state(state, now, node));
  const auto count = std::ranges::count_if(
      state.units, [&](const auto& entry) { return is_live(entry.second) && entry.second.node() == node.name(); });
  shown.set_units(static_cast<uint32_t>(count));
  return shown;
}

namespace {

/// Edit distance; the words are short.
size_t distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), 0u);
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t change = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({change, row[j] + 1, row[j - 1] + 1});
    }
  }
  return row[b.size()];
}

}  // namespace

std::string did_you_mean(std::string_view word, const std::vector<std::string>& known) {
  std::vector<std::pair<size_t, std::string>> close;
  for (const auto& k : known) {
    const bool begins = word.size() >= 2 && k.starts_with(word);
    const size_t d = begins ? 1 : distance(word, k);
    if (d < k.size() && d <= (word.size() < 4 ? 1u : std::max<size_t>(2, word.size() / 3))) close.emplace_back(d, k);
  }
  if (close.empty()) return {};
  std::ranges::sort(close);
  if (close.size() > 3) close.resize(3);
  std::vector<std::string> names;
  for (auto& [d, name] : close) names.push_back(name);
  return fmt::format("; did you mean {}?", fmt::join(names, ", "));
}

Outcome<wire::Unit> find_unit(const State& state, std::string_view word) {
  if (const auto it = state.units.find(std::string(word)); it != state.units.end()) return it->second;
  const wire::Unit* named = nullptr;
  for (const auto& [id, u] : state.units) {
    if (u.spec().name() != word) continue;
    if (!named || is_live(u) > is_live(*named) ||
        (is_live(u) == is_live(*named) && u.created_ms() > named->created_ms()))
      named = &u;
  }
  if (named) return *named;
  std::vector<const wire::Unit*> begun;
  if (word.size() >= 3)
    for (auto it = state.units.lower_bound(std::string(word)); it != state.units.end() && it->first.starts_with(word);
         ++it)
      begun.push_back(&it->second);
  if (begun.size() == 1) return *begun.front();
  if (begun.size() > 1)
    return failure(Code::kUsage,
                   fmt::format("{} is the beginning of {} unit ids; write more of it", word, begun.size()));
  std::vector<std::string> names;
  for (const auto& [id, u] : state.units) names.push_back(u.spec().name());
  return failure(Code::kNotFound, fmt::format("no unit {}{}", word, did_you_mean(word, names)));
}

uint32_t next_checkpoint(const State& state, const std::string& unit) {
  uint32_t number = 1;
  for (auto it = state.checkpoints.lower_bound({unit, 0}); it != state.checkpoints.end() && it->first.first == unit;
       ++it)
    number = it->first.second + 1;
  return number;
}

Outcome<wire::Checkpoint> find_checkpoint(const State& state, const std::string& unit, const std::string& word,
                                          uint32_t number) {
  if (number == 0) number = next_checkpoint(state, unit) - 1;
  if (const auto it = state.checkpoints.find({unit, number}); it != state.checkpoints.end()) return it->second;
  return failure(Code::kNotFound,
                 number == 0 ? fmt::format("{0} has no checkpoint; make one with: godwit checkpoint {0}", word)
                             : fmt::format("{0} has no checkpoint {1}; see: godwit history {0}", word, number));
}

rpc::Failure nobody_holds(const std::string& word, uint32_t number) {
  return {Error{Code::kPeer, 0, fmt::format("no node that holds {}@{} answers", word, number)}, {}};
}

Outcome<wire::NodeInfo> find_node(const State& state, std::string_view name) {
  if (const auto it = state.nodes.find(std::string(name)); it != state.nodes.end()) return it->second;
  std::vector<std::string> names;
  for (const auto& [n, info] : state.nodes) names.push_back(n);
  return failure(Code::kNotFound, fmt::format("no node {}{}", name, did_you_mean(name, names)));
}

}  // namespace godwit::controller
