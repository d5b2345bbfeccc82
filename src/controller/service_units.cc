// Calls about units and nodes that are one question and one answer.
#include <fmt/format.h>

#include <algorithm>
#include <csignal>

#include "base/base.h"
#include "controller/delegated.h"
#include "controller/leave.h"
#include "controller/services.h"
#include "controller/token.h"

namespace godwit::controller {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kShort{5'000};
constexpr milliseconds kLaunchLimit{30'000};
constexpr milliseconds kCheckLimit{60'000};
constexpr milliseconds kForEver{std::chrono::hours(24 * 365)};
constexpr milliseconds kKillAgain{500};
constexpr int kKillTries = 40;
constexpr int64_t kTokenLifetimeS = 3600;

}  // namespace

grpc::Status UserService::authorize(const Context& context) const {
  if (!parts_.secure || rpc::caller(context, parts_.self) == "client") return grpc::Status::OK;
  return rpc::to_status(
      Error{Code::kRefused, 0, fmt::format("{} isn't a user of this grid", rpc::caller(context, parts_.self))});
}

Outcome<wire::Unit> UserService::find(const std::string& word) const {
  return parts_.ledger.read([&](const State& s, const Now& now) -> Outcome<wire::Unit> {
    TRY(const wire::Unit unit, find_unit(s, word));
    return view(s, now, unit);
  });
}

/// The row is in the store before the node is asked, so that a unit can't run that nobody knows of.
Outcome<wire::Unit> UserService::launch(const RunPlan& plan) {
  const wire::Unit& unit = plan.unit;
  TRY(const auto node, parts_.peers.node(unit.node()));
  wire::LaunchRequest request;
  request.set_unit(unit.id());
  request.set_epoch(unit.epoch());
  *request.mutable_spec() = unit.spec();
  request.set_token(parts_.ledger.read(
      [&](const State& s, const Now&) { return epoch_token(s.secret, unit.id(), unit.epoch(), unit.node()); }));
  grpc::ClientContext context;
  limit(context, kLaunchLimit);
  wire::UnitLoad load;
  const grpc::Status status = node->Launch(&context, request, &load);
  auto settled = parts_.ledger.decide([&](const State& s, const Now& now) {
    Changes changes;
    const auto it = s.units.find(unit.id());
    if (it == s.units.end() || it->second.epoch() != unit.epoch()) return changes;
    const bool starting = it->second.state() == wire::STARTING;  // else it has ended meanwhile
    if (status.ok()) {
      if (!starting) return changes;
      changes.units.push_back(it->second);
      changes.units.back().set_state(wire::RUNNING);
      *changes.units.back().mutable_load() = load;
    } else if (rpc::failure_of(status).error.code != Code::kPeer) {
      changes.removed_units.push_back(unit.id());  // the node says that it didn't start
    } else if (starting) {
      // Nobody knows whether it started: the epoch is taken from it, so that the node destroys what it may have.
      wire::Unit fenced = it->second;
      fenced.set_epoch(fenced.epoch() + 1);
      fenced.set_state(wire::EXITED);
      fenced.set_ended_ms(now.wall_ms);
      fenced.mutable_exit()->set_signal(SIGKILL);
      changes.units.push_back(fenced);
    }
    return changes;
  });
  if (!settled) return std::unexpected(settled.error());
  if (!status.ok()) {
    auto why = rpc::failure_of(status);
    why.error = why.error.in("node " + unit.node());
    return std::unexpected(std::move(why));
  }
  log::info("unit started unit={} name={} node={}", unit.id(), unit.spec().name(), unit.node());
  return find(unit.id());
}

grpc::Status UserService::Run(Context* context, const wire::RunRequest* request, wire::UnitReply* reply) {
  if (auto no = authorize(*context); !no.ok()) return no;
  auto plan = parts_.ledger.decide([&](const State& s, const Now& now) {
    return plan_run(s, now, request->spec(), request->node(), pki::random_hex(6));
  });
  if (!plan) return rpc::to_status(plan.error());
  auto unit = launch(*plan);
  if (!unit) return rpc::to_status(unit.error());
  *reply->mutable_unit() = *unit;
  return grpc::Status::OK;
}

grpc::Status UserService::Ps(Context* context, const wire::PsRequest* request, wire::PsReply* reply) {
  if (auto no = authorize(*context); !no.ok()) return no;
  parts_.ledger.read([&](const State& s, const Now& now) {
    for (const auto& [id, unit] : s.units)
      if (request->all() || is_live(unit)) *reply->add_units() = view(s, now, unit);
    return 0;
  });
  return grpc::Status::OK;
}

grpc::Status UserService::Nodes(Context* context, const wire::Empty*, wire::NodesReply* reply) {
  if (auto no = authorize(*context); !no.ok()) return no;
  parts_.ledger.read([&](const State& s, const Now& now) {
    for (const auto& [name, node] : s.nodes) *reply->add_nodes() = view(s, now, node);
    return 0;
  });
  return grpc::Status::OK;
}

grpc::Status UserService::Show(Context* context, const wire::UnitRequest* request, wire::ShowReply* reply) {
  if (auto no = authorize(*context); !no.ok()) return no;
  auto unit = find(request->unit());
  if (!unit) return rpc::to_status(unit.error());
  *reply->mutable_unit() = *unit;
  parts_.ledger.read([&](const State& s, const Now&) {
    std::vector<const wire::Migration*> moves;
    for (const auto& [id, m] : s.migrations)
      if (m.unit() == unit->id()) moves.push_back(&m);
    std::ranges::sort(moves, {}, [](const auto* m) { return std::pair(m->time_ms(), m->epoch()); });
    for (const auto* m : moves) *reply->add_migrations() = *m;
    for (auto it = s.checkpoints.lower_bound({unit->id(), 0});
         it != s.checkpoints.end() && it->first.first == unit->id(); ++it)
      *reply->add_checkpoints() = it->second;
    return 0;
  });
  return grpc::Status::OK;
}

grpc::Status UserService::Wait(Context* context, const wire::WaitRequest* request, wire::UnitReply* reply) {
  if (auto no = authorize(*context); !no.ok()) return no;
  auto unit = find(request->unit());
  if (!unit) return rpc::to_status(unit.error());
  const std::string id = unit->id();
  const milliseconds time = request->timeout_ms() == 0 ? kForEver : milliseconds(request->timeout_ms());
  (void)parts_.ledger.wait(
      [&](const State& s, const Now&) { return !s.units.contains(id) || s.units.at(id).state() == wire::EXITED; }, time,
      [&] { return context->IsCancelled(); });
  unit = find(id);
  if (!unit) return rpc::to_status(unit.error());
  *reply->mutable_unit() = *unit;
  return grpc::Status::OK;
}

grpc::Status UserService::Signal(Context* context, const wire::SignalRequest* request, wire::Empty* reply) {
  if (auto no = authorize(*context); !no.ok()) return no;
  auto unit = find(request->unit());
  if (!unit) return rpc::to_status(unit.error());
  if (unit->state() == wire::EXITED)
    return rpc::to_status(Error{Code::kRefused, 0, fmt::format("{} has ended", unit->spec().name())});
  auto node = parts_.peers.live_node(unit->node());
  if (!node) return rpc::to_status(node.error());
  wire::SignalRequest relayed = *request;
  relayed.set_unit(unit->id());
  grpc::ClientContext call;
  limit(call, kShort);
  const auto status = (*node)->Signal(&call, relayed, reply);
  return status.ok() ? status : rpc::to_status(rpc::failure_of(status));
}

/// A kill that meets a move: the copy that is killed may lose its unit to the other node meanwhile, so it is repeated
/// wherever the unit is until its end was reported.
grpc::Status UserService::Kill(Context* context, const wire::UnitRequest* request, wire::UnitReply* reply) {
  if (auto no = authorize(*context); !no.ok()) return no;
  auto unit = find(request->unit());
  if (!unit) return rpc::to_status(unit.error());
  const std::string id = unit->id();
  grpc::Status last = grpc::Status::OK;
  for (int tries = 0; tries < kKillTries && unit && unit->state() != wire::EXITED && !context->IsCancelled(); ++tries) {
    auto node = parts_.peers.live_node(unit->node());
    if (!node) return rpc::to_status(node.error());
    wire::UnitRequest relayed;
    relayed.set_unit(id);
    wire::Empty empty;
    grpc::ClientContext call;
    limit(call, kShort);
    last = (*node)->Kill(&call, relayed, &empty);
    (void)parts_.ledger.wait(
        [&](const State& s, const Now&) { return !s.units.contains(id) || s.units.at(id).state() == wire::EXITED; },
        kKillAgain, [&] { return context->IsCancelled(); });
    unit = find(id);
  }
  if (!unit) return rpc::to_status(unit.error());
  if (unit->state() != wire::EXITED) {
    if (!last.ok()) return rpc::to_status(rpc::failure_of(last));
    return rpc::to_status(
        Error{Code::kPeer, 0, fmt::format("{} was killed, but its end wasn't reported yet", unit->spec().name())});
  }
  *reply->mutable_unit() = *unit;
  return grpc::Status::OK;
}

grpc::Status UserService::Check(Context* context, const wire::CheckRequest* request, wire::CheckReply* reply) {
  if (auto no = authorize(*context); !no.ok()) return no;
  auto unit = find(request->unit());
  if (!unit) return rpc::to_status(unit.error());
  wire::NodeCheckRequest relayed;
  relayed.set_unit(unit->id());
  relayed.set_tcp(request->tcp());
  relayed.set_grain(unit->spec().grain());
  if (!request->to().empty()) {
    // What the controller itself knows against it comes first, beside what the nodes find.
    auto plan = parts_.ledger.read([&](const State& s, const Now& now) -> Outcome<MovePlan> {
      TRY(const wire::Unit stored, find_unit(s, unit->id()));
      return plan_move(s, now, stored, request->to(), {}, "");
    });
    if (!plan && plan.error().blockers.empty()) return rpc::to_status(plan.error());
    if (!plan) {
      for (const auto& b : plan.error().blockers) {
        auto* out = reply->add_blockers();
        out->set_code(b.code);
        out->set_object(b.object);
        out->set_reason(b.reason);
        out->set_lift(b.lift);
      }
    } else {
      auto info = parts_.ledger.read([&](const State& s, const Now&) { return find_node(s, request->to()); });
      relayed.mutable_destination()->set_name(info->name());
      relayed.mutable_destination()->set_control(info->control());
      relayed.set_grain(plan->migration.options().grain());
      parts_.ledger.read([&](const State& s, const Now&) {
        if (const auto it = s.delegations.find(unit->id()); it != s.delegations.end()) {
          relayed.set_document(it->second.log.authority.document.envelope.encode());
          for (auto& c : caveats_of(it->second.log.authority)) relayed.add_caveats(std::move(c));
        }
        return 0;
      });
    }
  }
  if (unit->state() == wire::EXITED)
    return rpc::to_status(Error{Code::kRefused, 0, fmt::format("{} has ended", unit->spec().name())});
  auto node = parts_.peers.live_node(unit->node());
  if (!node) return rpc::to_status(node.error());
  grpc::ClientContext call;
  limit(call, kCheckLimit);
  wire::CheckReply found;
  if (const auto status = (*node)->Check(&call, relayed, &found); !status.ok())
    return rpc::to_status(rpc::failure_of(status));
  reply->MergeFrom(found);
  return grpc::Status::OK;
}

grpc::Status UserService::Uncordon(Context* context, const wire::NodeRequest* request, wire::Empty*) {
  if (auto no = authorize(*context); !no.ok()) return no;
  struct Lifted {
    Changes changes;
  };
  auto done = parts_.ledger.decide([&](const State& s, const Now&) -> Outcome<Lifted> {
    TRY(wire::NodeInfo node, find_node(s, request->node()));
    stay(node);
    Lifted out;
    out.changes.nodes.push_back(node);
    return out;
  });
  return done ? grpc::Status::OK : rpc::to_status(done.error());
}

grpc::Status UserService::CreateToken(Context* context, const wire::TokenRequest* request, wire::TokenReply* reply) {
  if (auto no = authorize(*context); !no.ok()) return no;
  if (parts_.authority.key.empty())
    return rpc::to_status(Error{Code::kRefused, 0, "this controller has no authority to let nodes join"});
  auto facts = pki::inspect(parts_.authority.certificate);
  if (!facts) return rpc::to_status(facts.error());
  const std::string token = pki::random_hex(16);
  auto done = parts_.ledger.decide([&](const State&, const Now& now) {
    const int64_t seconds = request->lifetime_s() == 0 ? kTokenLifetimeS : request->lifetime_s();
    Changes changes;
    changes.tokens.push_back({pki::sha256_hex(token), request->node(), now.wall_ms + 1000 * seconds});
    return changes;
  });
  if (!done) return rpc::to_status(done.error());
  reply->set_token(token);
  reply->set_ca_digest(facts->digest);
  return grpc::Status::OK;
}

grpc::Status UserService::Arm(Context* context, const wire::ArmRequest* request, wire::Empty*) {
  if (auto no = authorize(*context); !no.ok()) return no;
  if (!request->node().empty()) {
    auto node = parts_.peers.live_node(request->node());
    if (!node) return rpc::to_status(node.error());
    grpc::ClientContext call;
    limit(call, kShort);
    wire::Empty empty;
    const auto status = (*node)->Arm(&call, *request, &empty);
    return status.ok() ? status : rpc::to_status(rpc::failure_of(status));
  }
  auto armed = fault::arm(request->spec());
  return armed ? grpc::Status::OK : rpc::to_status(armed.error());
}

}  // namespace godwit::controller
