// Documents: made and signed, shown, verified. None of these needs a grid.
#include <fmt/format.h>

#include <ctime>

#include "base/base.h"
#include "cli/command.h"
#include "cli/common.h"
#include "cli/context.h"
#include "cli/present.h"
#include "cli/user_key.h"

namespace godwit::cli {
namespace {

namespace dl = delegation;

std::string words(const std::vector<std::string>& set) {
  return set.empty() ? "nothing" : fmt::format("{}", fmt::join(set, ", "));
}
std::string names(const dl::Names& n) {
  return words(n.trusted) + (n.untrusted.empty() ? "" : "; never " + words(n.untrusted));
}
std::string limit(uint64_t n) { return n == 0 ? "no limit" : std::to_string(n); }
std::string time_text(uint64_t seconds) {
  const auto t = static_cast<time_t>(seconds);
  tm parts{};
  char text[32] = {};
  if (::gmtime_r(&t, &parts) == nullptr || std::strftime(text, sizeof text, "%Y-%m-%d %H:%M:%SZ", &parts) == 0)
    return std::to_string(seconds);
  return text;
}

std::string document_text(const dl::SignedDocument& d) {
  const dl::Grants& g = d.document.grants;
  const std::pair<std::string_view, std::string> rows[] = {
      {"instance", d.document.instance},
      {"signed by", d.document.issuer.id()},
      {"program", d.document.program.hex()},
      {"arguments", d.document.arguments.hex()},
      {"operations", words(g.operations)},
      {"reads", words(g.read)},
      {"writes", words(g.write)},
      {"connects to", words(g.connect)},
      {"listens on", words(g.listen)},
      {"nodes", names(g.nodes)},
      {"sites", names(g.sites)},
      {"CPU percent", limit(g.limits.cpu_percent)},
      {"memory bytes", limit(g.limits.memory_bytes)},
      {"processes", limit(g.limits.processes)},
      {"conditions", g.conditions.empty() ? "none" : words(g.conditions)},
      {"handovers", fmt::format("at most {}", g.handovers)},
      {"valid", time_text(g.not_before) + " to " + time_text(g.not_after)},
      {"revocation", d.document.revocation},
      {"document", d.digest.hex()}};
  std::string out;
  for (const auto& [name, value] : rows) out += fmt::format("{:<13} {}\n", name, value);
  return out;
}

/// A refusal as every command tells one: its code as the blocker's.
int refuse(Context& context, const dl::Refusal& why, const std::string& object) {
  const dl::Row& row = dl::row_of(why.why);
  rpc::Failure failure{Error{Code::kRefused, 0, object + " isn't good: " + std::string(row.what)}, {}};
  failure.blockers.push_back(
      {std::string(row.code), why.detail.empty() ? object : why.detail, std::string(row.what), std::string(row.lift)});
  return context.report(failure);
}

Result<std::string> read(const std::string& path) {
  auto text = read_named_file(path, dl::kMaxEnvelope + 1);
  // An editor's line feed at the end is no part of the document.
  if (text && text->ends_with('\n')) text->pop_back();
  return text;
}

int run_new(Context& context, const Parsed& parsed) {
  OR_REPORT(const auto key, user_key(parsed.get("--key")));
  OR_REPORT(const std::string here, real_path("."));
  OR_REPORT(const auto envelope, new_delegation(key, parsed.arguments, here, parsed.get("--policy")));
  const std::string out = parsed.get("--out");
  if (out.empty()) {  // the signed document is JSON itself
    context.print(envelope.encode() + "\n");
    return kDone;
  }
  if (auto written = io::replace_file(out, envelope.encode() + "\n"); !written) return context.report(written.error());
  const auto document = dl::read_document(envelope.encode());
  if (!document) return refuse(context, document.error(), out);
  context.print(context.json ? dl::describe(*document) : document_text(*document));
  return kDone;
}

int run_show(Context& context, const Parsed& parsed) {
  OR_REPORT(const std::string text, read(parsed.argument(0)));
  const auto document = dl::read_document(text);
  if (!document) return refuse(context, document.error(), parsed.argument(0));
  context.print(context.json ? dl::describe(*document) : document_text(*document));
  return kDone;
}

dl::Checked<void> check(const dl::SignedDocument& document, const std::vector<dl::PublicKey>& users) {
  const dl::PublicKey& issuer = document.document.issuer;
  if (std::ranges::find(users, issuer) == users.end()) return dl::refuse(dl::Why::kUntrustedUser, issuer.id());
  return document.document.grants.check_time(seconds_now());
}

int run_verify(Context& context, const Parsed& parsed) {
  const std::string path = parsed.argument(0);
  OR_REPORT(const std::string text, read(path));
  const auto document = dl::read_document(text);
  if (!document) return refuse(context, document.error(), path);
  std::vector<dl::PublicKey> users;
  for (const auto& file : parsed.all("--user")) {
    OR_REPORT(const auto key, public_key_at(file));
    users.push_back(key);
  }
  if (users.empty()) {
    OR_REPORT(const auto own, user_key(""));
    users.push_back(own.public_key());
  }
  if (const auto good = check(*document, users); !good) return refuse(context, good.error(), path);
  context.print(context.json ? dl::describe(*document)
                             : fmt::format("good: signed by {}, valid until {}\n", document->document.issuer.id(),
                                           time_text(document->document.grants.not_after)));
  return kDone;
}

}  // namespace

const Command kDocNew = {
    .name = "delegation new",
    .group = "delegation",
    .summary = "sign what one instance of a program may do, and where it may go",
    .arguments = {{"CMD", "the program and its arguments, as they will be run", Words::kCommand, false, true}},
    .options = {{"--policy", "-p", "FILE", "what to allow, as JSON; everything for a year when left out", Words::kFile},
                {"--key", "", "FILE", "your key; GODWIT_KEY, or ~/.config/godwit/user.key when left out", Words::kFile},
                {"--out", "-o", "FILE", "where to; standard output when left out", Words::kFile}},
    .details =
        "Makes a document that allows one instance of exactly this program (by its SHA-256) with exactly these "
        "arguments, and "
        "signs it with your key. It can be narrowed on its way, and never widened.\n\n"
        "A policy has any of these fields: operations (run, checkpoint, migrate), read and write (paths), connect and "
        "listen "
        "(\"10.0.0.0/8 443-443\"), nodes and sites ({\"trusted\": […], \"untrusted\": […]}), limits (cpu_percent, "
        "memory_bytes, "
        "processes), conditions (\"memory_bytes <= 1073741824\"), handovers, days.",
    .examples =
        "  godwit delegation new --policy policy.json --out sim.delegation -- ./simulate --steps 1000000\n"
        "  godwit delegation show sim.delegation",
    .json = true,
    .run = run_new};

const Command kDocShow = {.name = "delegation show",
                          .group = "delegation",
                          .summary = "what a document allows",
                          .arguments = {{"FILE", "a document", Words::kFile}},
                          .details =
                              "Prints what the document allows, after its form and its signature were checked. "
                              "Whether its user is to be trusted, and "
                              "whether it is valid now, says godwit delegation verify.",
                          .examples = "  godwit delegation show sim.delegation",
                          .json = true,
                          .run = run_show};

const Command kDocVerify = {
    .name = "delegation verify",
    .group = "delegation",
    .summary = "whether a document is good: form, signature, user, validity",
    .arguments = {{"FILE", "a document", Words::kFile}},
    .options = {{"--user", "", "FILE", "the key of a user to trust; your own when left out", Words::kFile, true}},
    .details =
        "Ends with status 0 when the document is good, else with 3 and the code of what is wrong with it "
        "(docs/formats/delegation.md has them all).",
    .examples =
        "  godwit delegation verify sim.delegation\n"
        "  godwit delegation verify --user ada.key.pub sim.delegation",
    .json = true,
    .run = run_verify};

}  // namespace godwit::cli
