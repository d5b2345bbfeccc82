#include "controller/decide.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "controller/delegated.h"
#include "controller/sched_view.h"
#include "controller/token.h"

namespace godwit::controller {
namespace {

constexpr size_t kNameLimit = 63;  // a DNS label, so that a name can become a host name

bool name_is_good(const std::string& name) {
  const auto word = [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); };
  return !name.empty() && name.size() <= kNameLimit && word(name.front()) &&
         std::ranges::all_of(name, [&](char c) { return word(c) || c == '-' || c == '_' || c == '.'; });
}

bool name_is_taken(const State& state, const std::string& name) {
  return std::ranges::any_of(
      state.units, [&](const auto& entry) { return entry.second.spec().name() == name && is_live(entry.second); });
}

std::string kind_of(const wire::NodeInfo& node) {
  return fmt::format("{}{}", node.emulated() ? "an emulated " : "", node.arch());
}

std::string needs(const Fits& fits) {
  if (fits.architectures.empty()) return "isn't known to be portable: compile it with godwit cc or godwit c++";
  return fmt::format("has code for {} only{}", fmt::join(fits.architectures, ", "),
                     fits.portable ? "" : ": compile it with godwit cc or godwit c++");
}

/// Units on the node, and those on their way to it.
size_t burden(const State& state, const std::string& node) {
  size_t count = 0;
  for (const auto& [id, u] : state.units)
    if (u.node() == node && is_live(u) && u.state() != wire::LOST) ++count;
  for (const auto& [unit, id] : state.open_moves)
    if (const auto m = state.migrations.find(id); m != state.migrations.end() && m->second.to() == node) ++count;
  return count;
}

/// A node that was asked for by name must exist, be there, and take units.
Outcome<std::string> chosen_node(const State& state, const Now& now, const std::string& node, const Fits& fits,
                                 const std::set<std::string>& without) {
  if (node.empty()) return place(state, now, without, fits);
  TRY(const wire::NodeInfo info, find_node(state, node));
  if (!takes(info, fits))
    return failure(Code::kRefused, fmt::format("node {} is {}, and the program {}", node, kind_of(info), needs(fits)));
  switch (node_state(state, now, info)) {
    case wire::GONE: return failure(Code::kRefused, fmt::format("node {} doesn't answer; see: godwit nodes", node));
    case wire::CORDONED:
      return failure(Code::kRefused, fmt::format("node {} is drained; lift it with: godwit uncordon {}", node, node));
    default: return node;
  }
}

void block(std::vector<engine::Blocker>& blockers, std::string code, std::string object, std::string reason,
           std::string lift) {
  blockers.push_back({std::move(code), std::move(object), std::move(reason), std::move(lift)});
}

}  // namespace

bool takes(const wire::NodeInfo& node, const Fits& fits) {
  if (node.emulated() && !fits.portable) return false;
  return fits.architectures.empty() || node.arch().empty() || fits.architectures.contains(node.arch());
}

Fits fits_of(const wire::UnitSpec& spec) {
  return {{spec.architectures().begin(), spec.architectures().end()}, spec.grain() == wire::PORTABLE};
}

Fits fits_of(const State& state, const wire::Unit& unit) {
  if (unit.spec().grain() == wire::PORTABLE) return fits_of(unit.spec());
  const auto node = state.nodes.find(unit.node());
  if (node == state.nodes.end() || node->second.arch().empty()) return {};
  return {{node->second.arch()}, false};
}

wire::Grain engine_for(const State& state, const wire::Unit& unit, const wire::NodeInfo& to, wire::Grain wish) {
  if (wish != wire::GRAIN_UNSPECIFIED) return wish;
  const auto from = state.nodes.find(unit.node());
  const bool alike =
      from != state.nodes.end() && from->second.arch() == to.arch() && !from->second.emulated() && !to.emulated();
  return unit.spec().grain() == wire::PORTABLE && !alike ? wire::PORTABLE : wire::POD;
}

