#include "node/papers.h"

#include <fmt/format.h>
#include <unistd.h>

#include <vector>

namespace godwit::node {
namespace {

namespace dl = delegation;

/// The file that the unit's own environment would make of its first word.
std::string program_of(const wire::UnitSpec& spec) {
  const std::string& word = spec.argv(0);
  const std::string cwd = spec.cwd().empty() ? "/" : spec.cwd();
  if (word.find('/') != std::string::npos) return word.front() == '/' ? word : cwd + "/" + word;
  std::string path = "/usr/local/bin:/usr/bin:/bin";
  for (const auto& e : spec.env())
    if (e.starts_with("PATH=")) path = e.substr(5);
  for (size_t from = 0; from <= path.size();) {
    const size_t end = std::min(path.find(':', from), path.size());
    std::string file = path.substr(from, end - from);
    file = (file.empty() ? cwd : file.front() == '/' ? file : cwd + "/" + file) + "/" + word;
    if (::access(file.c_str(), X_OK) == 0) return file;
    from = end + 1;
  }
  return {};
}

std::unexpected<rpc::Failure> refused(const dl::Refusal& why) {
  const dl::Row& row = dl::row_of(why.why);
  rpc::Failure out{Error{Code::kRefused, 0, "the delegation forbids it"}, {}};
  out.blockers.push_back({std::string(row.code), why.detail, std::string(row.what), std::string(row.lift)});
  return std::unexpected(std::move(out));
}

}  // namespace

Result<dl::PrivateKey> trace_key(const std::string& state_dir) {
  const std::string path = state_dir + "/trace.key";
  auto key = dl::PrivateKey::load(path);
  if (key || key.error().errnum != ENOENT) return key;
  TRY(auto made, dl::PrivateKey::generate());
  TRY_DO(made.save(path));
  return made;
}

std::expected<void, rpc::Failure> check_papers(const wire::UnitSpec& spec, const std::string& root) {
  if (spec.delegation().empty()) return {};
  const auto document = dl::read_document(spec.delegation());
  if (!document) return refused(document.error());
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
