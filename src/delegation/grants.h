// What a unit may do and where it may go: the part of a document that a caveat can narrow.
//
// Every field is always there, so "not mentioned" has no meaning that could be forgotten: no rule is ["*"] for names, ["/"]
// for paths, kAnywhere for addresses and 0 for limits. Sets are strictly ascending, each member in one form only, so two
// grants are equal if their bytes are.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "delegation/refusal.h"

namespace godwit::delegation {

/// Which nodes ("site/node") or sites. A name in `untrusted` is out whatever `trusted` says. ["*"] is all there are.
struct Names {
  std::vector<std::string> trusted{"*"};
  std::vector<std::string> untrusted;
  [[nodiscard]] bool allow(std::string_view name) const;
  bool operator==(const Names&) const = default;
};

/// A set of addresses and TCP/UDP ports: "10.0.0.0/8 443-443", "2001:db8::/32 0-65535".
struct Network {
  bool v6 = false;
  std::array<unsigned char, 16> address{};  ///< the first four bytes for IPv4; bits behind the prefix are zero
  unsigned prefix = 0;
  uint16_t low = 0, high = 65535;
  static Checked<Network> parse(std::string_view text);
  [[nodiscard]] std::string text() const;
  [[nodiscard]] bool contains(const Network& other) const;
  bool operator==(const Network&) const = default;
};
inline const std::vector<std::string> kAnywhere{"0.0.0.0/0 0-65535", "::/0 0-65535"};

struct Limits {  // 0: none
  uint64_t cpu_percent = 0;  ///< 100 is one CPU
  uint64_t memory_bytes = 0;
  uint64_t processes = 0;
  bool operator==(const Limits&) const = default;
};

/// The operations that there are.
inline constexpr std::string_view kRun = "run", kCheckpoint = "checkpoint", kMigrate = "migrate";
const std::vector<std::string>& operations();

/// What is known of a unit, by name; conditions speak of it.
using Facts = std::map<std::string, uint64_t, std::less<>>;
/// The names that conditions may use.
const std::vector<std::string>& fact_names();

struct Grants {
  std::vector<std::string> operations = {"checkpoint", "migrate", "run"};
  std::vector<std::string> read{"/"};  ///< these and what is beneath them
  std::vector<std::string> write{"/"};
  std::vector<std::string> connect = kAnywhere;
  std::vector<std::string> listen = kAnywhere;
  Names nodes;
  Names sites;
  Limits limits;
  std::vector<std::string> conditions;  ///< "memory_bytes <= 1073741824"; all must hold
  uint64_t handovers = 1000;  ///< at most so many
  uint64_t not_before = 0;  ///< seconds since 1970
  uint64_t not_after = 0;

  bool operator==(const Grants&) const = default;
  [[nodiscard]] bool allows(std::string_view operation) const;
  /// Refuses unless all that `inner` allows is allowed here: what "attenuation only" means.
  [[nodiscard]] Checked<void> check_narrower(const Grants& inner) const;
  [[nodiscard]] Checked<void> check_time(uint64_t now) const;
  [[nodiscard]] Checked<void> check_place(std::string_view site, std::string_view node) const;
  [[nodiscard]] Checked<void> check_facts(const Facts& facts) const;
  /// Whether each value is one that the format has; decode() does it, and whoever wants to sign should.
  [[nodiscard]] Checked<void> check_form() const;
};

/// What both allow (narrow.cc). Refused when that can't be written down: too many members, a validity that is over.
Checked<Grants> narrowed(const Grants& outer, const Grants& wish);

/// "/a/b" is beneath "/a" and "/".
bool is_beneath(std::string_view path, std::string_view directory);
bool valid_node(std::string_view name);
/// "site/node".
std::string full_name(std::string_view site, std::string_view node);

}  // namespace godwit::delegation