std::string free_name(const State& state, const std::string& word) {
  std::string base;
  for (const char c : word.substr(0, 40)) base += name_is_good("x" + std::string(1, c)) ? c : '-';
  while (!base.empty() && !name_is_good(base)) base.erase(0, 1);
  if (base.empty()) base = "unit";
  std::string name = base;
  for (int n = 2; name_is_taken(state, name); ++n) name = fmt::format("{}-{}", base, n);
  return name;
}

Outcome<std::string> place(const State& state, const Now& now, const std::set<std::string>& without, const Fits& fits) {
  struct Candidate {
    double load;
    size_t units;
    std::string name;
    auto operator<=>(const Candidate&) const = default;
  };
  std::vector<Candidate> candidates;
  bool unfit = false;
  for (const auto& [name, node] : state.nodes) {
    if (without.contains(name) || node_state(state, now, node) != wire::READY) continue;
    if (!takes(node, fits)) {
      unfit = true;
      continue;
    }
    const size_t units = burden(state, name);
    const double cpus = std::max(1u, node.load().cpus());
    candidates.push_back({std::max(static_cast<double>(units), node.load().load1()) / cpus, units, name});
  }
  if (candidates.empty() && unfit)
    return failure(Code::kRefused, fmt::format("no node that takes units fits: the program {}", needs(fits)));
  if (candidates.empty())
    return failure(Code::kRefused, state.nodes.empty() ? "no node has joined; start one with: godwit node join"
                                                       : "no node takes units now; see: godwit nodes");
  return std::ranges::min(candidates).name;
}

Outcome<RunPlan> plan_run(const State& state, const Now& now, const wire::UnitSpec& spec, const std::string& node,
                          const std::string& new_id) {
  if (spec.argv().empty() || spec.argv(0).empty()) return failure(Code::kUsage, "no command to run");
  const auto absolute = [](const std::string& path) { return path.empty() || path.front() == '/'; };
  if (!absolute(spec.cwd()) || !absolute(spec.dir()))
    return failure(Code::kUsage, "directories must be absolute paths");
  RunPlan plan;
  plan.unit.set_id(new_id);
  *plan.unit.mutable_spec() = spec;
  if (spec.name().empty()) {
    plan.unit.mutable_spec()->set_name(free_name(state, spec.argv(0).substr(spec.argv(0).rfind('/') + 1)));
  } else if (!name_is_good(spec.name())) {
    return failure(Code::kUsage, fmt::format("\"{}\" can't be a name: letters, digits, '-', '_' and '.', at most {}",
                                             spec.name(), kNameLimit));
  } else if (name_is_taken(state, spec.name())) {
    return failure(Code::kRefused, fmt::format("a unit named {} is running; choose another --name", spec.name()));
  }
  TRY(const std::string where, chosen_node(state, now, node, fits_of(spec), forbidden_nodes(state, spec.delegation())));
  plan.unit.set_node(where);
  plan.unit.set_epoch(1);
  plan.unit.set_state(wire::STARTING);
  plan.unit.set_grain(spec.grain() == wire::PORTABLE ? wire::PORTABLE : wire::POD);
  plan.unit.set_created_ms(now.wall_ms);
  plan.changes.units.push_back(plan.unit);
  if (spec.delegation().empty() && is_foreign(where)) return std::unexpected(no_document(where));
  if (!spec.delegation().empty()) {
    TRY(auto row, begin(state, now, new_id, spec.delegation(), where));
    plan.changes.delegations.push_back(std::move(row));
  }
  return plan;
}

