// Vectors of admission: what a destination refuses before anything is sent (admit), and what before a byte of state is
// read (accept).
#include "delegation/testing.h"
#include "delegation/vectors.h"
#include "delegation/vectors_json.h"

namespace godwit::delegation::vectors {
namespace {

using testing::id_of;
using testing::key_of;
using testing::kNow;
using testing::sure;
using testing::wide_grants;
using testing::World;

/// One admission that would be good, to be spoilt: the unit is at node-1 after two handovers and is offered to node-2.
struct Scene {
  explicit Scene(Grants grants = wide_grants(), size_t hops = 2) : world(std::move(grants)) {
    world.start();
    if (hops > 10) {  // as if it had come from far: a head stands for all that is before it
      world.state.head.sequence = hops - 1;
      world.state.head.epoch = hops;
      world.state.head.entry = sha256("an entry long ago");
      hops = 1;
    }
    world.hops(hops);
    refresh();
  }
  void refresh() {
    offer = world.offer();
    question = world.question("home/node-2");
  }
  /// The log's head, changed and signed again by `who`.
  void head(const std::function<void(Head&)>& change, const std::string& who = "log of home") {
    Head h = world.state.head;
    h.time = kNow;
    change(h);
    offer.head = sure(h.sign(key_of(who))).encode();
  }
  [[nodiscard]] Json json() const {
    return {{"check", "admit"},
            {"trust", to_json(world.trust)},
            {"offer", to_json(offer)},
            {"question", to_json(question)}};
  }
  World world;
  Offer offer;
  Question question;
};

void add(std::vector<Case>& out, std::string name, std::string expected, const std::function<void(Scene&)>& spoil,
         Grants grants = wide_grants(), size_t hops = 2) {
  Scene scene(std::move(grants), hops);
  spoil(scene);
  out.push_back({std::move(name), scene.json(), std::move(expected)});
}

Grants with(void (*change)(Grants&)) {
  Grants g = wide_grants();
  change(g);
  return g;
}

void add_subjects(std::vector<Case>& out) {
  add(out, "admit-good", "ok", [](Scene&) {});
  add(out, "admit-good-first-handover", "ok", [](Scene&) {}, wide_grants(), 0);
  add(out, "admit-good-after-a-thousand-less-one", "ok", [](Scene&) {}, wide_grants(), 999);
  add(out, "admit-good-start", "ok", [](Scene& s) {
    s.offer = {s.world.document, {}, "", ""};
    s.question.operation = kRun;
    s.question.source = "";
    s.question.program = sha256("program");
    s.question.arguments = digest_of_arguments(std::vector<std::string>{"./sim", "--steps", "10"});
  });
  add(out, "start-of-another-program", "wrong-program", [](Scene& s) { s.question.program = sha256("another"); });
  add(out, "start-with-other-arguments", "wrong-arguments", [](Scene& s) { s.question.arguments = sha256("another"); });
  add(out, "start-with-a-history", "unlogged", [](Scene& s) {
    s.question.operation = kRun;
    s.question.source = "";
  });
  add(out, "another-instance", "wrong-instance", [](Scene& s) { s.question.instance = id_of("another"); });
  add(out, "a-user-whom-nobody-knows", "untrusted-user", [](Scene& s) { s.world.trust.users.clear(); });
  add(out, "without-a-document", "no-document", [](Scene& s) { s.offer.document.clear(); });
  add(out, "document-forged", "bad-signature", [](Scene& s) {
    Envelope e = sure(Envelope::decode(s.world.document, kDocumentType));
    e.payload.replace(e.payload.find("1000"), 4, "9000");
    s.offer.document = e.encode();
  });
  add(out, "revoked", "revoked", [](Scene& s) { s.world.trust.revoked.insert(id_of("revocation")); });
  add(out, "expired", "expired", [](Scene& s) {
    s.question.now = kNow + 90000;
    s.head([](Head& h) { h.time = kNow + 90000; });
  });
  add(out, "not-yet-valid", "not-yet-valid", [](Scene& s) { s.question.now = kNow - 90000; });
}

void add_places(std::vector<Case>& out) {
  add(
      out, "operation-not-allowed", "forbidden-operation", [](Scene& s) { s.question.operation = kCheckpoint; },
      with([](Grants& g) { g.operations = {"migrate", "run"}; }));
  add(
      out, "destination-not-trusted", "forbidden-node", [](Scene& s) { s.question.destination = "home/node-3"; },
      with([](Grants& g) { g.nodes.trusted = {"home/node-1", "home/node-2"}; }));
  add(
      out, "destination-untrusted", "forbidden-node", [](Scene& s) { s.question.destination = "home/node-3"; },
      with([](Grants& g) { g.nodes.untrusted = {"home/node-3"}; }));
  add(
      out, "site-not-trusted-by-the-user", "forbidden-site", [](Scene& s) { s.question.destination = "away/node-7"; },
      with([](Grants& g) { g.sites.trusted = {"home"}; }));
  add(
      out, "site-untrusted-by-the-user", "forbidden-site", [](Scene& s) { s.question.destination = "away/node-7"; },
      with([](Grants& g) { g.sites.untrusted = {"away"}; }));
  add(out, "site-not-trusted-by-the-other", "untrusted-site", [](Scene& s) {
    s.question.destination = "away/node-7";
    s.world.trust.site = "away";
    s.world.trust.sites = {};
  });
  add(out, "over-the-limit-of-handovers", "over-limit", [](Scene&) {}, with([](Grants& g) { g.handovers = 2; }));
  add(out, "at-the-limit-of-handovers", "ok", [](Scene&) {}, with([](Grants& g) { g.handovers = 3; }));
  add(
      out, "condition-not-met", "unmet-condition", [](Scene&) {},
      with([](Grants& g) { g.conditions = {"memory_bytes <= 1"}; }));
  add(
      out, "condition-on-what-nobody-knows", "unknown-fact", [](Scene& s) { s.question.facts.clear(); },
      with([](Grants& g) { g.conditions = {"processes <= 10"}; }));
  add(
      out, "more-memory-than-allowed", "too-few-resources", [](Scene&) {},
      with([](Grants& g) { g.limits.memory_bytes = 4096; }));
}

void add_caveats(std::vector<Case>& out) {
  const auto narrower = [] { return with([](Grants& g) { g.handovers = 5; }); };
  add(out, "caveat-good", "ok", [&](Scene& s) {
    s.world.narrow(narrower());
    s.refresh();
  });
  add(out, "caveat-in-the-log-already", "ok", [&](Scene& s) {
    s.world.narrow(narrower());
    s.world.hop("home/node-2");
    s.refresh();
    s.question.destination = "home/node-1";
  });
  add(out, "caveat-that-counts", "over-limit", [](Scene& s) {
    s.world.narrow(with([](Grants& g) { g.handovers = 2; }));
    s.refresh();
  });
  add(out, "caveat-that-widens", "widened", [](Scene& s) {
    const Caveat c = s.world.caveat(with([](Grants& g) { g.handovers = 1001; }));
    s.offer.caveats = {sure(c.sign(key_of("home/node-1"))).encode()};
  });
  add(out, "second-caveat-that-widens-back", "widened", [&](Scene& s) {
    s.world.narrow(narrower());
    const Caveat c = s.world.caveat(wide_grants());
    s.refresh();
    s.offer.caveats.push_back(sure(c.sign(key_of("home/node-1"))).encode());
  });
  add(out, "caveat-of-a-node-that-does-not-hold-it", "not-the-holder", [&](Scene& s) {
    Caveat c = s.world.caveat(narrower());
    c.node = "home/node-3";
    s.offer.caveats = {sure(c.sign(key_of("home/node-3"))).encode()};
  });
  add(out, "caveat-signed-by-another", "unknown-key",
      [&](Scene& s) { s.offer.caveats = {sure(s.world.caveat(narrower()).sign(key_of("home/node-3"))).encode()}; });
  add(out, "caveat-forged", "bad-signature", [&](Scene& s) {
    Envelope e = sure(s.world.caveat(narrower()).sign(key_of("home/node-1")));
    e.signatures[0].signature[0] ^= 1;
    s.offer.caveats = {e.encode()};
  });
  add(out, "caveat-of-another-document", "other-document", [&](Scene& s) {
    Caveat c = s.world.caveat(narrower());
    c.document = sha256("another");
    s.offer.caveats = {sure(c.sign(key_of("home/node-1"))).encode()};
  });
  add(out, "caveats-in-another-order", "broken-caveats", [&](Scene& s) {
    s.world.narrow(narrower());
    s.world.narrow(narrower());
    s.refresh();
    std::swap(s.offer.caveats[0], s.offer.caveats[1]);
  });
  add(out, "caveat-taken-away", "caveats-removed", [&](Scene& s) {
    s.world.narrow(narrower());
    s.world.hop("home/node-2");
    s.refresh();
    s.question.destination = "home/node-1";
    s.offer.caveats.clear();
  });
  add(out, "seventeen-caveats", "too-many", [&](Scene& s) {
    for (int i = 0; i < 17; ++i) s.offer.caveats.emplace_back("x");
  });
}

void add_heads(std::vector<Case>& out) {
  add(out, "head-of-a-log-that-nobody-knows", "unknown-log",
      [](Scene& s) { s.head([](Head& h) { h.log = "elsewhere"; }); });
  add(out, "head-signed-by-another", "unknown-key", [](Scene& s) { s.head([](Head&) {}, "home/node-1"); });
  add(out, "head-forged", "bad-signature", [](Scene& s) {
    Envelope e = sure(Envelope::decode(s.offer.head, kHeadType));
    e.payload.replace(e.payload.find("\"sequence\":2"), 12, "\"sequence\":1");
    s.offer.head = e.encode();
  });
  add(out, "head-of-another-document", "other-document",
      [](Scene& s) { s.head([](Head& h) { h.document = sha256("another"); }); });
  add(out, "head-too-old", "stale-head", [](Scene& s) { s.head([](Head& h) { h.time = kNow - 3600; }); });
  add(out, "head-of-the-future", "time-backwards", [](Scene& s) { s.head([](Head& h) { h.time = kNow + 3600; }); });
  add(out, "rolled-back-to-what-the-node-has-seen-passed", "rolled-back",
      [](Scene& s) { s.question.known = Known{3, 4, sha256("entry 3")}; });
  add(out, "rolled-back-to-an-older-epoch", "rolled-back",
      [](Scene& s) { s.question.known = Known{2, 9, s.world.state.head.entry}; });
  add(out, "cloned-beside-what-the-node-has-seen", "cloned",
      [](Scene& s) { s.question.known = Known{2, 3, sha256("another entry 2")}; });
  add(out, "known-already-and-the-same", "ok",
      [](Scene& s) { s.question.known = Known{2, 3, s.world.state.head.entry}; });
  add(out, "claims-the-unit-of-another", "not-the-holder", [](Scene& s) { s.question.source = "home/node-3"; });
  add(out, "last-entry-missing", "truncated", [](Scene& s) { s.offer.last.clear(); });
  add(out, "last-entry-is-an-older-one", "truncated",
      [](Scene& s) { s.offer.last = s.world.entries[0].envelope.encode(); });
  add(out, "last-entry-that-the-log-has-not", "unlogged",
      [](Scene& s) { s.offer.last = World::cosigned(s.world.next("home/node-2")).encode(); });
  add(out, "last-entry-is-another", "cloned", [](Scene& s) {
    Entry e = s.world.entries[1].entry;
    e.state = sha256("another state");
    s.offer.last = World::cosigned(e).encode();
  });
  add(out, "last-entry-of-another-document", "other-document", [](Scene& s) {
    Entry e = s.world.entries[1].entry;
    e.document = sha256("another");
    s.offer.last = World::cosigned(e).encode();
  });
  add(out, "last-entry-signed-once", "signature-count",
      [](Scene& s) { s.offer.last = sure(s.world.entries[1].entry.sign(key_of("home/node-2"))).encode(); });
  add(out, "last-entry-with-a-forged-cosignature", "bad-signature", [](Scene& s) {
    Envelope e = s.world.entries[1].envelope;
    e.signatures[1].signature[0] ^= 1;
    s.offer.last = e.encode();
  });
  add(out, "last-entry-cosigned-by-another", "unknown-key", [](Scene& s) {
    Envelope e = s.world.entries[1].envelope;
    e.signatures.pop_back();
    e.sign(key_of("home/node-3"));
    s.offer.last = e.encode();
  });
  add(out, "last-entry-of-a-node-whose-key-is-gone", "unknown-node",
      [](Scene& s) { s.world.trust.nodes.erase("home/node-2"); });
  add(
      out, "head-without-entries-that-names-one", "broken-link",
      [](Scene& s) {
        s.head([](Head& h) { h.entry = sha256("x"); });
        s.offer.last.clear();
      },
      wide_grants(), 0);
  add(out, "restored-elsewhere-since", "ok", [](Scene& s) {
    s.question.source = "home/node-3";
    s.head([](Head& h) {
      h.holder = "home/node-3";
      h.epoch += 1;
    });
  });
  add(out, "moved-elsewhere-without-an-epoch", "not-the-holder", [](Scene& s) {
    s.question.source = "home/node-3";
    s.head([](Head& h) { h.holder = "home/node-3"; });
  });
}

/// The entry that arrives with the state.
void accept(std::vector<Case>& out, std::string name, std::string expected, const std::function<void(Entry&)>& spoil,
            const std::function<void(Json&, const Scene&)>& after = {}) {
  const Scene scene;
  Entry e = scene.world.next("home/node-2");
  const Digest state = e.state;
  const std::string nonce = e.nonce;
  const uint64_t epoch = e.epoch;
  spoil(e);
  Json json = scene.json();
  json["entry"] = sure(e.sign(key_of("home/node-1"))).encode();
  json["epoch"] = epoch;
  json["state"] = state.hex();
  json["nonce"] = nonce;
  if (after) after(json, scene);
  out.push_back({std::move(name), std::move(json), std::move(expected)});
}

void add_arrivals(std::vector<Case>& out) {
  accept(out, "accept-good", "ok", [](Entry&) {});
  accept(out, "state-altered", "altered-state", [](Entry& e) { e.state = sha256("another state"); });
  accept(out, "nonce-of-another-question", "wrong-nonce", [](Entry& e) { e.nonce = id_of("another"); });
  accept(out, "for-another-destination", "other-destination", [](Entry& e) { e.destination = "home/node-3"; });
  accept(out, "by-another-source", "not-the-holder", [](Entry& e) { e.source = "home/node-3"; });
  accept(out, "with-a-gap-before-it", "removed", [](Entry& e) { e.sequence += 1; });
  accept(out, "in-the-place-of-the-last", "cloned", [](Entry& e) { e.sequence -= 1; });
  accept(out, "in-the-place-of-an-older-one", "rolled-back", [](Entry& e) { e.sequence -= 2; });
  accept(out, "behind-another-entry", "broken-link", [](Entry& e) { e.previous = sha256("another"); });
  accept(out, "of-an-older-epoch", "rolled-back", [](Entry& e) { e.epoch -= 1; });
  accept(out, "of-an-epoch-that-the-move-does-not-give", "other-epoch", [](Entry& e) { e.epoch += 1; });
  accept(out, "under-another-authority", "caveats-removed", [](Entry& e) { e.authority = sha256("another"); });
  accept(out, "of-yesterday", "time-backwards", [](Entry& e) { e.time -= 3600; });
  accept(out, "of-tomorrow", "time-backwards", [](Entry& e) { e.time += 3600; });
  const auto by_source = [](Json& j, const Scene& s, Grants grants, const std::string& key = "home/node-1") {
    const Caveat c = s.world.caveat(std::move(grants));
    const Envelope caveat = sure(c.sign(key_of(key)));
    Entry e = s.world.next("home/node-2");
    e.authority = caveat.digest();
    j["new_caveats"] = {caveat.encode()};
    j["entry"] = sure(e.sign(key_of("home/node-1"))).encode();
  };
  const auto narrower = with([](Grants& g) { g.handovers = 5; });
  accept(
      out, "with-a-caveat-of-the-source", "ok", [](Entry&) {},
      [&](Json& j, const Scene& s) { by_source(j, s, narrower); });
  accept(
      out, "with-a-wider-caveat-of-the-source", "widened", [](Entry&) {},
      [&](Json& j, const Scene& s) { by_source(j, s, with([](Grants& g) { g.handovers = 1001; })); });
  accept(
      out, "with-a-caveat-that-another-signed", "unknown-key", [](Entry&) {},
      [&](Json& j, const Scene& s) { by_source(j, s, narrower, "home/node-3"); });
  accept(
      out, "with-a-caveat-that-shuts-the-destination-out", "forbidden-node", [](Entry&) {},
      [&](Json& j, const Scene& s) { by_source(j, s, with([](Grants& g) { g.nodes.untrusted = {"home/node-2"}; })); });
  accept(
      out, "without-the-caveat-that-the-entry-speaks-of", "caveats-removed", [](Entry&) {},
      [&](Json& j, const Scene& s) {
        by_source(j, s, narrower);
        j.erase("new_caveats");
      });
  accept(out, "sequence-zero", "bad-number", [](Entry& e) { e.sequence = 0; });
  accept(
      out, "the-last-one-again", "signature-count", [](Entry&) {},
      [](Json& j, const Scene& s) { j["entry"] = s.world.entries[1].envelope.encode(); });
  accept(
      out, "the-last-one-again-signed-once", "replayed", [](Entry&) {},
      [](Json& j, const Scene& s) {
        j["entry"] = sure(s.world.entries[1].entry.sign(key_of("home/node-2"))).encode();
      });
  accept(
      out, "signed-by-another-node", "unknown-key", [](Entry&) {},
      [](Json& j, const Scene& s) {
        j["entry"] = sure(s.world.next("home/node-2").sign(key_of("home/node-3"))).encode();
      });
}

}  // namespace

std::vector<Case> admission_cases() {
  std::vector<Case> out;
  add_subjects(out);
  add_places(out);
  add_caveats(out);
  add_heads(out);
  add_arrivals(out);
  return out;
}

}  // namespace godwit::delegation::vectors
