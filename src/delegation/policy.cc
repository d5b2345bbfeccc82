#include "delegation/policy.h"

#include <algorithm>

#include "base/pki.h"
#include "delegation/grants_json.h"

namespace godwit::delegation {
namespace {

constexpr uint64_t kDay = 86400;
constexpr uint64_t kSkewOfUsers = 300;  // the clock of the node may be behind
constexpr uint64_t kDefaultDays = 365;
constexpr size_t kMaxPolicy = 256u << 10;

void sort_sets(Json& value) {
  if (value.is_array()) {
    std::sort(value.begin(), value.end());
    value.erase(std::unique(value.begin(), value.end()), value.end());
  }
  if (value.is_object())
    for (auto& [key, inner] : value.items()) sort_sets(inner);
}

}  // namespace

Grants default_grants(uint64_t now) {
  Grants out;
  out.not_before = now - std::min(now, kSkewOfUsers);
  out.not_after = now + kDefaultDays * kDay;
  return out;
}

namespace {

Checked<Grants> read_policy(std::string_view policy, Grants defaults, uint64_t now) {
  if (policy.size() > kMaxPolicy) return refuse(Why::kTooLarge, std::to_string(policy.size()) + " bytes");
  int depth = 0;
  const auto shallow = [&](int level, Json::parse_event_t, Json&) {
    depth = std::max(depth, level);
    return true;
  };
  Json wish = Json::parse(policy, shallow, false, true);
  if (wish.is_discarded() || !wish.is_object()) return refuse(Why::kNotJson, "the policy");
  if (depth > kMaxDepth) return refuse(Why::kTooDeep, "the policy");
  if (const auto days = wish.find("days"); days != wish.end()) {
    if (!days->is_number_unsigned() || *days == 0 || *days > 36500) return refuse(Why::kBadNumber, "days");
    defaults.not_after = now + days->get<uint64_t>() * kDay;
    wish.erase("days");
  }
  Json all = to_json(defaults);
  for (const auto& [key, value] : wish.items())
    if (!all.contains(key)) return refuse(Why::kUnknownField, "\"" + key + "\"");
  all.merge_patch(wish);
  sort_sets(all);
  return grants_of(all);
}

}  // namespace

Checked<Grants> grants_of_policy(std::string_view policy, uint64_t now) {
  return read_policy(policy, default_grants(now), now);
}

Checked<Grants> grants_of_caveat(std::string_view policy, uint64_t now) {
  Grants all;
  all.handovers = all.not_after = kMaxNumber;
  return read_policy(policy, std::move(all), now);
}

Document new_document(const PublicKey& issuer, const Digest& program, const Digest& arguments, Grants grants) {
  return {issuer, pki::random_hex(), program, arguments, std::move(grants), pki::random_hex()};
}

std::string describe(const SignedDocument& document) {
  const Document& d = document.document;
  nlohmann::ordered_json out = {{"document", document.digest.hex()}, {"issuer", d.issuer.base64()},
                                {"issuer_id", d.issuer.id()},        {"instance", d.instance},
                                {"program", d.program.hex()},        {"arguments", d.arguments.hex()},
                                {"revocation", d.revocation}};
  out["grants"] = to_json(d.grants);
  return out.dump(2) + "\n";
}

}  // namespace godwit::delegation
