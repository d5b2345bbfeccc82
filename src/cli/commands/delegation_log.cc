// What the controller keeps of delegations: the trace list of a unit, verified here and not only there; revocation.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "cli/command.h"
#include "cli/context.h"
#include "cli/present.h"
#include "cli/user_key.h"

namespace godwit::cli {
namespace {

namespace dl = delegation;

struct Trace {
  dl::Authority authority;
  std::vector<dl::SignedEntry> entries;
  dl::SignedHead head;
  dl::Trust trust;
};

dl::Checked<Trace> read(const wire::TraceReply& reply) {
  Trace out;
  TRY(auto document, dl::read_document(reply.document()));
  TRY(out.authority, dl::chain(std::move(document), {reply.caveats().begin(), reply.caveats().end()}));
  for (const auto& text : reply.entries()) {
    TRY(auto entry, dl::read_entry(text, 2));
    out.entries.push_back(std::move(entry));
  }
  TRY(out.head, dl::read_head(reply.head()));
  out.trust.site = reply.site();
  // Sites whose nodes the log has: that it trusted them is its word; that they signed is checked.
  for (const auto& [name, text] : reply.nodes()) {
    if (const auto key = dl::public_key_of(text)) out.trust.nodes.emplace(name, *key);
    out.trust.sites.emplace(dl::site_of(name));
  }
  const auto log = dl::public_key_of(reply.log_key());
  if (!log) return dl::refuse(dl::Why::kUnknownLog, reply.site());
  TRY_DO(out.head.envelope.check(0, *log));
  return out;
}

dl::Checked<Trace> verified(const wire::TraceReply& reply) {
  TRY(Trace trace, read(reply));
  TRY_DO(dl::audit(trace.authority, trace.entries, trace.head.head, trace.trust));
  return trace;
}

std::string trace_json(const wire::TraceReply& reply, const dl::Checked<Trace>& trace) {
  nlohmann::ordered_json out = {{"unit", reply.unit()}, {"verdict", trace ? "ok" : std::string(trace.error().code())}};
  out["document"] = reply.document();
  out["caveats"] = std::vector<std::string>(reply.caveats().begin(), reply.caveats().end());
  out["entries"] = nlohmann::ordered_json::array();
  for (const auto& text : reply.entries())
    if (const auto e = dl::read_entry(text, 2))
      out["entries"].push_back({{"sequence", e->entry.sequence},
                                {"epoch", e->entry.epoch},
                                {"source", e->entry.source},
                                {"destination", e->entry.destination},
                                {"time", e->entry.time},
                                {"state", e->entry.state.hex()},
                                {"entry", text}});
  out["head"] = reply.head();
  return out.dump(2) + "\n";
}

std::string trace_text(const Trace& trace) {
  std::vector<std::vector<std::string>> rows = {{"NO", "EPOCH", "FROM", "TO", "TIME", "STATE"}};
  for (const auto& e : trace.entries)
    rows.push_back({std::to_string(e.entry.sequence), std::to_string(e.entry.epoch), e.entry.source,
                    e.entry.destination, age_text(static_cast<int64_t>(e.entry.time) * 1000), e.entry.state.hex()});
  const dl::Head& h = trace.head.head;
  return table(rows) + fmt::format("good: {} handovers of at most {}, all signed by both ends; now at {}\n", h.sequence,
                                   trace.authority.grants().handovers, h.holder);
}

int refuse(Context& context, const dl::Refusal& why, const std::string& object) {
  const dl::Row& row = dl::row_of(why.why);
  rpc::Failure failure{Error{Code::kRefused, 0, "the trace of " + object + " isn't good: " + std::string(row.what)},
                       {}};
  failure.blockers.push_back({std::string(row.code), why.detail, std::string(row.what), std::string(row.lift)});
  return context.report(failure);
}

/// The unit's trace, or the exit status.
std::expected<wire::TraceReply, int> ask(Context& context, wire::Controller::Stub& controller,
                                         const std::string& unit) {
  wire::UnitRequest request;
  request.set_unit(unit);
  wire::TraceReply reply;
  grpc::ClientContext call;
  if (const auto status = controller.Trace(&call, request, &reply); !status.ok())
    return std::unexpected(context.report(status));
  return reply;
}

int run_trace(Context& context, const Parsed& parsed) {
  OR_REPORT(auto* controller, context.controller());
  const auto reply = ask(context, *controller, parsed.argument(0));
  if (!reply) return reply.error();
  const auto trace = verified(*reply);
  if (context.json) {
    context.print(trace_json(*reply, trace));
    return trace ? kDone : kRefusedStatus;
  }
  if (!trace) return refuse(context, trace.error(), parsed.argument(0));
  context.print(trace_text(*trace));
  return kDone;
}

int run_revoke(Context& context, const Parsed& parsed) {
  OR_REPORT(const auto key, user_key(parsed.get("--key")));
  OR_REPORT(auto* controller, context.controller());
  const auto reply = ask(context, *controller, parsed.argument(0));
  if (!reply) return reply.error();
  const auto document = dl::read_document(reply->document());
  if (!document) return refuse(context, document.error(), parsed.argument(0));
  const dl::Revocation revocation{document->digest, document->document.revocation, seconds_now()};
  OR_REPORT(const auto envelope, dl::to_result(revocation.sign(key)));
  wire::RevokeRequest request;
  request.set_unit(reply->unit());
  request.set_revocation(envelope.encode());
  wire::Empty empty;
  grpc::ClientContext call;
  if (const auto status = controller->Revoke(&call, request, &empty); !status.ok()) return context.report(status);
  if (context.json)
    context.print(object_json({{"revocation", document->document.revocation}, {"unit", reply->unit()}}));
  else
    context.print("unit " + reply->unit() + " stays where it is: its document is revoked\n");
  return kDone;
}

}  // namespace

const Command kDocTrace = {.name = "delegation trace",
                           .group = "delegation",
                           .summary = "who handed a unit to whom, and whether all of it is signed and in order",
                           .arguments = {{"UNIT", "its name or id", Words::kUnit}},
                           .details =
                               "Prints the unit's trace list from the controller's log, after every signature "
                               "in it, its order and its length were "
                               "verified by this program. Status 3, with what is wrong, when it isn't good.",
                           .examples = "  godwit delegation trace sim",
                           .json = true,
                           .run = run_trace};

const Command kDocRevoke = {
    .name = "delegation revoke",
    .group = "delegation",
    .summary = "take back what you signed: the unit may not be moved or kept any more",
    .arguments = {{"ID", "the revocation id of the document, or a unit", Words::kUnit}},
    .options = {{"--key", "", "FILE", "your key; GODWIT_KEY, or ~/.config/godwit/user.key when left out",
                 Words::kFile}},
    .details =
        "Signs a revocation with your key and gives it to the controller. From then on the unit is neither moved nor "
        "checkpointed; it isn't ended (godwit kill). Only the user who signed the document can revoke it.",
    .examples = "  godwit delegation revoke sim",
    .json = true,
    .run = run_revoke};

}  // namespace godwit::cli
