#include "delegation/grants.h"

#include <algorithm>
#include <charconv>

#include "base/pki.h"
#include "delegation/grants_json.h"

namespace godwit::delegation {
namespace {

constexpr size_t kMaxMembers = 64;
constexpr size_t kMaxPath = 1024;

bool has(const std::vector<std::string>& set, std::string_view name) { return std::ranges::binary_search(set, name); }
bool all_of(const std::vector<std::string>& names) { return names.size() == 1 && names.front() == "*"; }

/// Members of `inner` that `outer` hasn't.
Checked<void> check_subset(std::string_view what, const std::vector<std::string>& outer,
                           const std::vector<std::string>& inner) {
  for (const auto& member : inner)
    if (!has(outer, member)) return refuse(Why::kWidened, std::string(what) + " " + member);
  return {};
}

Checked<void> check_names(const std::string& what, const Names& outer, const Names& inner) {
  if (!all_of(outer.trusted)) TRY_DO(check_subset(what + ".trusted", outer.trusted, inner.trusted));
  // One that was shut out stays out.
  for (const auto& name : outer.untrusted)
    if (!has(inner.untrusted, name)) return refuse(Why::kWidened, what + ".untrusted without " + name);
  return {};
}

Checked<void> check_paths(std::string_view what, const std::vector<std::string>& outer,
                          const std::vector<std::string>& inner) {
  for (const auto& path : inner)
    if (std::ranges::none_of(outer, [&](const auto& o) { return is_beneath(path, o); }))
      return refuse(Why::kWidened, std::string(what) + " " + path);
  return {};
}

Checked<void> check_networks(std::string_view what, const std::vector<std::string>& outer,
                             const std::vector<std::string>& inner) {
  for (const auto& text : inner) {
    TRY(const Network network, Network::parse(text));
    bool inside = false;
    for (const auto& o : outer) {
      TRY(const Network wide, Network::parse(o));
      inside = inside || wide.contains(network);
    }
    if (!inside) return refuse(Why::kWidened, std::string(what) + " " + text);
  }
  return {};
}

Checked<void> check_limit(std::string_view what, uint64_t outer, uint64_t inner) {
  if (outer == 0 || (inner != 0 && inner <= outer)) return {};
  return refuse(Why::kWidened, std::string(what) + " " + std::to_string(inner) + " of " + std::to_string(outer));
}

bool valid_path(std::string_view path) {
  if (path == "/") return true;
  if (!path.starts_with('/') || path.size() > kMaxPath) return false;
  for (const char c : path)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) return false;
  for (size_t at = 1; at <= path.size();) {
    const size_t end = std::min(path.find('/', at), path.size());
    const std::string_view part = path.substr(at, end - at);
    if (part.empty() || part == "." || part == "..") return false;
    at = end + 1;
  }
  return true;
}

Checked<void> check_name_form(const Names& names, bool (*valid)(std::string_view)) {
  for (const auto* list : {&names.trusted, &names.untrusted})
    for (const auto& name : *list)
      if (!valid(name) && !(list == &names.trusted && all_of(*list))) return refuse(Why::kBadName, name);
  return {};
}

struct Condition {
  std::string fact;
  bool at_most = false;
  uint64_t bound = 0;
};
Checked<Condition> parse_condition(std::string_view text) {
  const auto bad = [&] { return refuse(Why::kBadWord, "condition \"" + std::string(text) + "\""); };
  const size_t space = text.find(' ');
  if (space == std::string_view::npos || text.size() < space + 5) return bad();
  const std::string_view comparison = text.substr(space, 4);
  const std::string_view digits = text.substr(space + 4);
  Condition out;
  out.fact = text.substr(0, space);
  out.at_most = comparison == " <= ";
  if (!has(fact_names(), out.fact) || (!out.at_most && comparison != " >= ")) return bad();
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), out.bound);
  if (error != std::errc() || std::to_string(out.bound) != digits || out.bound > kMaxNumber) return bad();
  return out;
}

}  // namespace

