#include "node/papers.h"

#include <fmt/format.h>
#include <vector>

#include "base/program_file.h"
#include "confine/confine.h"

namespace godwit::node {
namespace {

namespace dl = delegation;

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

std::expected<void, rpc::Failure> check_papers(const wire::UnitSpec& spec, const std::string& root) {
  if (spec.delegation().empty()) return {};
  const auto document = dl::read_document(spec.delegation());
  if (!document) return refused(document.error());
  if (auto unmet = confine::missing(confine::rules_of(document->document.grants)); !unmet.empty())
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
