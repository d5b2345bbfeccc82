#include "image/json.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace godwit::image {
namespace {

using nlohmann::json;

Manifest sample() {
  Manifest m = new_manifest();
  m.unit = "u-1";
  m.engine = "pod";
  m.state = "\x01\x02";
  m.spec = R"({"argv": ["sleep", "1"]})";
  m.created_unix_ns = 1'700'000'000'000'000'000;
  m.memory.runs = {{3, 0x1000, 8192}};
  m.memory.zeros = {{3, 0x9000, 4096}};
  m.sections = {{"files.trees", "abc", {}, true}, {"somebody.else", "x", {}, false}};
  return m;
}

TEST(ImageJson, shows_identity_memory_by_space_and_sections) {
  const json j = json::parse(to_json(sample()));
  EXPECT_EQ(j["unit"], "u-1");
  EXPECT_EQ(j["created"], "2023-11-14T22:13:20Z");
  EXPECT_EQ(j["spec"]["argv"][0], "sleep");
  EXPECT_EQ(j["state"]["bytes"], 2);
  EXPECT_EQ(j["memory"]["bytes"], 8192);
  EXPECT_EQ(j["memory"]["spaces"][0]["zero_bytes"], 4096);
  EXPECT_EQ(j["sections"][0]["owner"], "files");
  EXPECT_FALSE(j["sections"][1].contains("owner"));
  EXPECT_FALSE(j["memory"].contains("runs"));
}

TEST(ImageJson, asks_the_engine_for_its_own_messages) {
  JsonOptions options{.runs = true};
  options.engines.emplace_back("pod", [](std::string_view part, const std::string& bytes) {
    return part == "state" ? R"({"processes": )" + std::to_string(bytes.size()) + "}" : std::string("not json");
  });
  Manifest m = sample();
  m.outline = "o";
  const json j = json::parse(to_json(m, options));
  EXPECT_EQ(j["state"]["content"]["processes"], 2);
  EXPECT_EQ(j["outline"]["content"], "not json");
  EXPECT_EQ(j["memory"]["runs"][0]["address"], "0x1000");
}

TEST(ImageJson, hostile_text_is_shown_and_not_followed) {
  Manifest m = sample();
  m.name = "\xff\xfe name";
  m.spec = std::string(1'000'000, '[');
  m.created_unix_ns = INT64_MIN;
  const json j = json::parse(to_json(m));
  EXPECT_TRUE(j["spec"].is_string());
}

}  // namespace
}  // namespace godwit::image
