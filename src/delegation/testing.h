// For tests, vectors, fuzz seeds and the benchmark: keys that everybody knows, and a small world of two sites in which a
// unit is handed over.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/check.h"
#include "delegation/delegation.h"

namespace godwit::delegation::testing {

inline constexpr uint64_t kNow = 1'800'000'000;

/// Its seed is the SHA-256 of its name.
inline PrivateKey key_of(const std::string& name) {
  return PrivateKey::from_seed(sha256("godwit test key " + name).bytes);
}
inline std::string id_of(const std::string& name) { return sha256("godwit test id " + name).hex().substr(0, 32); }

inline Grants wide_grants() {
  Grants g;
  g.handovers = 1000;
  g.not_before = kNow - 86400;
  g.not_after = kNow + 86400;
  return g;
}

inline Document document_of(const std::string& user, Grants grants) {
  return Document{key_of(user).public_key(), id_of("instance"),
                  sha256("program"),         digest_of_arguments(std::vector<std::string>{"./sim", "--steps", "10"}),
                  std::move(grants),         id_of("revocation")};
}

template <typename T>
T sure(Checked<T> checked) {
  if (!checked) check_failed(__FILE__, __LINE__, "sure", checked.error().error().text);
  return *std::move(checked);
}

/// Sites home (node-1, node-2, node-3) and away (node-7), the log is home's.
struct World {
  explicit World(Grants grants = wide_grants()) {
    trust.site = "home";
    trust.users.emplace(key_of("user").public_key().id(), key_of("user").public_key());
    for (const char* n : {"home/node-1", "home/node-2", "home/node-3", "away/node-7"})
      trust.nodes.emplace(n, key_of(n).public_key());
    trust.logs.emplace("home", key_of("log of home").public_key());
    trust.sites.insert("away");
    document = sure(document_of("user", std::move(grants)).sign(key_of("user"))).encode();
  }

  void start(const std::string& node = "home/node-1") {
    state = sure(open_log(sure(chain(sure(read_document(document)), {})), "home", node, 1, kNow, trust));
  }

  /// What the holder shows.
  [[nodiscard]] Offer offer(uint64_t now = kNow) const {
    Offer out{document, caveats, head(now), entries.empty() ? "" : entries.back().envelope.encode()};
    return out;
  }
  [[nodiscard]] std::string head(uint64_t now = kNow) const {
    Head h = state.head;
    h.time = now;
    return sure(h.sign(key_of("log of home"))).encode();
  }
  [[nodiscard]] Question question(const std::string& to, uint64_t now = kNow) const {
    Question q;
    q.now = now;
    q.source = state.head.holder;
    q.destination = to;
    q.instance = id_of("instance");
    q.facts = {{"cpu_seconds", 100}, {"files_bytes", 0}, {"memory_bytes", 64u << 20}, {"processes", 3}};
    return q;
  }
  [[nodiscard]] Authority authority() const { return sure(chain(sure(read_document(document)), caveats)); }

  [[nodiscard]] Entry next(const std::string& to, uint64_t now = kNow) const {
    const std::string n = std::to_string(state.head.sequence + 1);
    return next_entry(authority(), state.head, to, state.head.epoch + 1, sha256("state " + n), id_of("nonce " + n),
                      now);
  }
  [[nodiscard]] static Envelope cosigned(const Entry& e) {
    Envelope out = sure(e.sign(key_of(e.source)));
    out.sign(key_of(e.destination));
    return out;
  }
  void hop(const std::string& to, uint64_t now = kNow) {
    SignedEntry e = sure(read_entry(cosigned(next(to, now)).encode(), 2));
    const auto known = state.authority.caveats.size();
    state = sure(
        append(std::move(state), {caveats.begin() + static_cast<std::ptrdiff_t>(known), caveats.end()}, e, trust, now));
    entries.push_back(std::move(e));
  }
  /// Back and forth between home's first two nodes.
  void hops(size_t count) {
    for (size_t i = 0; i < count; ++i) hop(state.head.holder == "home/node-1" ? "home/node-2" : "home/node-1");
  }
  [[nodiscard]] Caveat caveat(Grants grants) const {
    return Caveat{state.head.document, authority().digest(), state.head.holder, state.head.sequence, kNow,
                  std::move(grants)};
  }
  void narrow(Grants grants) {
    const Caveat c = caveat(std::move(grants));
    caveats.push_back(sure(c.sign(key_of(c.node))).encode());
  }

  Trust trust;
  std::string document;
  std::vector<std::string> caveats;
  LogState state;
  std::vector<SignedEntry> entries;
};

}  // namespace godwit::delegation::testing