const std::vector<std::string>& operations() {
  static const std::vector<std::string> kAll = {"checkpoint", "migrate", "run"};
  return kAll;
}

const std::vector<std::string>& fact_names() {
  static const std::vector<std::string> kAll = {"cpu_seconds", "files_bytes", "handovers", "memory_bytes", "processes"};
  return kAll;
}

std::string full_name(std::string_view site, std::string_view node) {
  return std::string(site) + "/" + std::string(node);
}

bool valid_node(std::string_view name) {
  const size_t slash = name.find('/');
  return slash != std::string_view::npos && pki::valid_name(name.substr(0, slash)) &&
         pki::valid_name(name.substr(slash + 1));
}

bool is_beneath(std::string_view path, std::string_view directory) {
  return directory == "/" || path == directory ||
         (path.starts_with(directory) && path.size() > directory.size() && path[directory.size()] == '/');
}

bool Names::allow(std::string_view name) const {
  return (all_of(trusted) || has(trusted, name)) && !has(untrusted, name);
}

bool Grants::allows(std::string_view operation) const { return has(operations, operation); }

Checked<void> Grants::check_narrower(const Grants& inner) const {
  TRY_DO(check_subset("operation", operations, inner.operations));
  TRY_DO(check_paths("read", read, inner.read));
  TRY_DO(check_paths("write", write, inner.write));
  TRY_DO(check_networks("connect", connect, inner.connect));
  TRY_DO(check_networks("listen", listen, inner.listen));
  TRY_DO(check_names("nodes", nodes, inner.nodes));
  TRY_DO(check_names("sites", sites, inner.sites));
  TRY_DO(check_limit("cpu_percent", limits.cpu_percent, inner.limits.cpu_percent));
  TRY_DO(check_limit("memory_bytes", limits.memory_bytes, inner.limits.memory_bytes));
  TRY_DO(check_limit("processes", limits.processes, inner.limits.processes));
  TRY_DO(check_subset("no condition less than", inner.conditions, conditions));
  if (inner.handovers > handovers) return refuse(Why::kWidened, "handovers " + std::to_string(inner.handovers));
  if (inner.not_before < not_before || inner.not_after > not_after) return refuse(Why::kWidened, "validity");
  return {};
}

Checked<void> Grants::check_time(uint64_t now) const {
  if (now < not_before) return refuse(Why::kNotYetValid, "from " + std::to_string(not_before) + " on");
  if (now > not_after) return refuse(Why::kExpired, "until " + std::to_string(not_after));
  return {};
}

Checked<void> Grants::check_place(std::string_view site, std::string_view node) const {
  if (!sites.allow(site)) return refuse(Why::kForbiddenSite, std::string(site));
  const std::string name = full_name(site, node);
  if (!nodes.allow(name)) return refuse(Why::kForbiddenNode, name);
  return {};
}

Checked<void> Grants::check_facts(const Facts& facts) const {
  const auto known = [&](std::string_view name) {
    const auto it = facts.find(name);
    return it == facts.end() ? std::optional<uint64_t>() : it->second;
  };
  for (const auto& text : conditions) {
    TRY(const Condition c, parse_condition(text));
    const auto value = known(c.fact);
    if (!value) return refuse(Why::kUnknownFact, text);
    if (c.at_most ? *value > c.bound : *value < c.bound) {
      return refuse(Why::kUnmetCondition, text + ", it is " + std::to_string(*value));
    }
  }
  for (const auto& [name, limit] : {std::pair{"memory_bytes", limits.memory_bytes}, {"processes", limits.processes}}) {
    const auto value = known(name);
    if (limit != 0 && value && *value > limit) {
      return refuse(Why::kTooFewResources,
                    std::string(name) + " is " + std::to_string(*value) + ", at most " + std::to_string(limit));
    }
  }
  return {};
}

