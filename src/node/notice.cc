#include "node/notice.h"  // first, so that the header proves self-contained

#include <sys/stat.h>

#include <algorithm>
#include <charconv>

#include "base/io.h"
#include "base/sys.h"
#include "rpc/rpc.h"

namespace godwit::node {
namespace {

constexpr double kPatience = 1;  // seconds that a file may be without a time
constexpr size_t kSmall = 256;

}  // namespace

std::optional<double> parse_notice(std::string_view text) {
  const auto blank = [](char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; };
  while (!text.empty() && blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && blank(text.back())) text.remove_suffix(1);
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc()) return std::nullopt;
  const std::string_view unit = text.substr(static_cast<size_t>(end - text.data()));
  if (unit == "m")
    value *= 60;
  else if (unit == "h")
    value *= 3600;
  else if (!unit.empty() && unit != "s")
    return std::nullopt;
  if (!(value >= 0) || value > rpc::kLongestNotice) return std::nullopt;
  return value;
}

std::optional<wire::Notice> look_for_notice(const std::string& path, double now_s) {
  if (path.empty()) return std::nullopt;
  const auto file = sys::stat(path);
  if (!file || !S_ISREG(file->st_mode)) return std::nullopt;
  const double age =
      now_s - static_cast<double>(file->st_mtim.tv_sec) - 1e-9 * static_cast<double>(file->st_mtim.tv_nsec);
  const auto said = parse_notice(io::read_file(path, kSmall).value_or(""));
  if (!said && age < kPatience) return std::nullopt;
  wire::Notice notice;
  notice.set_id(static_cast<int64_t>(file->st_mtim.tv_sec) * 1'000'000'000 + file->st_mtim.tv_nsec);
  notice.set_seconds(std::max(0.0, said.value_or(kUnsaidSeconds) - std::max(0.0, age)));
  return notice;
}

}  // namespace godwit::node
