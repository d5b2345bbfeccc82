// Private to the module: JSON from an enemy.
//
// Two readers that understand the same bytes differently are a way in (a duplicate key of which one takes the first and
// the other the last; a number that one rounds). So there is exactly one text for each content, the canonical form: RFC
// 8785 (JCS) restricted to objects, arrays, strings and integers from 0 to 2^53 - 1, with ASCII keys. That is: keys in
// ascending order of their bytes, no white space, \" \\ \b \f \n \r \t and \u00xx (lower case) only where they must be.
// The library's printer gives just this form, so the check is: print what was read, and compare.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "delegation/keys.h"
#include "delegation/refusal.h"

namespace godwit::delegation {

using Json = nlohmann::json;

inline constexpr int kMaxDepth = 4;  // the deepest that is written is 3
inline constexpr uint64_t kMaxNumber = (uint64_t{1} << 53) - 1;

/// Longer than `limit`, deeper than kMaxDepth, with duplicate keys, not canonical: each is refused as itself. Memory is
/// bounded by a multiple of `limit`.
Checked<Json> parse_canonical(std::string_view text, size_t limit);
inline std::string canonical(const Json& value) { return value.dump(); }

/// Takes an object's fields one by one; done() refuses those that nobody took.
class Fields {
 public:
  static Checked<Fields> of(const Json& value, std::string what);
  Checked<const Json*> take(std::string_view key);
  Checked<std::string> text(std::string_view key, size_t limit = 256);
  Checked<uint64_t> number(std::string_view key, uint64_t limit = kMaxNumber);
  Checked<Digest> digest(std::string_view key);
  /// `digits` lower-case hex digits.
  Checked<std::string> hex(std::string_view key, size_t digits);
  Checked<std::vector<std::string>> texts(std::string_view key, size_t most, size_t limit = 256);
  /// The same, in strictly ascending order.
  Checked<std::vector<std::string>> set(std::string_view key, size_t most, size_t limit = 256);
  Checked<void> version(uint64_t known);
  Checked<void> done() const;

 private:
  Fields(const Json* value, std::string what) : value_(value), what_(std::move(what)) {}
  std::unexpected<Refusal> no(Why why, std::string_view key) const {
    return refuse(why, what_ + "." + std::string(key));
  }
  const Json* value_;
  std::string what_;
  std::vector<std::string> names_;
};

}  // namespace godwit::delegation
