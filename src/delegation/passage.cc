#include "delegation/passage.h"

#include "delegation/json.h"

namespace godwit::delegation {
namespace {

constexpr size_t kMaxPassage = 8u << 20;  // an offer, and the keys of the nodes that have signed something of it

Json keys_of(const std::map<std::string, PublicKey>& keys) {
  Json out = Json::object();
  for (const auto& [name, key] : keys) out[name] = key.base64();
  return out;
}

Result<std::map<std::string, PublicKey>> keys_from(const Json& json) {
  std::map<std::string, PublicKey> out;
  for (const auto& [name, key] : json.items()) {
    if (!key.is_string()) return fail(Code::kCorrupt, "a key that is no text");
    TRY(const PublicKey of, public_key_of(key.get<std::string>()));
    out.emplace(name, of);
  }
  return out;
}

}  // namespace

std::string encode(const Passage& p) {
  Json facts = Json::object();
  for (const auto& [name, value] : p.facts) facts[name] = value;
  return Json{{"document", p.offer.document},
              {"caveats", p.offer.caveats},
              {"head", p.offer.head},
              {"last", p.offer.last},
              {"site", p.trust.site},
              {"users", keys_of(p.trust.users)},
              {"nodes", keys_of(p.trust.nodes)},
              {"logs", keys_of(p.trust.logs)},
              {"sites", p.trust.sites},
              {"revoked", p.trust.revoked},
              {"source", p.source},
              {"destination", p.destination},
              {"facts", facts}}
      .dump(-1, ' ', false, Json::error_handler_t::replace);
}

Result<Passage> decode_passage(std::string_view text) {
  const auto bad = [] { return fail(Code::kCorrupt, "not a handover's papers"); };
  if (text.size() > kMaxPassage) return bad();
  const Json json = Json::parse(text, nullptr, false);
  if (!json.is_object()) return bad();
  const auto texts = [&](const char* key) {
    std::vector<std::string> out;
    if (const auto it = json.find(key); it != json.end() && it->is_array())
      for (const Json& item : *it)
        if (item.is_string()) out.push_back(item.get<std::string>());
    return out;
  };
  const auto word = [&](const char* key) {
    const auto it = json.find(key);
    return it != json.end() && it->is_string() ? it->get<std::string>() : std::string();
  };
  const auto keys = [&](const char* key) { return keys_from(json.value(key, Json::object())); };
  Passage out;
  out.offer = {word("document"), texts("caveats"), word("head"), word("last")};
  out.trust.site = word("site");
  TRY(out.trust.users, keys("users"));
  TRY(out.trust.nodes, keys("nodes"));
  TRY(out.trust.logs, keys("logs"));
  for (auto& name : texts("sites")) out.trust.sites.insert(std::move(name));
  for (auto& id : texts("revoked")) out.trust.revoked.insert(std::move(id));
  if (const auto facts = json.find("facts"); facts != json.end() && facts->is_object())
    for (const auto& [name, value] : facts->items())
      if (value.is_number_unsigned()) out.facts[name] = value.get<uint64_t>();
  out.source = word("source");
  out.destination = word("destination");
  if (out.offer.document.empty() || !valid_node(out.source) || !valid_node(out.destination)) return bad();
  if (out.source == out.destination) return bad();
  return out;
}

std::string nonce_of_token(std::string_view token) {
  return sha256("godwit nonce " + std::string(token)).hex().substr(0, 32);
}

Checked<std::string> hand_over(const Passage& p, const PrivateKey& key, uint64_t epoch, const Digest& state,
                               const std::string& nonce, uint64_t now) {
  TRY(SignedDocument document, read_document(p.offer.document));
  TRY(const Authority authority, chain(std::move(document), p.offer.caveats));
  TRY(const SignedHead head, read_head(p.offer.head));
  const Entry entry = next_entry(authority, head.head, p.destination, epoch, state, nonce, now);
  TRY(const Envelope signed_once, entry.sign(key));
  return signed_once.encode();
}

Checked<Admission> admit(const Passage& p, const Facts& facts, uint64_t now) {
  Question question;
  question.now = now;
  question.source = p.source;
  question.destination = p.destination;
  question.facts = facts;
  return admit(p.offer, question, p.trust);
}

Checked<std::string> take_over(const Passage& p, const Admission& admission, const PrivateKey& key,
                               std::string_view entry, const Digest& state, const std::string& nonce, uint64_t now) {
  TRY(SignedEntry accepted, accept(admission, entry, p.destination, state, nonce, p.trust, now));
  accepted.envelope.sign(key);
  return accepted.envelope.encode();
}

}  // namespace godwit::delegation
