#include "controller/delegated.h"

#include <fmt/format.h>

#include <algorithm>

#include "godwit/control.pb.h"

namespace godwit::controller {

namespace dl = delegation;

namespace {

uint64_t seconds(const Now& now) { return static_cast<uint64_t>(now.wall_ms / 1000); }

const Delegated* row_of(const State& state, const std::string& unit) {
  const auto it = state.delegations.find(unit);
  return it == state.delegations.end() ? nullptr : &it->second;
}

/// As its node told last.
dl::Facts facts_of(const State& state, const std::string& unit) {
  dl::Facts out;
  const auto it = state.units.find(unit);
  if (it == state.units.end() || !it->second.has_load()) return out;
  const wire::UnitLoad& load = it->second.load();
  out["memory_bytes"] = load.memory_bytes();
  out["processes"] = load.processes();
  out["cpu_seconds"] = static_cast<uint64_t>(std::max(0.0, load.cpu_seconds()));
  return out;
}

const dl::Document& document_of(const Delegated& row) { return row.log.authority.document.document; }

/// The nodes whose signatures a next handover rests on.
std::vector<std::string> signers(const Delegated& row) {
  std::vector<std::string> out{row.log.head.holder};
  for (const auto& c : row.log.authority.caveats) out.push_back(c.caveat.node);
  if (const auto last = dl::read_entry(row.last, 2); last)
    out.insert(out.end(), {last->entry.source, last->entry.destination});
  return out;
}

/// Each refusal that it is called with becomes a blocker of `out`.
auto noting(std::vector<engine::Blocker>& out) {
  return [&out](const dl::Checked<void>& checked, const std::string& object) {
    if (!checked) out.push_back(failure_of(checked.error(), object).blockers.front());
  };
}

}  // namespace

std::vector<std::string> caveats_of(const dl::Authority& authority) {
  std::vector<std::string> out;
  for (const auto& c : authority.caveats) out.push_back(c.envelope.encode());
  return out;
}

bool is_foreign(const std::string& node) { return node.find('/') != std::string::npos; }

std::string full_name(const State& state, const std::string& node) {
  return is_foreign(node) ? node : dl::full_name(state.site, node);
}

namespace {

dl::Checked<void> check_place(const State& state, const dl::Grants& grants, const std::string& node) {
  const std::string full = full_name(state, node);
  TRY_DO(grants.check_place(dl::site_of(full), dl::node_of(full)));
  if (is_foreign(node) && !state.sites.contains(std::string(dl::site_of(node))))
    return dl::refuse(dl::Why::kUntrustedSite, std::string(dl::site_of(node)));
  return {};
}

/// Of a unit without a document: it stays at home.
dl::Checked<void> check_home(const std::string& node) {
  if (is_foreign(node)) return dl::refuse(dl::Why::kNoDocument, node);
  return {};
}

}  // namespace

rpc::Failure failure_of(const dl::Refusal& why, const std::string& object) {
  const dl::Row& row = dl::row_of(why.why);
  engine::Blocker blocker{std::string(row.code), object, std::string(row.what), std::string(row.lift)};
  if (!why.detail.empty()) blocker.reason += " (" + why.detail + ")";
  return rpc::Failure{Error{Code::kRefused, 0, "the delegation forbids it"}, {blocker}};
}

dl::Trust trust_of(const State& state, const dl::Document& document, const std::vector<std::string>& nodes) {
  dl::Trust out;
  out.site = state.site;
  out.sites = state.sites;
  out.users.emplace(document.issuer.id(), document.issuer);
  for (const auto& name : nodes) {
    const auto node = state.nodes.find(dl::site_of(name) == state.site ? std::string(dl::node_of(name)) : name);
    if (node == state.nodes.end()) continue;
    if (const auto key = dl::public_key_of(node->second.trace_key())) out.nodes.emplace(name, *key);
  }
  if (state.log_key) out.logs.emplace(state.site, *state.log_key);
  if (state.revoked.contains(document.revocation)) out.revoked.insert(document.revocation);
  return out;
}

Outcome<Delegated> begin(const State& state, const Now& now, const std::string& unit, const std::string& document,
                         const std::string& node) {
  const auto refused = [&](const dl::Refusal& why) { return std::unexpected(failure_of(why, "the document")); };
  auto read = dl::read_document(document);
  if (!read) return refused(read.error());
  for (const auto& [other, row] : state.delegations)
    if (document_of(row).instance == read->document.instance)
      return refused({dl::Why::kReplayed, "unit " + other + " is this instance already; sign another document"});
  const dl::Trust trust = trust_of(state, read->document, {});
  auto authority = dl::chain(*std::move(read), {});
  if (!authority) return refused(authority.error());
  auto log = dl::open_log(*std::move(authority), state.site, full_name(state, node), 1, seconds(now), trust);
  if (!log) return refused(log.error());
  if (const auto there = check_place(state, log->authority.grants(), node); !there) return refused(there.error());
  return Delegated{unit, *std::move(log), {}};
}

std::set<std::string> forbidden_nodes(const State& state, const dl::Grants& grants) {
  std::set<std::string> out;
  for (const auto& [name, node] : state.nodes)
    if (!check_place(state, grants, name)) out.insert(name);
  return out;
}

std::set<std::string> foreign_nodes(const State& state) {
  std::set<std::string> out;
  for (const auto& [name, node] : state.nodes)
    if (is_foreign(name)) out.insert(name);
  return out;
}

rpc::Failure no_document(const std::string& node) { return failure_of({dl::Why::kNoDocument, ""}, "node " + node); }

std::set<std::string> forbidden_nodes(const State& state, const std::string& document) {
  if (document.empty()) return foreign_nodes(state);
  const auto read = dl::read_document(document);
  return read ? forbidden_nodes(state, read->document.grants) : std::set<std::string>{};  // begin() says why
}

std::set<std::string> forbidden_nodes_of(const State& state, const std::string& unit) {
  const Delegated* row = row_of(state, unit);
  return row == nullptr ? foreign_nodes(state) : forbidden_nodes(state, row->log.authority.grants());
}

std::vector<engine::Blocker> restore_blockers(const State& state, const Now& now, const std::string& unit, bool branch,
                                              const std::string& to) {
  std::vector<engine::Blocker> out;
  const Delegated* row = row_of(state, unit);
  const auto note = noting(out);
  if (row == nullptr) {
    note(check_home(to), "unit " + unit);
    return out;
  }
  const dl::Document& document = document_of(*row);
  if (branch) {
    note(dl::refuse(dl::Why::kCloned, "a branch; restore it in place, or run it anew with a document of its own"),
         "unit " + unit);
    return out;
  }
  const dl::Grants& grants = row->log.authority.grants();
  note(trust_of(state, document, {}).check_revoked(document), "unit " + unit);
  note(grants.check_time(seconds(now)), "unit " + unit);
  if (!grants.allows(dl::kRun)) note(dl::refuse(dl::Why::kForbiddenOperation, std::string(dl::kRun)), "unit " + unit);
  note(check_place(state, grants, to), "node " + to);
  return out;
}

std::vector<engine::Blocker> blockers(const State& state, const Now& now, const std::string& unit,
                                      std::string_view operation, const std::string& to) {
  std::vector<engine::Blocker> out;
  const Delegated* row = row_of(state, unit);
  const auto note = noting(out);
  if (row == nullptr) {
    note(check_home(to), "unit " + unit);
    return out;
  }
  const dl::Grants& grants = row->log.authority.grants();
  const dl::Document& document = document_of(*row);
  const std::vector<std::string> ends{row->log.head.holder, full_name(state, to)};
  const dl::Trust trust = trust_of(state, document, ends);
  note(trust.check_revoked(document), "unit " + unit);
  if (!grants.allows(operation)) note(dl::refuse(dl::Why::kForbiddenOperation, std::string(operation)), "unit " + unit);
  note(grants.check_time(seconds(now)), "unit " + unit);
  if (to.empty()) return out;
  note(check_place(state, grants, to), "node " + to);
  if (const auto from = dl::site_of(row->log.head.holder); !trust.trusts_site(from))
    note(dl::refuse(dl::Why::kUntrustedSite, std::string(from)), "unit " + unit);
  if (const uint64_t next = row->log.head.sequence + 1; next > grants.handovers)
    note(dl::refuse(dl::Why::kOverLimit, fmt::format("{}, at most {}", next, grants.handovers)), "unit " + unit);
  for (const auto& node : ends)
    if (!trust.node(node)) note(dl::refuse(dl::Why::kUnknownNode, node), "node " + node);
  return out;
}

Outcome<Delegated> append(const State& state, const Now& now, const wire::Migration& migration,
                          const std::string& text) {
  const std::string& unit = migration.unit();
  const Delegated* row = row_of(state, unit);
  if (row == nullptr) return failure(Code::kNotFound, "the unit has no document");
  const auto refused = [&](const dl::Refusal& why) { return std::unexpected(failure_of(why, "unit " + unit)); };
  const auto statement = dl::read_statement(text);
  if (!statement) return refused(statement.error());
  const auto read = dl::read_entry(statement->entry, 2);
  if (!read) return refused(read.error());
  auto nodes = signers(*row);
  nodes.insert(nodes.end(), {read->entry.source, read->entry.destination});
  const dl::Trust trust = trust_of(state, document_of(*row), nodes);
  auto log = dl::append(row->log, statement->before, *read, trust, seconds(now));
  if (log) log = dl::narrow(*std::move(log), statement->after, trust, seconds(now));
  if (!log) return refused(log.error());
  // Good in itself; but what both nodes signed must be what the store is about to do, or head and unit part for ever.
  const dl::Entry& e = read->entry;
  if (e.epoch != migration.epoch() + 1) return refused({dl::Why::kOtherEpoch, std::to_string(e.epoch)});
  if (e.destination != full_name(state, migration.to())) return refused({dl::Why::kOtherDestination, e.destination});
  return Delegated{unit, *std::move(log), statement->entry};
}

void keep_up(const State& state, Changes& changes) {
  for (const auto& unit : changes.units) {
    const Delegated* row = row_of(state, unit.id());
    if (row == nullptr || unit.epoch() <= row->log.head.epoch) continue;
    if (std::ranges::find(changes.delegations, unit.id(), &Delegated::unit) != changes.delegations.end()) continue;
    Delegated moved = *row;
    moved.log.head.epoch = unit.epoch();
    moved.log.head.holder = full_name(state, unit.node());
    changes.delegations.push_back(std::move(moved));
  }
}

Result<std::string> passage(const State& state, const Now& now, const wire::Migration& migration,
                            const dl::PrivateKey& log) {
  const Delegated* row = row_of(state, migration.unit());
  if (row == nullptr) return std::string();
  dl::Head head = row->log.head;
  head.time = seconds(now);
  TRY(const auto signed_head, dl::to_result(head.sign(log)));
  const dl::Authority& authority = row->log.authority;
  const dl::Offer offer{authority.document.envelope.encode(), caveats_of(authority), signed_head.encode(), row->last};
  const std::string from = full_name(state, migration.from()), to = full_name(state, migration.to());
  auto nodes = signers(*row);
  nodes.insert(nodes.end(), {from, to});
  return dl::encode(
      dl::Passage{offer, trust_of(state, document_of(*row), nodes), from, to, facts_of(state, migration.unit())});
}

Result<dl::PrivateKey> log_key(const std::string& state_dir) {
  return dl::PrivateKey::load_or_make(state_dir + "/log.key");
}

std::string unit_with_revocation(const State& state, const std::string& id) {
  for (const auto& [unit, row] : state.delegations)
    if (document_of(row).revocation == id) return unit;
  return {};
}

std::string to_bytes(const Delegated& row) {
  wire::DelegationRow out;
  const dl::Authority& authority = row.log.authority;
  out.set_document(authority.document.envelope.encode());
  for (const auto& c : caveats_of(authority)) out.add_caveats(c);
  const dl::Head& h = row.log.head;
  out.set_authority(h.authority.hex());
  out.set_sequence(h.sequence);
  out.set_entry(h.entry.hex());
  out.set_epoch(h.epoch);
  out.set_holder(h.holder);
  out.set_time(h.time);
  out.set_last_time(row.log.last_time);
  out.set_last(row.last);
  return out.SerializeAsString();
}

Result<Delegated> delegated_of(const std::string& unit, const std::string& bytes) {
  wire::DelegationRow in;
  if (!in.ParseFromString(bytes)) return fail(Code::kCorrupt, "store: the delegation of unit " + unit);
  Delegated out;
  out.unit = unit;
  TRY(auto document, dl::to_result(dl::read_document(in.document())));
  TRY(out.log.authority, dl::to_result(dl::chain(std::move(document), {in.caveats().begin(), in.caveats().end()})));
  TRY(const auto authority, dl::digest_of_hex(in.authority()));
  TRY(const auto entry, dl::digest_of_hex(in.entry()));
  out.log.head =
      dl::Head{out.log.authority.document.digest, authority, in.sequence(), entry, in.epoch(), in.holder(), in.time(),
               std::string(pki::kDefaultSite)};  // set_site() says it
  out.log.last_time = in.last_time();
  out.last = in.last();
  return out;
}

}  // namespace godwit::controller
