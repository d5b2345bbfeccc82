#include "delegation/passage.h"

#include <algorithm>

#include "delegation/checks.h"
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

std::string encode(const Statement& s) {
  std::string out;
  for (const auto& caveat : s.before) out += caveat + "\n";
  out += s.entry;
  for (const auto& caveat : s.after) out += "\n" + caveat;
  return out;
}

Checked<Statement> read_statement(std::string_view text) {
  if (text.size() > kMaxOffer) return refuse(Why::kTooLarge, std::to_string(text.size()) + " bytes");
  Statement out;
  for (bool more = true; more;) {
    const size_t end = std::min(text.find('\n'), text.size());
    std::string line(text.substr(0, end));
    more = end < text.size();
    text.remove_prefix(more ? end + 1 : end);
    if (out.before.size() + out.after.size() > kMaxCaveats) return refuse(Why::kTooMany, "caveats with a handover");
    // Each line is read for what it is later; here they are only told apart.
    if (!Envelope::decode(line, kCaveatType)) {
      if (!out.entry.empty()) return refuse(Why::kWrongPayload, "two entries in one handover");
      out.entry = std::move(line);
    } else if (out.entry.empty()) {
      out.before.push_back(std::move(line));
    } else {
      out.after.push_back(std::move(line));
    }
  }
  return out;
}

Checked<Departure> depart(const Passage& p, uint64_t epoch, const std::string& nonce, const Word& word, uint64_t now) {
  TRY_DO(check_sites(p.source, p.destination, p.trust));
  TRY(SignedDocument document, read_document(p.offer.document));
  TRY(Authority authority, chain(std::move(document), p.offer.caveats));
  TRY(const SignedHead head, read_head(p.offer.head));
  Departure out;
  if (word.wish) {
    TRY(auto caveat, narrow(authority, p.source, head.head.sequence, *word.wish, word.key, now));
    if (caveat) out.caveats.push_back(*std::move(caveat));
  }
  out.entry = next_entry(authority, head.head, p.destination, epoch, Digest{}, nonce, 0);
  return out;
}

Checked<std::string> hand_over(const Departure& departing, const PrivateKey& key, const Digest& state, uint64_t now) {
  Entry entry = departing.entry;
  entry.state = state;
  entry.time = now;
  TRY(const Envelope signed_once, entry.sign(key));
  return encode(Statement{departing.caveats, signed_once.encode(), {}});
}

Checked<Admission> admit(const Passage& p, const Facts& facts, uint64_t now) {
  Question question;
  question.now = now;
  question.source = p.source;
  question.destination = p.destination;
  question.facts = facts;
  return admit(p.offer, question, p.trust);
}

Checked<std::string> take_over(const Passage& p, const Admission& admission, const Word& word, std::string_view text,
                               uint64_t epoch, const Digest& state, const std::string& nonce, uint64_t now) {
  TRY(Statement statement, read_statement(text));
  if (!statement.after.empty()) return refuse(Why::kNotTheHolder, "a caveat of the destination, from the source");
  TRY(const Admission narrower, add_caveats(admission, statement.before, p.destination, p.trust, now));
  TRY(SignedEntry accepted, accept(narrower, statement.entry, {p.destination, epoch, state, nonce}, p.trust, now));
  accepted.envelope.sign(word.key);
  statement.entry = accepted.envelope.encode();
  if (word.wish) {
    Authority authority = narrower.authority;
    TRY(auto caveat, narrow(authority, p.destination, accepted.entry.sequence, *word.wish, word.key, now));
    if (caveat) statement.after.push_back(*std::move(caveat));
  }
  return encode(statement);
}

}  // namespace godwit::delegation
