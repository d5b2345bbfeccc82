// Vectors of documents: what is no document, and why.
#include <fmt/format.h>

#include "delegation/testing.h"
#include "delegation/text.h"
#include "delegation/vectors.h"

namespace godwit::delegation::vectors {
namespace {

using testing::document_of;
using testing::key_of;
using testing::sure;
using testing::wide_grants;

Envelope good() { return sure(document_of("user", wide_grants()).sign(key_of("user"))); }

/// Bytes of any kind, properly signed: what a user with a broken program, or an enemy among the users, could make.
std::string signed_text(std::string payload, std::string_view type = kDocumentType) {
  Envelope e{std::string(type), std::move(payload), {}};
  e.sign(key_of("user"));
  return e.encode();
}
/// The good payload after a change.
std::string changed(void (*change)(Json&)) {
  Json payload = Json::parse(good().payload);
  change(payload);
  return signed_text(payload.dump());
}
/// The good payload's text with one part replaced.
std::string replaced(std::string_view from, std::string_view to) {
  std::string payload = good().payload;
  payload.replace(payload.find(from), from.size(), to);
  return signed_text(payload);
}
/// The same for the envelope's text.
std::string outside(std::string_view from, std::string_view to) {
  std::string text = good().encode();
  text.replace(text.find(from), from.size(), to);
  return text;
}

Case make(std::string name, std::string document, std::string expected) {
  return {std::move(name), {{"check", "document"}, {"document", std::move(document)}}, std::move(expected)};
}

std::string deep(size_t levels) { return std::string(levels, '[') + std::string(levels, ']'); }

void add_envelopes(std::vector<Case>& out) {
  out.push_back(make("good", good().encode(), "ok"));
  out.push_back(make("empty", "", "not-json"));
  out.push_back(make("envelope-is-an-array", "[]", "wrong-type"));
  out.push_back(make("envelope-with-a-blank", outside(",", ", "), "not-canonical"));
  out.push_back(make("envelope-with-a-new-line", good().encode() + "\n", "not-canonical"));
  out.push_back(make("bytes-behind-the-envelope", good().encode() + "{}", "not-json"));
  out.push_back(make("envelope-with-two-payloads", outside("{\"payload\"", "{\"payload\":\"e30=\",\"payload\""),
                     "duplicate-key"));
  out.push_back(
      make("envelope-with-another-field", outside("{\"payload\"", "{\"about\":\"x\",\"payload\""), "unknown-field"));
  out.push_back(make("envelope-without-signatures",
                     R"({"payload":"e30=","payloadType":"application/vnd.godwit.delegation.v1+json"})",
                     "missing-field"));
  out.push_back(make(
      "no-signature",
      [] {
        Envelope e = good();
        e.signatures.clear();
        return e.encode();
      }(),
      "signature-count"));
  out.push_back(make(
      "two-signatures",
      [] {
        Envelope e = good();
        e.sign(key_of("other"));
        return e.encode();
      }(),
      "signature-count"));
  out.push_back(make(
      "three-signatures",
      [] {
        Envelope e = good();
        e.sign(key_of("user"));
        e.sign(key_of("user"));
        return e.encode();
      }(),
      "signature-count"));
  out.push_back(make("another-kind-of-statement", signed_text(good().payload, kCaveatType), "wrong-payload"));
  out.push_back(make("a-kind-that-is-none", signed_text(good().payload, "application/json"), "wrong-payload"));
  out.push_back(make("payload-without-padding", outside("\",\"payloadType", "A\",\"payloadType"), "bad-base64"));
  out.push_back(make("payload-url-safe",
                     R"({"payload":"-_-_","payloadType":"application/vnd.godwit.delegation.v1+json","signatures":[]})",
                     "bad-base64"));
  out.push_back(make(
      "signature-too-short",
      [] {
        Json j = Json::parse(good().encode());
        j["signatures"][0]["sig"] = "AAAA";
        return j.dump();
      }(),
      "bad-base64"));
  out.push_back(make(
      "signature-changed",
      [] {
        Envelope e = good();
        e.signatures[0].signature[5] ^= 1;
        return e.encode();
      }(),
      "bad-signature"));
  out.push_back(make(
      "signature-of-another-user",
      [] {
        Envelope e = good();
        e.signatures[0].signature = key_of("other").sign(e.pae());
        return e.encode();
      }(),
      "bad-signature"));
  out.push_back(make(
      "signature-over-the-payload-alone",
      [] {
        Envelope e = good();
        e.signatures[0].signature = key_of("user").sign(e.payload);
        return e.encode();
      }(),
      "bad-signature"));
  out.push_back(make(
      "signed-by-another-than-the-issuer",
      [] {
        Envelope e = good();
        e.signatures.clear();
        e.sign(key_of("other"));
        return e.encode();
      }(),
      "unknown-key"));
  out.push_back(make(
      "key-id-in-capitals",
      [] {
        Json j = Json::parse(good().encode());
        j["signatures"][0]["keyid"] = std::string(64, 'A');
        return j.dump();
      }(),
      "bad-digest"));
  out.push_back(make(
      "payload-changed",
      [] {
        Envelope e = good();
        e.payload = document_of("user",
                                [] {
                                  Grants g = wide_grants();
                                  g.handovers = 2000;
                                  return g;
                                }())
                        .sign(key_of("user"))
                        ->payload;
        return e.encode();
      }(),
      "bad-signature"));
  out.push_back(make("envelope-too-large", std::string(kMaxEnvelope + 1, 'A'), "too-large"));
}

void add_payloads(std::vector<Case>& out) {
  out.push_back(make("payload-is-no-json", signed_text("hello"), "not-json"));
  out.push_back(make("payload-is-a-number", signed_text("1"), "wrong-type"));
  out.push_back(make("payload-with-a-byte-order-mark", signed_text("\xef\xbb\xbf" + good().payload), "not-canonical"));
  out.push_back(make("payload-not-utf-8", replaced("\"*\"", "\"\xff\""), "not-json"));
  out.push_back(make("payload-with-keys-in-another-order", signed_text([] {
                       const std::string p = good().payload;
                       const std::string version = ",\"version\":1";
                       std::string q = p;
                       q.erase(q.find(version), version.size());
                       return "{\"version\":1," + q.substr(1);
                     }()),
                     "not-canonical"));
  out.push_back(make("payload-with-an-escape-too-many", replaced("\"/\"", "\"\\/\""), "not-canonical"));
  out.push_back(
      make("payload-with-a-key-twice", replaced("\"version\":1", "\"version\":1,\"version\":2"), "duplicate-key"));
  out.push_back(make("grants-with-a-key-twice", replaced("\"handovers\":1000", "\"handovers\":1000,\"handovers\":9000"),
                     "duplicate-key"));
  out.push_back(make("payload-too-deep", replaced("\"version\":1", "\"version\":" + deep(5)), "too-deep"));
  out.push_back(make("payload-very-deep", signed_text(deep(40000)), "too-deep"));
  out.push_back(make("version-2", changed([](Json& j) { j["version"] = 2; }), "wrong-version"));
  out.push_back(make("version-as-text", changed([](Json& j) { j["version"] = "1"; }), "wrong-type"));
  out.push_back(make("without-an-instance", changed([](Json& j) { j.erase("instance"); }), "missing-field"));
  out.push_back(make("with-a-field-of-tomorrow", changed([](Json& j) { j["grants"]["gpus"] = 1; }), "unknown-field"));
  out.push_back(make("handovers-missing", changed([](Json& j) { j["grants"].erase("handovers"); }), "missing-field"));
  out.push_back(make("handovers-negative", replaced("\"handovers\":1000", "\"handovers\":-1"), "bad-number"));
  out.push_back(make("handovers-a-fraction", replaced("\"handovers\":1000", "\"handovers\":1.5"), "bad-number"));
  out.push_back(make("handovers-with-an-exponent", replaced("\"handovers\":1000", "\"handovers\":1e3"), "bad-number"));
  out.push_back(
      make("handovers-beyond-2-to-53", replaced("\"handovers\":1000", "\"handovers\":9007199254740992"), "bad-number"));
  out.push_back(make("handovers-null", replaced("\"handovers\":1000", "\"handovers\":null"), "wrong-type"));
  out.push_back(
      make("instance-in-capitals", changed([](Json& j) { j["instance"] = std::string(32, 'F'); }), "bad-digest"));
  out.push_back(make("program-too-short", changed([](Json& j) { j["program"] = "00"; }), "bad-digest"));
  out.push_back(make("issuer-is-no-key", changed([](Json& j) { j["issuer"] = "AAAA"; }), "bad-base64"));
}

void add_grants(std::vector<Case>& out) {
  out.push_back(
      make("an-operation-that-is-none", changed([](Json& j) { j["grants"]["operations"] = {"fly"}; }), "bad-word"));
  out.push_back(make("operations-not-sorted", changed([](Json& j) { j["grants"]["operations"] = {"run", "migrate"}; }),
                     "not-sorted"));
  out.push_back(
      make("operations-twice", changed([](Json& j) { j["grants"]["operations"] = {"run", "run"}; }), "not-sorted"));
  out.push_back(
      make("operations-not-a-list", changed([](Json& j) { j["grants"]["operations"] = "run"; }), "wrong-type"));
  out.push_back(
      make("a-path-that-climbs", changed([](Json& j) { j["grants"]["read"] = {"/data/../etc"}; }), "bad-path"));
  out.push_back(make("a-path-that-is-relative", changed([](Json& j) { j["grants"]["read"] = {"data"}; }), "bad-path"));
  out.push_back(
      make("a-path-with-two-slashes", changed([](Json& j) { j["grants"]["write"] = {"/data//x"}; }), "bad-path"));
  out.push_back(
      make("a-path-with-a-slash-behind", changed([](Json& j) { j["grants"]["write"] = {"/data/"}; }), "bad-path"));
  out.push_back(make("a-path-with-a-new-line", changed([](Json& j) { j["grants"]["write"] = {"/a\nb"}; }), "bad-path"));
  out.push_back(make("a-path-too-long", changed([](Json& j) { j["grants"]["read"] = {"/" + std::string(1100, 'a')}; }),
                     "too-large"));
  out.push_back(make("a-network-with-host-bits",
                     changed([](Json& j) { j["grants"]["connect"] = {"10.0.0.1/8 0-65535"}; }), "bad-address"));
  out.push_back(make("a-network-in-another-spelling",
                     changed([](Json& j) { j["grants"]["connect"] = {"2001:DB8::/32 0-65535"}; }), "bad-address"));
  out.push_back(
      make("ports-backwards", changed([](Json& j) { j["grants"]["listen"] = {"0.0.0.0/0 9-8"}; }), "bad-address"));
  out.push_back(make("a-node-without-a-site", changed([](Json& j) { j["grants"]["nodes"]["trusted"] = {"node-1"}; }),
                     "bad-name"));
  out.push_back(make("all-nodes-and-one",
                     changed([](Json& j) { j["grants"]["nodes"]["trusted"] = {"*", "home/node-1"}; }), "bad-name"));
  out.push_back(
      make("all-sites-untrusted", changed([](Json& j) { j["grants"]["sites"]["untrusted"] = {"*"}; }), "bad-name"));
  out.push_back(make("a-condition-on-nothing", changed([](Json& j) { j["grants"]["conditions"] = {"colour <= 5"}; }),
                     "bad-word"));
  out.push_back(make("a-condition-with-a-zero-in-front",
                     changed([](Json& j) { j["grants"]["conditions"] = {"processes <= 05"}; }), "bad-word"));
  out.push_back(make("sixty-five-paths", changed([](Json& j) {
                       std::vector<std::string> paths;
                       for (int i = 100; i < 165; ++i) paths.push_back("/" + std::to_string(i));
                       j["grants"]["read"] = paths;
                     }),
                     "too-many"));
  out.push_back(make("ends-before-it-begins", changed([](Json& j) { j["grants"]["not_after"] = 1; }), "bad-times"));
  out.push_back(make("good-with-every-rule",
                     sure(document_of("user",
                                      [] {
                                        Grants g = wide_grants();
                                        g.operations = {"migrate", "run"};
                                        g.read = {"/data/réf", "/usr"};
                                        g.write = {"/data/out"};
                                        g.connect = {"10.0.0.0/8 443-443", "2001:db8::/32 0-65535"};
                                        g.listen = {};
                                        g.nodes = {{"home/node-1", "home/node-2"}, {"home/node-3"}};
                                        g.sites = {{"home"}, {"away"}};
                                        g.limits = {150, 1u << 30, 32};
                                        g.conditions = {"memory_bytes <= 1073741824", "processes >= 1"};
                                        g.handovers = 3;
                                        return g;
                                      }())
                              .sign(key_of("user")))
                         .encode(),
                     "ok"));
}

void add_revocations(std::vector<Case>& out) {
  const SignedDocument d = sure(read_document(good().encode()));
  const auto add = [&](std::string name, const Revocation& r, const char* who, std::string expected) {
    out.push_back({std::move(name),
                   {{"check", "revocation"},
                    {"document", d.envelope.encode()},
                    {"revocation", sure(r.sign(key_of(who))).encode()}},
                   std::move(expected)});
  };
  const Revocation r{d.digest, d.document.revocation, testing::kNow};
  add("revocation-good", r, "user", "ok");
  add("revocation-by-another", r, "other", "unknown-key");
  add("revocation-of-another-document", Revocation{sha256("another"), d.document.revocation, testing::kNow}, "user",
      "other-document");
}

}  // namespace

std::vector<Case> document_cases() {
  std::vector<Case> out;
  add_envelopes(out);
  add_payloads(out);
  add_grants(out);
  add_revocations(out);
  return out;
}

}  // namespace godwit::delegation::vectors