Outcome<MovePlan> plan_move(const State& state, const Now& now, const wire::Unit& unit, const std::string& to,
                            const wire::MoveOptions& options, const std::string& new_id) {
  TRY(const wire::NodeInfo destination, find_node(state, to));
  const std::string& name = unit.spec().name();
  std::vector<engine::Blocker> blockers;
  if (unit.state() == wire::EXITED)
    block(blockers, "ended", "unit " + name, "it has ended", "restore a checkpoint of it: godwit history " + name);
  if (unit.state() == wire::STARTING)
    block(blockers, "starting", "unit " + name, "it is being started", "try again in a moment");
  if (unit.state() == wire::LOST || is_gone(state, now, unit.node()))
    block(blockers, "node-gone", "node " + unit.node(), "the node that the unit is on doesn't answer",
          "bring it back, or restore a checkpoint: godwit history " + name);
  if (const auto* m = open_migration(state, unit.id()))
    block(blockers, "moving", "unit " + name, fmt::format("it is being moved to {} already", m->to()),
          "wait for that to end");
  if (unit.node() == to) block(blockers, "same-node", "node " + to, "the unit is there already", "name another node");
  const wire::NodeState there = node_state(state, now, destination);
  if (there == wire::GONE)
    block(blockers, "node-gone", "node " + to, "it doesn't answer", "bring it back, or name another node");
  if (there == wire::CORDONED)
    block(blockers, "node-drained", "node " + to, "it takes no units", "godwit uncordon " + to);
  if (const Fits where = fits_of(state, unit); !takes(destination, where))
    block(blockers, "architecture", "node " + to,
          fmt::format("it is {}, and the program has code for {} only", kind_of(destination),
                      fmt::join(where.architectures, ", ")),
          where.portable ? "compile it with that architecture among --targets"
                         : "name a node of the same architecture, or compile the program with godwit cc");
  const wire::Grain engine = engine_for(state, unit, destination, options.grain());
  if (engine == wire::PORTABLE && unit.spec().grain() != wire::PORTABLE)
    block(blockers, "engine", "unit " + name, "the portable engine moves portable programs only",
          "compile the program with godwit cc, or leave --engine out");
  if (engine == wire::POD && unit.spec().grain() == wire::PORTABLE && options.grain() == wire::POD &&
      engine_for(state, unit, destination, wire::GRAIN_UNSPECIFIED) != wire::POD)
    block(blockers, "engine", "node " + to,
          "the pod engine moves between machines of one architecture that aren't emulated", "leave --engine out");
  for (auto& b : controller::blockers(state, now, unit.id(), delegation::kMigrate, to))
    blockers.push_back(std::move(b));
  if (!blockers.empty())
    return std::unexpected(
        rpc::Failure{Error{Code::kRefused, 0, fmt::format("{} can't be moved to {}", name, to)}, blockers});

  MovePlan plan;
  plan.migration.set_id(new_id);
  plan.migration.set_unit(unit.id());
  plan.migration.set_from(unit.node());
  plan.migration.set_to(to);
  plan.migration.set_epoch(unit.epoch());
  plan.migration.set_state(wire::PLANNED);
  plan.migration.set_time_ms(now.wall_ms);
  *plan.migration.mutable_options() = options;
  plan.migration.mutable_options()->set_grain(engine);
  plan.changes.migrations.push_back(plan.migration);
  plan.changes.unit_guard = UnitGuard{unit.id(), unit.epoch()};
  return plan;
}

namespace {

std::string words(const rpc::Failure& why) {
  std::string out = why.error.text;
  for (const auto& b : why.blockers) out += fmt::format("; {}: {}", b.code, b.reason);
  return out;
}

}  // namespace

