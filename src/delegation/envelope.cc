#include "delegation/envelope.h"

#include "delegation/json.h"
#include "delegation/text.h"

namespace godwit::delegation {

std::string Envelope::pae() const {
  return "DSSEv1 " + std::to_string(type.size()) + " " + type + " " + std::to_string(payload.size()) + " " + payload;
}

std::string Envelope::encode() const {
  Json out = {{"payload", to_base64(payload)}, {"payloadType", type}, {"signatures", Json::array()}};
  for (const Signed& s : signatures)
    out["signatures"].push_back({{"keyid", s.key_id}, {"sig", to_base64(view(s.signature))}});
  return canonical(out);
}

Checked<Envelope> Envelope::decode(std::string_view text, std::string_view type) {
  TRY(const Json json, parse_canonical(text, kMaxEnvelope));
  TRY(Fields fields, Fields::of(json, "envelope"));
  Envelope out;
  TRY(out.type, fields.text("payloadType"));
  if (out.type != type) return refuse(Why::kWrongPayload, out.type + ", expected " + std::string(type));
  TRY(const std::string payload, fields.text("payload", kMaxEnvelope));
  auto plain = from_base64(payload);
  if (!plain) return refuse(Why::kBadBase64, "envelope.payload");
  out.payload = *std::move(plain);
  TRY(const Json* list, fields.take("signatures"));
  TRY_DO(fields.done());
  if (!list->is_array()) return refuse(Why::kWrongType, "envelope.signatures");
  if (list->empty() || list->size() > kMaxSignatures) {
    return refuse(Why::kSignatureCount, std::to_string(list->size()));
  }
  for (const Json& item : *list) {
    TRY(Fields one, Fields::of(item, "signature"));
    Signed& s = out.signatures.emplace_back();
    TRY(s.key_id, one.hex("keyid", 64));
    TRY(const std::string sig, one.text("sig"));
    TRY_DO(one.done());
    const auto bytes = from_base64(sig);
    if (!bytes || bytes->size() != s.signature.size()) return refuse(Why::kBadBase64, "signature.sig");
    std::copy(bytes->begin(), bytes->end(), s.signature.begin());
  }
  return out;
}

void Envelope::sign(const PrivateKey& key) { signatures.push_back({key.public_key().id(), key.sign(pae())}); }

Checked<void> Envelope::check(size_t index, const PublicKey& key) const {
  if (index >= signatures.size()) return refuse(Why::kSignatureCount, std::to_string(signatures.size()));
  const Signed& s = signatures[index];
  if (s.key_id != key.id()) return refuse(Why::kUnknownKey, s.key_id);
  if (!verify(key, pae(), s.signature)) return refuse(Why::kBadSignature, "key " + s.key_id.substr(0, 16));
  return {};
}

}  // namespace godwit::delegation
