// tests/vectors/delegation: what any implementation must accept and refuse, and by which code.
//
//     GODWIT_REWRITE=1 build/release/bin/delegation_test --gtest_filter='Vectors.*'      # writes the files
#include "delegation/vectors.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <set>

#include "base/io.h"
#include "delegation/testing.h"

namespace godwit::delegation::vectors {
namespace {

const std::string kFolder = GODWIT_SOURCE_DIR "/tests/vectors/delegation";

std::vector<std::string> texts(const Json& input, const char* key) {
  return input.value(key, std::vector<std::string>());
}

Trust trust_of(const Json& json) {
  Trust out;
  out.site = json.at("site");
  for (const std::string key : json.at("users")) out.users.emplace(public_key_of(key)->id(), *public_key_of(key));
  for (const auto& [name, key] : json.at("nodes").items()) out.nodes.emplace(name, *public_key_of(std::string(key)));
  for (const auto& [name, key] : json.at("logs").items()) out.logs.emplace(name, *public_key_of(std::string(key)));
  for (const std::string name : json.at("sites")) out.sites.insert(name);
  for (const std::string id : json.at("revoked")) out.revoked.insert(id);
  return out;
}

Offer offer_of(const Json& json) {
  return {json.at("document"), texts(json, "caveats"), json.value("head", ""), json.value("last", "")};
}

Question question_of(const Json& json) {
  Question q;
  q.operation = json.at("operation");
  q.now = json.at("now");
  q.source = json.at("source");
  q.destination = json.at("destination");
  q.instance = json.value("instance", "");
  if (json.contains("program")) q.program = *digest_of_hex(std::string(json["program"]));
  if (json.contains("arguments")) q.arguments = *digest_of_hex(std::string(json["arguments"]));
  for (const auto& [name, value] : json.at("facts").items()) q.facts[name] = value;
  if (json.contains("known")) {
    const Json& k = json["known"];
    q.known = Known{k.at("sequence"), k.at("epoch"), *digest_of_hex(std::string(k.at("entry")))};
  }
  return q;
}

Checked<void> judge_admit(const Json& in) {
  const Trust trust = trust_of(in.at("trust"));
  TRY(Admission a, admit(offer_of(in.at("offer")), question_of(in.at("question")), trust));
  if (!in.contains("entry")) return {};
  TRY(a, add_caveats(std::move(a), texts(in, "new_caveats"), in.at("question").at("destination"), trust,
                     in.at("question").at("now")));
  const Arrival arrival{in.at("question").at("destination"), in.at("epoch"),
                        *digest_of_hex(std::string(in.at("state"))), in.at("nonce")};
  TRY_DO(accept(a, std::string(in["entry"]), arrival, trust, in.at("question").at("now")));
  return {};
}

Checked<Authority> authority_of(const Json& in) {
  TRY(SignedDocument document, read_document(std::string(in.at("document"))));
  return chain(std::move(document), texts(in, "caveats"));
}

Checked<void> judge_append(const Json& in) {
  LogState state;
  TRY(state.authority, authority_of(in));
  TRY(const SignedHead head, read_head(std::string(in.at("head"))));
  state.head = head.head;
  state.last_time = in.at("last_time");
  TRY(const SignedEntry entry, read_entry(std::string(in.at("entry")), 2));
  const Trust trust = trust_of(in.at("trust"));
  TRY(state, append(std::move(state), texts(in, "new_caveats"), entry, trust, in.at("now")));
  TRY_DO(narrow(std::move(state), texts(in, "later_caveats"), trust, in.at("now")));
  return {};
}

Checked<void> judge_audit(const Json& in) {
  TRY(const Authority authority, authority_of(in));
  std::string text;
  for (const auto& line : texts(in, "trace")) text += line + "\n";
  TRY(const auto entries, read_trace(text));
  std::optional<Head> head;
  if (in.contains("head")) {
    TRY(const SignedHead found, read_head(std::string(in["head"])));
    head = found.head;
  }
  return audit(authority, entries, head, trust_of(in.at("trust")));
}

Checked<void> judge_one(const Json& in) {
  const std::string check = in.at("check");
  if (check == "admit") return judge_admit(in);
  if (check == "append") return judge_append(in);
  if (check == "audit") return judge_audit(in);
  TRY(const SignedDocument document, read_document(std::string(in.at("document"))));
  if (check == "revocation") TRY_DO(read_revocation(std::string(in.at("revocation")), document));
  return {};
}

}  // namespace

std::string judge(const Json& input) {
  const auto judged = judge_one(input);
  return judged ? "ok" : std::string(judged.error().code());
}

const std::vector<Case>& cases() {
  static const std::vector<Case> kAll = [] {
    std::vector<Case> out = document_cases();
    for (auto* more : {admission_cases, trace_cases})
      for (auto& c : more()) out.push_back(std::move(c));
    return out;
  }();
  return kAll;
}

namespace {

std::string file_of(size_t index, const Case& c) { return fmt::format("{}/{:03}_{}", kFolder, index + 1, c.name); }

TEST(Vectors, the_files_are_those_that_are_generated) {
  const auto& all = cases();
  if (std::getenv("GODWIT_REWRITE") != nullptr) {
    std::filesystem::remove_all(kFolder);
    std::filesystem::create_directories(kFolder);
    for (size_t i = 0; i < all.size(); ++i) {
      ASSERT_TRUE(io::replace_file(file_of(i, all[i]) + ".doc", all[i].input.dump(1) + "\n"));
      ASSERT_TRUE(io::replace_file(file_of(i, all[i]) + ".expect", all[i].expected + "\n"));
    }
  }
  size_t files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(kFolder)) files += entry.path().extension() == ".doc";
  EXPECT_EQ(files, all.size());
  for (size_t i = 0; i < all.size(); ++i) {
    EXPECT_EQ(io::read_file(file_of(i, all[i]) + ".doc").value_or(""), all[i].input.dump(1) + "\n") << all[i].name;
    EXPECT_EQ(io::read_file(file_of(i, all[i]) + ".expect").value_or(""), all[i].expected + "\n") << all[i].name;
  }
}

// From the files alone, as another implementation would.
TEST(Vectors, each_is_judged_as_expected) {
  size_t good = 0;
  size_t bad = 0;
  for (const auto& entry : std::filesystem::directory_iterator(kFolder)) {
    if (entry.path().extension() != ".doc") continue;
    const Json input = Json::parse(io::read_file(entry.path()).value_or(""), nullptr, false);
    ASSERT_TRUE(input.is_object()) << entry.path();
    std::string expected = io::read_file(std::filesystem::path(entry.path()).replace_extension(".expect")).value_or("");
    if (expected.ends_with('\n')) expected.pop_back();
    EXPECT_EQ(judge(input), expected) << entry.path().filename();
    (expected == "ok" ? good : bad)++;
  }
  EXPECT_GE(good + bad, 60u);
  EXPECT_GT(bad, good);
}

TEST(Vectors, each_reason_has_one) {
  std::set<std::string> seen;
  for (const auto& c : cases()) seen.insert(c.expected);
  for (const Row& row : refusals()) EXPECT_TRUE(seen.contains(std::string(row.code))) << row.code << " has no vector";
}

// The schema is for people and for other tools: it may not name other fields than those that are written.
TEST(Format, the_schema_has_the_fields_that_are_written) {
  const Json schema =
      Json::parse(io::read_file(GODWIT_SOURCE_DIR "/docs/formats/delegation.schema.json").value_or(""), nullptr, false);
  ASSERT_TRUE(schema.is_object());
  const Json document =
      Json::parse(testing::document_of("user", testing::wide_grants()).sign(testing::key_of("user"))->payload);
  const auto fields = [](const Json& object) {
    std::vector<std::string> out;
    for (const auto& [key, value] : object.items()) out.push_back(key);
    return out;
  };
  const auto same = [&](const Json& part, const Json& object) {
    EXPECT_EQ(part.at("additionalProperties"), false);
    EXPECT_EQ(fields(part.at("properties")), fields(object));
    std::vector<std::string> required = part.at("required");
    std::ranges::sort(required);
    EXPECT_EQ(required, fields(object));
  };
  same(schema, document);
  same(schema.at("$defs").at("grants"), document.at("grants"));
  same(schema.at("$defs").at("names"), document.at("grants").at("nodes"));
  same(schema.at("$defs").at("grants").at("properties").at("limits"), document.at("grants").at("limits"));
}

TEST(Format, the_page_has_the_example_of_the_vectors) {
  const std::string page = io::read_file(GODWIT_SOURCE_DIR "/docs/formats/delegation.md").value_or("");
  const Envelope e = *testing::document_of("user", testing::wide_grants()).sign(testing::key_of("user"));
  for (const std::string& part : {e.payload, e.digest().hex(), e.signatures[0].key_id,
                                  Json::parse(e.encode()).at("signatures")[0].at("sig").get<std::string>()})
    EXPECT_NE(page.find(part), std::string::npos) << part;
}

TEST(Format, the_page_has_the_table_of_reasons) {
  const std::string page = io::read_file(GODWIT_SOURCE_DIR "/docs/formats/delegation.md").value_or("");
  std::string table;
  for (const Row& row : refusals())
    table += fmt::format("| `{}` | {} | {} |\n", row.code, code_name(row.kind), row.what);
  EXPECT_NE(page.find(table), std::string::npos) << "the table should be:\n" << table;
}

}  // namespace
}  // namespace godwit::delegation::vectors