CommitVerdict commit(const State& state, const Now& now, const wire::CommitRequest& request) {
  CommitVerdict verdict;
  const auto refuse = [&](std::string reason) {
    verdict.reply.set_granted(false);
    verdict.reply.set_reason(std::move(reason));
    return verdict;
  };
  const auto m = state.migrations.find(request.migration());
  if (m == state.migrations.end()) return refuse("no such migration");
  const wire::Migration& migration = m->second;
  if (migration.to() != request.node())
    return refuse(fmt::format("this migration goes to {}, not to {}", migration.to(), request.node()));
  if (migration.unit() != request.unit() || migration.epoch() != request.epoch())
    return refuse("the migration is of another unit or epoch");
  const auto grant = [&] {
    const uint64_t epoch = migration.epoch() + 1;
    verdict.reply.set_granted(true);
    verdict.reply.set_epoch(epoch);
    verdict.reply.set_token(epoch_token(state.secret, migration.unit(), epoch, migration.to()));
    return verdict;
  };
  if (migration.state() == wire::COMMITTED) return grant();
  if (migration.state() == wire::ABORTED) return refuse("the migration was aborted: " + migration.error());

  const auto u = state.units.find(request.unit());
  if (u == state.units.end()) return refuse("no such unit");
  if (u->second.epoch() != request.epoch() || u->second.state() == wire::EXITED) {
    verdict.reply.set_epoch(u->second.epoch());
    return refuse(fmt::format("the unit is in epoch {} and {}, not running in epoch {}", u->second.epoch(),
                              u->second.state() == wire::EXITED ? "has ended" : "lives", request.epoch()));
  }
  // The commit is also where the handover becomes history: both or neither.
  if (state.delegations.contains(request.unit())) {
    auto row = append(state, now, migration, request.entry());
    if (!row) return refuse(words(row.error()));
    verdict.changes.delegations.push_back(*std::move(row));
  }
  wire::Unit unit = u->second;
  unit.set_epoch(request.epoch() + 1);
  unit.set_node(request.node());
  unit.set_state(wire::RUNNING);
  wire::Migration done = migration;
  done.set_state(wire::COMMITTED);
  verdict.changes.units.push_back(unit);
  verdict.changes.migrations.push_back(done);
  verdict.changes.unit_guard = UnitGuard{unit.id(), request.epoch()};
  verdict.changes.migration_guard = MigrationGuard{done.id(), wire::PLANNED};
  keep_work(state, u->second, verdict.changes);
  verdict.changes.durable = false;
  return grant();
}

Outcome<ResolveVerdict> resolve(const State& state, const wire::ResolveRequest& request, const std::string& why) {
  ResolveVerdict verdict;
  const auto it = state.migrations.find(request.migration());
  if (it == state.migrations.end()) {
    // Every migration that a node was ever told of was on disk before (plan_move is durable): this one never was, so
    // nobody can commit it.
    verdict.reply.set_state(wire::ABORTED);
    return verdict;
  }
  const wire::Migration& migration = it->second;
  // Who has no part in it gets neither its token nor its end. No name: the controller itself.
  if (const std::string& who = request.node(); !who.empty() && who != migration.from() && who != migration.to())
    return failure(Code::kRefused, fmt::format("node {} has no part in this migration", who));
  if (migration.state() == wire::PLANNED && state.uncertain.contains(migration.id()))
    return failure(Code::kPeer, fmt::format("after a power cut only node {} knows; waiting for it", migration.to()));
  verdict.reply.set_epoch(migration.epoch() + (migration.state() == wire::COMMITTED ? 1 : 0));
  verdict.reply.set_state(migration.state());
  if (migration.state() == wire::COMMITTED)
    verdict.reply.set_token(epoch_token(state.secret, migration.unit(), migration.epoch() + 1, migration.to()));
  if (migration.state() != wire::PLANNED) return verdict;
  wire::Migration aborted = migration;
  aborted.set_state(wire::ABORTED);
  aborted.set_error(why);
  verdict.changes.migrations.push_back(aborted);
  verdict.changes.migration_guard = MigrationGuard{aborted.id(), wire::PLANNED};
  verdict.reply.set_state(wire::ABORTED);
  return verdict;
}

Outcome<DrainPlan> plan_drain(const State& state, const Now&, const std::string& node) {
  TRY(wire::NodeInfo info, find_node(state, node));
  DrainPlan plan;
  info.set_state(wire::CORDONED);
  plan.changes.nodes.push_back(info);
  for (const auto& [id, u] : state.units)
    if (u.node() == node && is_live(u) && u.state() != wire::LOST) plan.units.push_back(id);
  return plan;
}

