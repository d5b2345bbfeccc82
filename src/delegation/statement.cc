#include "delegation/statement.h"

#include "base/pki.h"
#include "delegation/grants.h"

namespace godwit::delegation {
namespace {

constexpr uint64_t kVersion = 1;

}  // namespace

Checked<Envelope> seal(std::string_view type, Json payload, const PrivateKey& key) {
  payload["version"] = kVersion;
  Envelope out{std::string(type), canonical(payload), {}};
  if (out.payload.size() > kMaxPayload) return refuse(Why::kTooLarge, std::to_string(out.payload.size()) + " bytes");
  out.sign(key);
  return out;
}

Checked<Envelope> open_envelope(std::string_view text, std::string_view type, size_t signatures) {
  TRY(Envelope out, Envelope::decode(text, type));
  if (out.signatures.size() != signatures) {
    return refuse(Why::kSignatureCount,
                  std::to_string(out.signatures.size()) + ", expected " + std::to_string(signatures));
  }
  return out;
}

Checked<Fields> open_payload(const Json& json, std::string what) {
  TRY(Fields fields, Fields::of(json, std::move(what)));
  TRY_DO(fields.version(kVersion));
  return fields;
}

Checked<std::string> node_field(Fields& fields, std::string_view key) {
  TRY(std::string name, fields.text(key));
  if (!valid_node(name)) return refuse(Why::kBadName, name);
  return name;
}

}  // namespace godwit::delegation
