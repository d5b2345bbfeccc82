// Vectors of the log, which appends one entry, and of the audit of a whole list.
#include "delegation/testing.h"
#include "delegation/vectors.h"
#include "delegation/vectors_json.h"

namespace godwit::delegation::vectors {
namespace {

using testing::key_of;
using testing::kNow;
using testing::sure;
using testing::wide_grants;
using testing::World;

/// A unit that was handed over five times, with a caveat after the second.
World world() {
  World w;
  w.start();
  w.hops(2);
  Grants g = wide_grants();
  g.handovers = 100;
  w.narrow(g);
  w.hops(3);
  return w;
}

/// The list's lines, to be spoilt.
using Lines = std::vector<std::string>;
void audit(std::vector<Case>& out, std::string name, std::string expected,
           const std::function<void(Lines&, World&)>& spoil, bool with_head = true) {
  World w = world();
  Lines lines;
  for (const auto& e : w.entries) lines.push_back(e.envelope.encode());
  Json json = {{"check", "audit"}, {"document", w.document}};
  if (with_head) json["head"] = w.head();
  spoil(lines, w);
  json["caveats"] = w.caveats;
  json["trace"] = lines;
  json["trust"] = to_json(w.trust);
  out.push_back({std::move(name), std::move(json), std::move(expected)});
}

/// Entry `index` after a change, signed anew by both of its ends.
std::string forged(const World& w, size_t index, const std::function<void(Entry&)>& change) {
  Entry e = w.entries[index].entry;
  change(e);
  return World::cosigned(e).encode();
}

void add_audits(std::vector<Case>& out) {
  audit(out, "audit-good", "ok", [](Lines&, World&) {});
  audit(out, "audit-good-without-a-head", "ok", [](Lines&, World&) {}, false);
  audit(out, "audit-entry-removed", "removed", [](Lines& l, World&) { l.erase(l.begin() + 2); });
  audit(out, "audit-first-entry-removed", "removed", [](Lines& l, World&) { l.erase(l.begin()); });
  audit(out, "audit-entries-reordered", "reordered", [](Lines& l, World&) { std::swap(l[1], l[3]); });
  audit(out, "audit-entry-replayed", "replayed", [](Lines& l, World&) { l.push_back(l[2]); });
  audit(out, "audit-entry-cloned", "cloned",
        [](Lines& l, World& w) { l.push_back(forged(w, 2, [](Entry& e) { e.state = sha256("x"); })); });
  audit(out, "audit-truncated", "truncated", [](Lines& l, World&) { l.pop_back(); });
  audit(out, "audit-empty", "truncated", [](Lines& l, World&) { l.clear(); });
  audit(out, "audit-longer-than-the-log", "unlogged",
        [](Lines& l, World& w) { l.push_back(World::cosigned(w.next("home/node-1")).encode()); });
  audit(out, "audit-last-entry-is-another", "cloned",
        [](Lines& l, World& w) { l[4] = forged(w, 4, [](Entry& e) { e.state = sha256("x"); }); });
  audit(out, "audit-state-altered-in-the-middle", "broken-link",
        [](Lines& l, World& w) { l[1] = forged(w, 1, [](Entry& e) { e.state = sha256("x"); }); });
  audit(out, "audit-signature-forged", "bad-signature", [](Lines& l, World& w) {
    Envelope e = w.entries[3].envelope;
    e.signatures[0].signature[7] ^= 1;
    l[3] = e.encode();
  });
  audit(out, "audit-signatures-swapped", "unknown-key", [](Lines& l, World& w) {
    Envelope e = w.entries[3].envelope;
    std::swap(e.signatures[0], e.signatures[1]);
    l[3] = e.encode();
  });
  audit(out, "audit-epoch-backwards", "rolled-back",
        [](Lines& l, World& w) { l[4] = forged(w, 4, [](Entry& e) { e.epoch = 2; }); });
  audit(out, "audit-time-backwards", "time-backwards",
        [](Lines& l, World& w) { l[4] = forged(w, 4, [](Entry& e) { e.time -= 7200; }); });
  audit(out, "audit-entry-of-another-document", "other-document",
        [](Lines& l, World& w) { l[4] = forged(w, 4, [](Entry& e) { e.document = sha256("x"); }); });
  audit(out, "audit-caveat-removed", "caveats-removed", [](Lines&, World& w) { w.caveats.clear(); });
  audit(out, "audit-caveat-undone", "caveats-removed",
        [](Lines& l, World& w) { l[4] = forged(w, 4, [](Entry& e) { e.authority = e.document; }); });
  audit(out, "audit-node-whose-key-is-unknown", "unknown-node",
        [](Lines&, World& w) { w.trust.nodes.erase("home/node-2"); });
  audit(out, "audit-line-with-a-blank", "not-canonical", [](Lines& l, World&) { l[0] += " "; });
  audit(out, "audit-line-is-a-document", "wrong-payload", [](Lines& l, World& w) { l[0] = w.document; });
}

void append(std::vector<Case>& out, std::string name, std::string expected, const std::function<void(Entry&)>& spoil,
            const std::function<void(Json&, World&, const Entry&)>& after = {}) {
  World w = world();
  Entry e = w.next("home/node-1");
  spoil(e);
  Json json = {{"check", "append"},    {"document", w.document},
               {"caveats", w.caveats}, {"new_caveats", Json::array()},
               {"head", w.head()},     {"last_time", w.state.last_time},
               {"now", kNow},          {"entry", World::cosigned(e).encode()}};
  if (after) after(json, w, e);
  json["trust"] = to_json(w.trust);
  out.push_back({std::move(name), std::move(json), std::move(expected)});
}

void add_appends(std::vector<Case>& out) {
  append(out, "append-good", "ok", [](Entry&) {});
  append(
      out, "append-the-same-again", "replayed", [](Entry&) {},
      [](Json& j, World& w, const Entry&) { j["entry"] = w.entries.back().envelope.encode(); });
  append(
      out, "append-an-older-one", "rolled-back", [](Entry&) {},
      [](Json& j, World& w, const Entry&) { j["entry"] = w.entries[1].envelope.encode(); });
  append(out, "append-a-second-destination", "cloned", [](Entry& e) {
    e.sequence -= 1;
    e.destination = "home/node-3";
  });
  append(out, "append-with-a-gap", "removed", [](Entry& e) { e.sequence += 1; });
  append(out, "append-behind-another", "broken-link", [](Entry& e) { e.previous = sha256("x"); });
  append(out, "append-of-a-unit-that-it-has-not", "not-the-holder", [](Entry& e) { e.source = "home/node-3"; });
  append(
      out, "append-with-one-signature", "signature-count", [](Entry&) {},
      [](Json& j, World&, const Entry& e) { j["entry"] = sure(e.sign(key_of(e.source))).encode(); });
  append(
      out, "append-cosigned-by-the-source-twice", "unknown-key", [](Entry&) {},
      [](Json& j, World&, const Entry& e) {
        Envelope twice = sure(e.sign(key_of(e.source)));
        twice.sign(key_of(e.source));
        j["entry"] = twice.encode();
      });
  append(
      out, "append-with-a-forged-signature", "bad-signature", [](Entry&) {},
      [](Json& j, World&, const Entry& e) {
        Envelope bad = World::cosigned(e);
        bad.signatures[1].signature[9] ^= 1;
        j["entry"] = bad.encode();
      });
  append(out, "append-to-an-unknown-node", "unknown-node", [](Entry& e) { e.destination = "home/node-9"; });
  append(out, "append-to-a-site-that-is-not-trusted", "untrusted-site",
         [](Entry& e) { e.destination = "elsewhere/node-1"; });
  append(
      out, "append-after-the-revocation", "revoked", [](Entry&) {},
      [](Json&, World& w, const Entry&) { w.trust.revoked.insert(testing::id_of("revocation")); });
  append(out, "append-after-the-end", "expired", [](Entry& e) { e.time = kNow + 90000; });
  append(out, "append-of-the-future", "time-backwards", [](Entry& e) { e.time = kNow + 3600; });
  append(out, "append-without-the-caveat", "caveats-removed", [](Entry& e) { e.authority = e.document; });
  const auto later = [](Json& j, const World& w, const Entry& e, const std::string& node, uint64_t handovers) {
    Grants g = wide_grants();
    g.handovers = handovers;
    const Caveat c{e.document, w.authority().digest(), node, e.sequence, kNow, g};
    j["later_caveats"] = {sure(c.sign(key_of(node))).encode()};
  };
  append(
      out, "append-with-a-caveat-of-the-destination", "ok", [](Entry&) {},
      [&](Json& j, World& w, const Entry& e) { later(j, w, e, e.destination, 50); });
  append(
      out, "append-with-a-wider-caveat-of-the-destination", "widened", [](Entry&) {},
      [&](Json& j, World& w, const Entry& e) { later(j, w, e, e.destination, 101); });
  append(
      out, "append-with-a-late-caveat-of-the-source", "not-the-holder", [](Entry&) {},
      [&](Json& j, World& w, const Entry& e) { later(j, w, e, e.source, 50); });
  append(
      out, "append-with-a-wider-caveat", "widened", [](Entry&) {},
      [](Json& j, World& w, const Entry&) {
        j["new_caveats"] = {sure(w.caveat(wide_grants()).sign(key_of("home/node-2"))).encode()};
      });
}

}  // namespace

std::vector<Case> trace_cases() {
  std::vector<Case> out;
  add_audits(out);
  add_appends(out);
  return out;
}

}  // namespace godwit::delegation::vectors