Checked<void> Grants::check_form() const {
  for (const auto& word : operations)
    if (!has(delegation::operations(), word)) return refuse(Why::kBadWord, "operation \"" + word + "\"");
  for (const auto* list : {&read, &write})
    for (const auto& path : *list)
      if (!valid_path(path)) return refuse(Why::kBadPath, path);
  for (const auto* list : {&connect, &listen})
    for (const auto& text : *list) TRY_DO(Network::parse(text));
  TRY_DO(check_name_form(nodes, valid_node));
  TRY_DO(check_name_form(sites, pki::valid_name));
  for (const auto& text : conditions) TRY_DO(parse_condition(text));
  if (not_after < not_before) return refuse(Why::kBadTimes, std::to_string(not_after));
  for (const auto* set : {&operations, &read, &write, &connect, &listen, &nodes.trusted, &nodes.untrusted,
                          &sites.trusted, &sites.untrusted, &conditions}) {
    if (set->size() > kMaxMembers) return refuse(Why::kTooMany, std::to_string(set->size()));
    if (std::ranges::adjacent_find(*set, std::greater_equal<>()) != set->end()) {
      return refuse(Why::kNotSorted, set->front());
    }
  }
  for (const uint64_t n : {limits.cpu_percent, limits.memory_bytes, limits.processes, handovers, not_before, not_after})
    if (n > kMaxNumber) return refuse(Why::kBadNumber, std::to_string(n));
  return {};
}

Json to_json(const Grants& g) {
  const auto names = [](const Names& n) { return Json{{"trusted", n.trusted}, {"untrusted", n.untrusted}}; };
  return {{"operations", g.operations},
          {"read", g.read},
          {"write", g.write},
          {"connect", g.connect},
          {"listen", g.listen},
          {"nodes", names(g.nodes)},
          {"sites", names(g.sites)},
          {"limits",
           {{"cpu_percent", g.limits.cpu_percent},
            {"memory_bytes", g.limits.memory_bytes},
            {"processes", g.limits.processes}}},
          {"conditions", g.conditions},
          {"handovers", g.handovers},
          {"not_before", g.not_before},
          {"not_after", g.not_after}};
}

namespace {

Checked<Names> names_of(Fields& from, std::string_view key) {
  TRY(const Json* value, from.take(key));
  TRY(Fields fields, Fields::of(*value, std::string(key)));
  Names out;
  TRY(out.trusted, fields.set("trusted", kMaxMembers));
  TRY(out.untrusted, fields.set("untrusted", kMaxMembers));
  TRY_DO(fields.done());
  return out;
}

}  // namespace

Checked<Grants> grants_of(const Json& json) {
  TRY(Fields fields, Fields::of(json, "grants"));
  Grants out;
  TRY(out.operations, fields.set("operations", kMaxMembers));
  TRY(out.read, fields.set("read", kMaxMembers, kMaxPath));
  TRY(out.write, fields.set("write", kMaxMembers, kMaxPath));
  TRY(out.connect, fields.set("connect", kMaxMembers));
  TRY(out.listen, fields.set("listen", kMaxMembers));
  TRY(out.nodes, names_of(fields, "nodes"));
  TRY(out.sites, names_of(fields, "sites"));
  TRY(const Json* value, fields.take("limits"));
  TRY(Fields limits, Fields::of(*value, "limits"));
  TRY(out.limits.cpu_percent, limits.number("cpu_percent"));
  TRY(out.limits.memory_bytes, limits.number("memory_bytes"));
  TRY(out.limits.processes, limits.number("processes"));
  TRY_DO(limits.done());
  TRY(out.conditions, fields.set("conditions", kMaxMembers));
  TRY(out.handovers, fields.number("handovers"));
  TRY(out.not_before, fields.number("not_before"));
  TRY(out.not_after, fields.number("not_after"));
  TRY_DO(fields.done());
  TRY_DO(out.check_form());
  return out;
}

}  // namespace godwit::delegation
