#include "image/json.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "image/sections.h"

namespace godwit::image {
namespace {

using Json = nlohmann::ordered_json;

/// The library's printer calls itself for each level, so a deep text from a hostile image would end the stack.
constexpr int kMaxDepth = 64;

bool is_shallow(std::string_view text) {
  int depth = 0;
  for (const char c : text) {
    if (c == '[' || c == '{') depth++;
    if (c == ']' || c == '}') depth--;
    if (depth > kMaxDepth) return false;
  }
  return true;
}

Json parse_or_quote(const std::string& text) {
  if (is_shallow(text)) {
    Json parsed = Json::parse(text, nullptr, false);
    if (!parsed.is_discarded()) return parsed;
  }
  return text;
}

std::string hex(std::span<const unsigned char> bytes) { return fmt::format("{:02x}", fmt::join(bytes, "")); }

std::string utc(int64_t unix_ns) {
  const auto seconds = static_cast<time_t>(unix_ns / 1'000'000'000);
  tm parts{};
  if (::gmtime_r(&seconds, &parts) == nullptr) return {};
  return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", parts);
}

Json message(const Manifest& m, std::string_view part, const std::string& bytes, const JsonOptions& options) {
  Json out{{"bytes", bytes.size()}};
  const auto engine = std::ranges::find(options.engines, m.engine, &std::pair<std::string, Describe>::first);
  if (engine != options.engines.end() && !bytes.empty()) out["content"] = parse_or_quote(engine->second(part, bytes));
  return out;
}

Json sections(const Manifest& m) {
  Json out = Json::array();
  for (const Section& s : m.sections) {
    Json row{{"name", s.name}, {"bytes", s.content.size()}, {"chunks", s.chunks.size()}, {"required", s.required}};
    if (const SectionKind* kind = find_section_kind(s.name)) {
      row["owner"] = kind->owner;
      row["what"] = kind->what;
      if (kind->json) row["content"] = parse_or_quote(s.content);
    }
    out.push_back(std::move(row));
  }
  return out;
}

Json memory(const Memory& memory, bool with_runs) {
  struct Sum {
    uint64_t bytes = 0, zero_bytes = 0, runs = 0;
  };
  std::map<engine::SpaceId, Sum> spaces;
  uint64_t bytes = 0, zero_bytes = 0, replaced_bytes = 0, stored_bytes = 0;
  Json runs = Json::array();
  const auto note = [&](const engine::PageRun& run, bool zero) {
    Sum& sum = spaces[run.space];
    (zero ? sum.zero_bytes : sum.bytes) += run.length;
    (zero ? zero_bytes : bytes) += run.length;
    sum.runs++;
    if (with_runs)
      runs.push_back({{"space", run.space},
                      {"address", fmt::format("{:#x}", run.address)},
                      {"bytes", run.length},
                      {"zero", zero}});
  };
  for (const engine::PageRun& run : memory.runs) {
    if (run.space == kReplaced)
      replaced_bytes += run.length;
    else
      note(run, false);
  }
  for (const engine::PageRun& run : memory.zeros) note(run, true);
  for (const Record& record : memory.records) stored_bytes += record.where.bytes_stored();
  Json out{{"stored_in", memory.place == Place::kPack ? "packs" : "chunks"},
           {"digest", memory.digest == DigestKind::kXxh3 ? "xxh3-128" : "sha-256"},
           {"bytes", bytes},
           {"zero_bytes", zero_bytes},
           {"replaced_bytes", replaced_bytes}};
  if (memory.place == Place::kPack) out["stored_bytes"] = stored_bytes;
  out["records"] = memory.records.size();
  Json rows = Json::array();
  for (const auto& [space, sum] : spaces)
    rows.push_back({{"space", space}, {"bytes", sum.bytes}, {"zero_bytes", sum.zero_bytes}, {"runs", sum.runs}});
  out["spaces"] = std::move(rows);
  if (with_runs) out["runs"] = std::move(runs);
  return out;
}

}  // namespace

std::string to_json(const Manifest& m, const JsonOptions& options) {
  Json out{{"format_version", kFormatVersion}, {"image_id", hex(m.image_id)}, {"unit", m.unit}, {"name", m.name}};
  out["checkpoint"] = m.checkpoint;
  out["parent"] = m.parent;
  out["grain"] = m.grain;
  out["engine"] = m.engine;
  out["architecture"] = m.architecture;
  out["abi"] = m.abi;
  out["created"] = utc(m.created_unix_ns);
  out["created_unix_ns"] = m.created_unix_ns;
  out["writer"] = m.writer;
  if (!m.spec.empty()) out["spec"] = parse_or_quote(m.spec);
  out["state"] = message(m, "state", m.state, options);
  out["demands"] = message(m, "demands", m.demands, options);
  out["outline"] = message(m, "outline", m.outline, options);
  out["sections"] = sections(m);
  out["memory"] = memory(m.memory, options.runs);
  out["pack_bytes"] = m.pack_bytes;
  uint64_t carried = 0;
  for (const EmbeddedChunk& c : m.embedded) carried += c.where.length;
  out["carried"] = {{"chunks", m.embedded.size()}, {"bytes", carried}};
  return out.dump(options.indent, ' ', false, Json::error_handler_t::replace);
}

}  // namespace godwit::image
