#include "delegation/document.h"

#include "delegation/grants_json.h"
#include "delegation/statement.h"

namespace godwit::delegation {
Checked<Envelope> Document::sign(const PrivateKey& user) const {
  TRY_DO(grants.check_form());
  if (issuer != user.public_key()) return refuse(Why::kUnknownKey, "the document names another issuer");
  return seal(kDocumentType,
              {{"issuer", issuer.base64()},
               {"instance", instance},
               {"program", program.hex()},
               {"arguments", arguments.hex()},
               {"grants", to_json(grants)},
               {"revocation", revocation}},
              user);
}

Checked<Document> Document::parse(std::string_view payload) {
  TRY(const Json json, parse_canonical(payload, kMaxPayload));
  TRY(Fields fields, open_payload(json, "document"));
  Document out;
  TRY(const std::string issuer, fields.text("issuer"));
  const auto key = public_key_of(issuer);
  if (!key) return refuse(Why::kBadBase64, "document.issuer");
  out.issuer = *key;
  TRY(out.instance, fields.hex("instance", 32));
  TRY(out.program, fields.digest("program"));
  TRY(out.arguments, fields.digest("arguments"));
  TRY(const Json* grants, fields.take("grants"));
  TRY(out.revocation, fields.hex("revocation", 32));
  TRY_DO(fields.done());
  TRY(out.grants, grants_of(*grants));
  return out;
}

Checked<SignedDocument> read_document(std::string_view text) {
  SignedDocument out;
  TRY(out.envelope, open_envelope(text, kDocumentType, 1));
  TRY(out.document, Document::parse(out.envelope.payload));
  TRY_DO(out.envelope.check(0, out.document.issuer));
  out.digest = out.envelope.digest();
  return out;
}

Checked<Envelope> Caveat::sign(const PrivateKey& node_key) const {
  TRY_DO(grants.check_form());
  return seal(kCaveatType,
              {{"document", document.hex()},
               {"previous", previous.hex()},
               {"node", node},
               {"sequence", sequence},
               {"time", time},
               {"grants", to_json(grants)}},
              node_key);
}

Checked<Caveat> Caveat::parse(std::string_view payload) {
  TRY(const Json json, parse_canonical(payload, kMaxPayload));
  TRY(Fields fields, open_payload(json, "caveat"));
  Caveat out;
  TRY(out.document, fields.digest("document"));
  TRY(out.previous, fields.digest("previous"));
  TRY(out.node, node_field(fields, "node"));
  TRY(out.sequence, fields.number("sequence"));
  TRY(out.time, fields.number("time"));
  TRY(const Json* grants, fields.take("grants"));
  TRY_DO(fields.done());
  TRY(out.grants, grants_of(*grants));
  return out;
}

Checked<SignedCaveat> read_caveat(std::string_view text) {
  SignedCaveat out;
  TRY(out.envelope, open_envelope(text, kCaveatType, 1));
  TRY(out.caveat, Caveat::parse(out.envelope.payload));
  out.digest = out.envelope.digest();
  return out;
}

Checked<Authority> chain(SignedDocument document, const std::vector<std::string>& caveats) {
  return extend(Authority{std::move(document), {}}, caveats);
}

Checked<std::optional<std::string>> narrow(Authority& authority, const std::string& node, uint64_t sequence,
                                           const Grants& wish, const PrivateKey& key, uint64_t now) {
  TRY(Grants left, narrowed(authority.grants(), wish));
  if (left == authority.grants()) return std::nullopt;
  const Caveat caveat{authority.document.digest, authority.digest(), node, sequence, now, std::move(left)};
  TRY(const Envelope signed_caveat, caveat.sign(key));
  std::string text = signed_caveat.encode();
  TRY(authority, extend(std::move(authority), {text}));
  return text;
}

Checked<Authority> extend(Authority out, const std::vector<std::string>& caveats) {
  if (const size_t all = out.caveats.size() + caveats.size(); all > kMaxCaveats)
    return refuse(Why::kTooMany, std::to_string(all) + " caveats");
  for (const auto& text : caveats) {
    TRY(SignedCaveat next, read_caveat(text));
    const Caveat& c = next.caveat;
    if (c.document != out.document.digest) return refuse(Why::kOtherDocument, "caveat of " + c.node);
    if (c.previous != out.digest()) return refuse(Why::kBrokenCaveats, "caveat of " + c.node);
    const bool earlier = !out.caveats.empty() && c.sequence < out.caveats.back().caveat.sequence;
    if (earlier)
      return refuse(Why::kBrokenCaveats, "caveat of " + c.node + " at handover " + std::to_string(c.sequence));
    TRY_IN("caveat of " + c.node, out.grants().check_narrower(c.grants));
    out.caveats.push_back(std::move(next));
  }
  return out;
}

Checked<Envelope> Revocation::sign(const PrivateKey& user) const {
  return seal(kRevocationType, {{"document", document.hex()}, {"revocation", revocation}, {"time", time}}, user);
}

Checked<Revocation> Revocation::parse(std::string_view payload) {
  TRY(const Json json, parse_canonical(payload, kMaxPayload));
  TRY(Fields fields, open_payload(json, "revocation"));
  Revocation out;
  TRY(out.document, fields.digest("document"));
  TRY(out.revocation, fields.hex("revocation", 32));
  TRY(out.time, fields.number("time"));
  TRY_DO(fields.done());
  return out;
}

Checked<Revocation> read_revocation(std::string_view text, const SignedDocument& document) {
  TRY(const Envelope envelope, open_envelope(text, kRevocationType, 1));
  TRY_DO(envelope.check(0, document.document.issuer));
  TRY(const Revocation out, Revocation::parse(envelope.payload));
  if (out.document != document.digest || out.revocation != document.document.revocation) {
    return refuse(Why::kOtherDocument, "revocation of " + out.revocation);
  }
  return out;
}

}  // namespace godwit::delegation
