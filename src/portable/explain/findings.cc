#include "portable/explain/findings.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

namespace godwit::portable {
namespace {

constexpr size_t kFields = 9;

std::string with_object(std::string_view text, std::string_view object) {
  std::string result(text);
  if (const size_t at = result.find("{}"); at != std::string::npos) result.replace(at, 2, object);
  return result;
}

/// A file's name may have anything in it.
std::string one_field(std::string text) {
  std::ranges::replace_if(text, [](char c) { return c == '\t' || c == '\n'; }, ' ');
  return text;
}

template <class Number>
bool read(std::string_view text, Number& number) {
  return std::from_chars(text.data(), text.data() + text.size(), number).ec == std::errc();
}

}  // namespace

const char* name_of(Severity severity) {
  switch (severity) {
    case Severity::kRemark: return "remark";
    case Severity::kWarning: return "warning";
    case Severity::kError: break;
  }
  return "error";
}

Finding make_finding(const Check& check, std::string file, unsigned line, unsigned column, std::string object) {
  Finding finding{.file = std::move(file),
                  .line = line,
                  .column = column,
                  .severity = check.severity,
                  .code = std::string(check.code),
                  .what = with_object(check.what, object),
                  .why = with_object(check.why, object),
                  .lift = std::string(check.lift)};
  finding.object = std::move(object);
  return finding;
}

std::string as_lines(const std::vector<Finding>& findings) {
  std::string text;
  for (const auto& f : findings)
    text += fmt::format("{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}\n", one_field(f.file), f.line, f.column,
                        static_cast<int>(f.severity), f.code, one_field(f.object), one_field(f.what), one_field(f.why),
                        f.lift);
  return text;
}

Result<std::vector<Finding>> from_lines(std::string_view text) {
  std::vector<Finding> findings;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    std::vector<std::string> fields(1);
    for (const char c : text.substr(0, end)) {
      if (c == '\t')
        fields.emplace_back();
      else
        fields.back() += c;
    }
    text.remove_prefix(std::min(end + 1, text.size()));
    Finding f;
    int severity = 0;
    if (fields.size() != kFields || !read(fields[1], f.line) || !read(fields[2], f.column) ||
        !read(fields[3], severity) || severity < 0 || severity > static_cast<int>(Severity::kError))
      return fail(Code::kCorrupt, "godwit-link wrote findings that can't be read");
    f.severity = static_cast<Severity>(severity);
    f.file = fields[0], f.code = fields[4], f.object = fields[5], f.what = fields[6], f.why = fields[7],
    f.lift = fields[8];
    findings.push_back(std::move(f));
  }
  return findings;
}

}  // namespace godwit::portable
