#include "delegation/document.h"

#include <gtest/gtest.h>

#include "delegation/json.h"
#include "delegation/testing.h"

namespace godwit::delegation {
namespace {

using testing::document_of;
using testing::key_of;
using testing::sure;
using testing::wide_grants;

std::string code(const auto& checked) { return checked ? "ok" : std::string(checked.error().code()); }

TEST(Json, has_one_form_for_each_content) {
  EXPECT_EQ(code(parse_canonical(R"({"a":1,"b":["x",{}]})", 100)), "ok");
  const std::pair<const char*, const char*> bad[] = {
      {R"({"b":1,"a":2})", "not-canonical"},
      {R"({"a": 1})", "not-canonical"},
      {R"({"a":"\u0041"})", "not-canonical"},
      {R"({"a":"\/"})", "not-canonical"},
      {"{\"a\":1}\n", "not-canonical"},
      {R"({"a":1,"a":1})", "duplicate-key"},
      {R"({"a":-1})", "bad-number"},
      {R"({"a":-0})", "bad-number"},
      {R"({"a":1.0})", "bad-number"},
      {R"({"a":1e2})", "bad-number"},
      {R"({"a":01})", "not-json"},
      {R"({"a":9007199254740992})", "bad-number"},
      {R"({"a":99999999999999999999})", "bad-number"},
      {R"({"a":null})", "wrong-type"},
      {R"({"a":true})", "wrong-type"},
      {R"([[[[[]]]]])", "too-deep"},
      {R"({"a":1}x)", "not-json"},
      {"{\"a\":\"\xff\"}", "not-json"},
      {"", "not-json"},
      {"{\"a\":\"\x01\"}", "not-json"},
      {"\xef\xbb\xbf{}", "not-canonical"},
      {R"({"a":"\ud800"})", "not-json"},
      {R"({/**/})", "not-json"},
  };
  for (const auto& [text, expected] : bad) EXPECT_EQ(code(parse_canonical(text, 100)), expected) << text;
  EXPECT_EQ(code(parse_canonical("[0]", 2)), "too-large");
  EXPECT_EQ(code(parse_canonical(std::string(100000, '['), 100000)), "too-deep");
}

TEST(Table, has_a_row_for_each_reason) {
  std::set<std::string_view> codes;
  for (const Row& row : refusals()) {
    EXPECT_TRUE(codes.insert(row.code).second) << row.code;
    EXPECT_EQ(row_of(row.code), &row_of(row.why));
    EXPECT_FALSE(row.what.empty());
  }
  EXPECT_EQ(row_of("nonsense"), nullptr);
}

TEST(Document, comes_back_as_it_was_signed) {
  Grants g = wide_grants();
  g.read = {"/data/réf", "/usr"};
  g.connect = {"10.0.0.0/8 443-443", "2001:db8::/32 0-65535"};
  g.nodes = {{"home/node-1", "home/node-2"}, {"home/node-3"}};
  g.conditions = {"memory_bytes <= 1073741824", "processes >= 1"};
  const Document d = document_of("user", g);
  const auto back = read_document(sure(d.sign(key_of("user"))).encode());
  ASSERT_TRUE(back) << back.error().error().text;
  EXPECT_EQ(back->document, d);
}

TEST(Document, any_bit_that_is_turned_is_noticed) {
  const std::string text = sure(document_of("user", wide_grants()).sign(key_of("user"))).encode();
  for (size_t i = 0; i < text.size(); i += 3) {
    std::string bad = text;
    bad[i] = static_cast<char>(bad[i] ^ 1);
    EXPECT_FALSE(read_document(bad)) << i;
  }
  for (size_t i = 0; i < text.size(); i += 7) EXPECT_FALSE(read_document(text.substr(0, i))) << i;
}

TEST(Document, a_signature_is_good_for_its_kind_of_statement_only) {
  const Envelope e = sure(document_of("user", wide_grants()).sign(key_of("user")));
  Envelope other = e;
  other.type = kCaveatType;
  EXPECT_EQ(code(other.check(0, key_of("user").public_key())), "bad-signature");
  EXPECT_NE(other.digest(), e.digest());
}

TEST(Document, what_has_no_form_is_not_signed) {
  Grants g = wide_grants();
  g.read = {"/b", "/a"};
  EXPECT_EQ(code(document_of("user", g).sign(key_of("user"))), "not-sorted");
  EXPECT_EQ(code(document_of("user", wide_grants()).sign(key_of("other"))), "unknown-key");
}

TEST(Network, has_one_form) {
  for (const char* text : {"0.0.0.0/0 0-65535", "10.1.2.3/32 80-443", "::/0 0-0", "fe80::1/128 1-2"}) {
    const auto n = Network::parse(text);
    ASSERT_TRUE(n) << text;
    EXPECT_EQ(n->text(), text);
  }
  for (const char* text : {"", "10.0.0.1/8 0-1", "10.0.0.0/33 0-1", "10.0.0.0/08 0-1", "10.0.0.0/8 2-1",
                           "10.0.0.0/8 0-65536", "10.0.0.0/8", "10.0.0.0/8 0-1 ", "010.0.0.0/8 0-1", "FE80::/16 0-1",
                           "fe80:0::/16 0-1", "::1/127 0-1", "10.0.0.0 0-1", "1/2-3 4"})
    EXPECT_EQ(code(Network::parse(text)), "bad-address") << text;
  EXPECT_TRUE(sure(Network::parse("10.0.0.0/8 0-100")).contains(sure(Network::parse("10.2.0.0/16 7-8"))));
  EXPECT_FALSE(sure(Network::parse("10.0.0.0/8 0-100")).contains(sure(Network::parse("11.0.0.0/16 7-8"))));
  EXPECT_FALSE(sure(Network::parse("10.0.0.0/8 0-100")).contains(sure(Network::parse("10.2.0.0/16 7-101"))));
  EXPECT_FALSE(sure(Network::parse("0.0.0.0/0 0-100")).contains(sure(Network::parse("::/0 0-100"))));
}

// Each field by itself: narrower is allowed, wider is not, and what is the same is.
TEST(Grants, may_be_narrowed_and_never_widened) {
  Grants outer = wide_grants();
  outer.operations = {"checkpoint", "migrate"};
  outer.read = {"/data", "/usr"};
  outer.write = {"/data/out"};
  outer.connect = {"10.0.0.0/8 443-443"};
  outer.listen = {};
  outer.nodes = {{"home/node-1", "home/node-2"}, {"home/node-9"}};
  outer.sites = {{"*"}, {"evil"}};
  outer.limits = {100, 1u << 30, 10};
  outer.conditions = {"processes <= 5"};
  outer.handovers = 10;
  EXPECT_EQ(code(outer.check_narrower(outer)), "ok");
  const std::pair<void (*)(Grants&), const char*> steps[] = {
      {[](Grants& g) { g.operations = {"migrate"}; }, "ok"},
      {[](Grants& g) { g.operations = {"migrate", "run"}; }, "widened"},
      {[](Grants& g) { g.read = {"/data/in"}; }, "ok"},
      {[](Grants& g) { g.read = {"/database"}; }, "widened"},
      {[](Grants& g) { g.read = {"/"}; }, "widened"},
      {[](Grants& g) { g.write = {}; }, "ok"},
      {[](Grants& g) { g.write = {"/data"}; }, "widened"},
      {[](Grants& g) { g.connect = {"10.1.0.0/16 443-443"}; }, "ok"},
      {[](Grants& g) { g.connect = {"10.0.0.0/7 443-443"}; }, "widened"},
      {[](Grants& g) { g.listen = {"127.0.0.0/8 1-2"}; }, "widened"},
      {[](Grants& g) { g.nodes.trusted = {"home/node-1"}; }, "ok"},
      {[](Grants& g) { g.nodes.trusted = {"*"}; }, "widened"},
      {[](Grants& g) { g.nodes.untrusted = {}; }, "widened"},
      {[](Grants& g) { g.nodes.untrusted = {"home/node-2", "home/node-9"}; }, "ok"},
      {[](Grants& g) { g.sites.trusted = {"home"}; }, "ok"},
      {[](Grants& g) { g.sites.untrusted = {}; }, "widened"},
      {[](Grants& g) { g.limits.memory_bytes = 1; }, "ok"},
      {[](Grants& g) { g.limits.memory_bytes = 0; }, "widened"},
      {[](Grants& g) { g.limits.processes = 11; }, "widened"},
      {[](Grants& g) { g.conditions = {"memory_bytes <= 5", "processes <= 5"}; }, "ok"},
      {[](Grants& g) { g.conditions = {"processes <= 4"}; }, "widened"},  // strict: rules are added, never rewritten
      {[](Grants& g) { g.handovers = 11; }, "widened"},
      {[](Grants& g) { g.not_after += 1; }, "widened"},
      {[](Grants& g) { g.not_before -= 1; }, "widened"},
      {[](Grants& g) { g.not_before += 1; }, "ok"},
  };
  int number = 0;
  for (const auto& [change, expected] : steps) {
    Grants inner = outer;
    change(inner);
    EXPECT_EQ(code(inner.check_form()), "ok") << number;
    EXPECT_EQ(code(outer.check_narrower(inner)), expected) << number;
    ++number;
  }
}

TEST(Grants, conditions_and_limits_speak_of_what_is_known) {
  Grants g = wide_grants();
  g.conditions = {"memory_bytes <= 100", "processes >= 2"};
  EXPECT_EQ(code(g.check_facts({{"memory_bytes", 100}, {"processes", 2}})), "ok");
  EXPECT_EQ(code(g.check_facts({{"memory_bytes", 101}, {"processes", 2}})), "unmet-condition");
  EXPECT_EQ(code(g.check_facts({{"memory_bytes", 1}, {"processes", 1}})), "unmet-condition");
  EXPECT_EQ(code(g.check_facts({{"memory_bytes", 1}})), "unknown-fact");
  g.conditions = {};
  g.limits.processes = 4;
  EXPECT_EQ(code(g.check_facts({{"processes", 5}})), "too-few-resources");
  EXPECT_EQ(code(g.check_facts({})), "ok");
  for (const char* text :
       {"", "memory_bytes", "memory_bytes < 5", "memory_bytes <= ", "memory_bytes <= 05", "memory_bytes <= -1",
        "colour <= 5", "memory_bytes <= 9007199254740992", "memory_bytes  <= 5"}) {
    g.conditions = {text};
    EXPECT_EQ(code(g.check_form()), "bad-word") << text;
  }
}

TEST(Revocation, is_the_issuers_alone) {
  const SignedDocument d = sure(read_document(sure(document_of("user", wide_grants()).sign(key_of("user"))).encode()));
  const Revocation r{d.digest, d.document.revocation, testing::kNow};
  EXPECT_EQ(code(read_revocation(sure(r.sign(key_of("user"))).encode(), d)), "ok");
  EXPECT_EQ(code(read_revocation(sure(r.sign(key_of("other"))).encode(), d)), "unknown-key");
  const Revocation other{sha256("x"), d.document.revocation, testing::kNow};
  EXPECT_EQ(code(read_revocation(sure(other.sign(key_of("user"))).encode(), d)), "other-document");
}

}  // namespace
}  // namespace godwit::delegation
