#include "delegation/json.h"

#include <algorithm>

#include "delegation/text.h"

namespace godwit::delegation {
namespace {

/// Builds the value while it is read, and stops at the first thing that no document of ours has.
class Builder : public nlohmann::json_sax<Json> {
 public:
  Json take() { return std::move(root_); }
  [[nodiscard]] Refusal why() const { return why_; }

  bool null() override { return no(Why::kWrongType, "null"); }
  bool boolean(bool) override { return no(Why::kWrongType, "true or false"); }
  bool number_integer(number_integer_t) override { return no(Why::kBadNumber, "a negative number"); }
  bool number_unsigned(number_unsigned_t v) override {
    return v > kMaxNumber ? no(Why::kBadNumber, "more than 2^53 - 1") : add(v);
  }
  bool number_float(number_float_t, const string_t&) override { return no(Why::kBadNumber, "a fraction"); }
  bool string(string_t& v) override { return add(std::move(v)); }
  bool binary(binary_t&) override { return no(Why::kWrongType, "binary"); }
  bool start_object(size_t) override { return open(Json::object()); }
  bool start_array(size_t) override { return open(Json::array()); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }
  bool key(string_t& k) override {
    if (open_.back()->contains(k)) return no(Why::kDuplicateKey, k.substr(0, 64));
    key_ = std::move(k);
    return true;
  }
  bool parse_error(size_t position, const std::string&, const Json::exception&) override {
    return no(Why::kNotJson, "at byte " + std::to_string(position));
  }

 private:
  bool no(Why why, std::string detail) {
    why_ = Refusal{why, std::move(detail)};
    return false;
  }
  bool add(Json value) {
    place(std::move(value));
    return true;
  }
  Json* place(Json value) {
    if (open_.empty()) return &(root_ = std::move(value));
    Json& in = *open_.back();
    if (in.is_array()) return &in.emplace_back(std::move(value));
    return &(in[key_] = std::move(value));
  }
  bool open(Json value) {
    if (open_.size() >= kMaxDepth) return no(Why::kTooDeep, "more than " + std::to_string(kMaxDepth));
    // An array that grows moves what is in it; but only the innermost one grows, and nobody points into that.
    open_.push_back(place(std::move(value)));
    return true;
  }
  bool close() {
    open_.pop_back();
    return true;
  }

  Json root_;
  std::vector<Json*> open_;
  std::string key_;
  Refusal why_{Why::kNotJson, ""};
};

}  // namespace

Checked<Json> parse_canonical(std::string_view text, size_t limit) {
  if (text.size() > limit) {
    return refuse(Why::kTooLarge, std::to_string(text.size()) + " bytes, at most " + std::to_string(limit));
  }
  Builder builder;
  if (!Json::sax_parse(text.begin(), text.end(), &builder)) return std::unexpected(builder.why());
  Json value = builder.take();
  if (canonical(value) != text) return refuse(Why::kNotCanonical, "");
  return value;
}

Checked<Fields> Fields::of(const Json& value, std::string what) {
  if (!value.is_object()) return refuse(Why::kWrongType, what + " is no object");
  return Fields(&value, std::move(what));
}

Checked<const Json*> Fields::take(std::string_view key) {
  const auto it = value_->find(key);
  if (it == value_->end()) return no(Why::kMissingField, key);
  names_.emplace_back(key);
  return &*it;
}

Checked<std::string> Fields::text(std::string_view key, size_t limit) {
  TRY(const Json* value, take(key));
  if (!value->is_string()) return no(Why::kWrongType, key);
  auto text = value->get<std::string>();
  if (text.size() > limit) return no(Why::kTooLarge, key);
  return text;
}

Checked<uint64_t> Fields::number(std::string_view key, uint64_t limit) {
  TRY(const Json* value, take(key));
  if (!value->is_number_unsigned()) return no(Why::kWrongType, key);
  const auto number = value->get<uint64_t>();
  if (number > limit) return no(Why::kBadNumber, key);
  return number;
}

Checked<Digest> Fields::digest(std::string_view key) {
  TRY(const std::string digits, text(key));
  const auto digest = digest_of_hex(digits);
  if (!digest) return no(Why::kBadDigest, key);
  return *digest;
}

Checked<std::string> Fields::hex(std::string_view key, size_t digits) {
  TRY(std::string value, text(key));
  std::vector<unsigned char> bytes(digits / 2);
  if (!from_hex(value, bytes)) return no(Why::kBadDigest, key);
  return value;
}

Checked<std::vector<std::string>> Fields::texts(std::string_view key, size_t most, size_t limit) {
  TRY(const Json* value, take(key));
  if (!value->is_array()) return no(Why::kWrongType, key);
  if (value->size() > most) return no(Why::kTooMany, key);
  std::vector<std::string> out;
  for (const Json& item : *value) {
    if (!item.is_string()) return no(Why::kWrongType, key);
    out.push_back(item.get<std::string>());
    if (out.back().size() > limit) return no(Why::kTooLarge, key);
  }
  return out;
}

Checked<std::vector<std::string>> Fields::set(std::string_view key, size_t most, size_t limit) {
  TRY(auto out, texts(key, most, limit));
  if (std::ranges::adjacent_find(out, std::greater_equal<>()) != out.end()) return no(Why::kNotSorted, key);
  return out;
}

Checked<void> Fields::version(uint64_t known) {
  TRY(const uint64_t version, number("version"));
  if (version != known) return no(Why::kWrongVersion, std::to_string(version));
  return {};
}

Checked<void> Fields::done() const {
  for (const auto& [key, value] : value_->items())
    if (std::ranges::find(names_, key) == names_.end()) return no(Why::kUnknownField, key.substr(0, 64));
  return {};
}

}  // namespace godwit::delegation
