#include "node/papers.h"

#include <fmt/format.h>

#include <ctime>
#include <vector>

#include "base/program_file.h"
#include "confine/confine.h"

namespace godwit::node {
namespace {

namespace dl = delegation;

constexpr size_t kMaxForeignPassage = 2 * dl::kMaxOffer;  // in JSON, where each quote of it is two bytes

/// The file that the unit's own environment would make of its first word.
std::string program_of(const wire::UnitSpec& spec) {
  std::string path = "/usr/local/bin:/usr/bin:/bin";
  for (const auto& e : spec.env())
    if (e.starts_with("PATH=")) path = e.substr(5);
  return program_file(spec.argv(0), spec.cwd().empty() ? "/" : spec.cwd(), path);
}

std::unexpected<rpc::Failure> refused(const dl::Refusal& why) {
  const dl::Row& row = dl::row_of(why.why);
  rpc::Failure out{Error{Code::kRefused, 0, "the delegation forbids it"}, {}};
  out.blockers.push_back({std::string(row.code), why.detail, std::string(row.what), std::string(row.lift)});
  return std::unexpected(std::move(out));
}

}  // namespace

Result<dl::PrivateKey> trace_key(const std::string& state_dir) {
  return dl::PrivateKey::load_or_make(state_dir + "/trace.key");
}

std::expected<void, rpc::Failure> check_passage(const std::string& passage, const pki::Sites& sites, const Place& place,
                                                const std::string& source) {
  if (pki::split_name(source).site.empty()) return {};
  if (passage.empty()) return refused({dl::Why::kNoDocument, source});
  if (passage.size() > kMaxForeignPassage)
    return refused({dl::Why::kTooLarge, std::to_string(passage.size()) + " bytes"});
  auto papers = dl::decode_passage(passage);
  if (!papers) return std::unexpected(rpc::Failure{papers.error(), {}});
  papers->trust.restrict_to(sites.own(), sites.trusted());
  if (papers->source != source) return refused({dl::Why::kNotTheHolder, papers->source});
  if (papers->destination != place.full()) return refused({dl::Why::kOtherDestination, papers->destination});
  const auto admitted = dl::admit(*papers, papers->facts, static_cast<uint64_t>(std::time(nullptr)));
  if (!admitted) return refused(admitted.error());
  return {};
}

namespace {

/// Everything without a document.
std::expected<std::optional<dl::Grants>, rpc::Failure> allowed_here(const Papers& papers, const std::string& state_dir,
                                                                    const Place& place) {
  if (papers.document.empty() && place.lent()) return refused({dl::Why::kNoDocument, place.full()});
  if (papers.document.empty()) return std::nullopt;
  const auto wish = dl::load_wish(state_dir);
  if (!wish) return std::unexpected(rpc::Failure{wish.error().in("caveat.json"), {}});
  auto grants = dl::allowance(papers.document, papers.caveats, *wish);
  if (!grants) return refused(grants.error());
  const std::string here = place.full();
  if (const auto may = grants->check_place(dl::site_of(here), dl::node_of(here)); !may) return refused(may.error());
  if (const auto valid = grants->check_time(static_cast<uint64_t>(std::time(nullptr))); !valid)
    return refused(valid.error());
  return *std::move(grants);
}

}  // namespace

std::expected<void, rpc::Failure> check_place(const Papers& papers, const std::string& state_dir, const Place& place) {
  TRY(const auto grants, allowed_here(papers, state_dir, place));
  if (grants && !grants->allows(dl::kRun)) return refused({dl::Why::kForbiddenOperation, std::string(dl::kRun)});
  return {};
}

std::vector<engine::Blocker> paper_blockers(const Papers& papers, const std::string& state_dir, const Place& place) {
  const auto grants = allowed_here(papers, state_dir, place);
  if (grants) return *grants ? confine::missing(confine::rules_of(**grants)) : std::vector<engine::Blocker>();
  if (!grants.error().blockers.empty()) return grants.error().blockers;
  return {{"delegation", "node " + place.full(), grants.error().error.message(), "correct it on that node"}};
}

std::expected<void, rpc::Failure> check_papers(const wire::UnitSpec& spec, const std::string& state_dir,
                                               const std::string& root, const Place& place) {
  const Papers papers{spec.delegation()};
  TRY_DO(check_place(papers, state_dir, place));
  if (spec.delegation().empty()) return {};
  const auto document = dl::read_document(spec.delegation());
  if (!document) return refused(document.error());
  if (auto unmet = paper_blockers(papers, state_dir, place); !unmet.empty())
    return std::unexpected(
        rpc::Failure{Error{Code::kRefused, 0, "this node can't enforce the unit's delegation"}, std::move(unmet)});
  const std::vector<std::string> argv(spec.argv().begin(), spec.argv().end());
  if (dl::digest_of_arguments(argv) != document->document.arguments)
    return refused({dl::Why::kWrongArguments, fmt::format("{} words", argv.size())});
  if (!root.empty()) return {};
  const std::string program = program_of(spec);
  const auto digest = dl::digest_of_file(program);
  if (!digest) return std::unexpected(rpc::Failure{digest.error().in("the program"), {}});
  if (*digest != document->document.program) return refused({dl::Why::kWrongProgram, program});
  return {};
}

}  // namespace godwit::node