namespace {

/// A new unit beside the old one.
Outcome<void> begin_branch(const State& state, const Now& now, const wire::Unit& of, uint32_t number,
                           const RestoreWish& wish, const std::string& new_id, wire::Unit& unit) {
  if (!wish.name.empty() && (!name_is_good(wish.name) || name_is_taken(state, wish.name)))
    return failure(Code::kUsage, fmt::format("\"{}\" is taken or can't be a name", wish.name));
  unit.set_id(new_id);
  unit.set_epoch(1);
  unit.set_created_ms(now.wall_ms);
  unit.set_parent(fmt::format("{}@{}", of.id(), number));
  unit.mutable_spec()->set_name(wish.name.empty() ? free_name(state, of.spec().name()) : wish.name);
  return {};
}

/// The unit itself, in its next epoch: it may run nowhere.
Outcome<void> begin_again(const State& state, const Now& now, const wire::Unit& of, RestorePlan& plan) {
  const std::string& name = of.spec().name();
  const wire::Unit shown = view(state, now, of);
  if (shown.state() != wire::EXITED && shown.state() != wire::LOST) {
    std::vector<engine::Blocker> blockers;
    block(blockers, "running", "unit " + name, fmt::format("it runs on {}", of.node()),
          fmt::format("end it first (godwit kill {}), or restore beside it with --branch", name));
    return std::unexpected(rpc::Failure{Error{Code::kRefused, 0, name + " can't be restored in place"}, blockers});
  }
  if (of.state() == wire::EXITED && name_is_taken(state, name))
    return failure(Code::kRefused, fmt::format("another unit named {} is running; restore with --branch", name));
  plan.old = of;
  plan.unit.set_epoch(of.epoch() + 1);
  plan.changes.unit_guard = UnitGuard{of.id(), of.epoch()};
  // A move of the lost incarnation must not be committed any more: the epoch says so, this says it in words.
  if (const auto* open = open_migration(state, of.id())) {
    if (state.uncertain.contains(open->id()))
      return failure(Code::kRefused, fmt::format("after a power cut only node {} knows where {} is", open->to(), name));
    wire::Migration aborted = *open;
    aborted.set_state(wire::ABORTED);
    aborted.set_error("the unit was restored from a checkpoint");
    plan.changes.migrations.push_back(aborted);
  }
  return {};
}

}  // namespace

Outcome<RestorePlan> plan_restore(const State& state, const Now& now, const wire::Unit& of, uint32_t number,
                                  const RestoreWish& wish, const std::string& new_id) {
  RestorePlan plan;
  plan.unit = of;
  plan.unit.clear_load();
  plan.unit.clear_exit();
  plan.unit.clear_ended_ms();
  plan.unit.set_state(wire::STARTING);
  if (wish.branch)
    TRY_DO(begin_branch(state, now, of, number, wish, new_id, plan.unit));
  else
    TRY_DO(begin_again(state, now, of, plan));
  Fits fits = fits_of(state, of);
  if (const auto it = state.checkpoints.find({of.id(), number});
      it != state.checkpoints.end() && !it->second.architecture().empty())
    fits = {{it->second.architecture()}, false};
  // Of an image from elsewhere: its unit begins here as an instance of its document, and there is never a second one of that.
  const bool begins = !state.units.contains(of.id()) && !of.spec().delegation().empty();
  TRY(const std::string where,
      chosen_node(state, now, wish.node, fits,
                  begins ? forbidden_nodes(state, of.spec().delegation()) : forbidden_nodes_of(state, of.id())));
  if (begins) {
    TRY(auto row, begin(state, now, plan.unit.id(), of.spec().delegation(), where));
    plan.changes.delegations.push_back(std::move(row));
  } else if (auto why = restore_blockers(state, now, of.id(), wish.branch, where); !why.empty()) {
    return std::unexpected(rpc::Failure{
        Error{Code::kRefused, 0, of.spec().name() + " can't be restored: its delegation forbids it"}, why});
  }
  plan.unit.set_node(where);
  plan.changes.units.push_back(plan.unit);
  plan.old_work = restore_work(state, of.id(), number, plan.unit.id(), plan.changes);
  return plan;
}

}  // namespace godwit::controller
