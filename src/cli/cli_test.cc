// The command line without a grid: tests/scripts/cli_*.txt hold "$ WORDS", then what is printed and the exit status.
//
//     GODWIT_REWRITE=1 build/release/bin/cli_test --gtest_filter='Scripts.*'      # writes what is printed now
#include "cli/cli.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "base/io.h"
#include "base/replayed_scripts.h"
#include "base/temporary_folder.h"
#include "cli/command.h"
#include "cli/common.h"
#include "cli/help.h"
#include "cli/parse.h"
#include "cli/present.h"
#include "cli/session.h"

namespace godwit::cli {
namespace {

TEST(Scripts, the_command_line_answers_as_written) {
  ::setenv("GODWIT_STATE", "/nonexistent/godwit", 1);
  test::expect_scripts(GODWIT_SOURCE_DIR "/tests/scripts", "cli_", 2,
                       [](const auto& text) { return test::replay_commands(text, "godwit", main); });
}

// Bash itself must take it: a broken script shows nowhere else.
TEST(Completion, bash_completes_by_the_script_that_is_printed) {
  testing::internal::CaptureStdout();
  ASSERT_EQ(main({"completion", "bash"}), 0);
  const std::string script = testing::internal::GetCapturedStdout();
  const auto folder = TemporaryFolder::make("completion");
  ASSERT_TRUE(folder);
  const std::string file = folder->path().string() + "/script", godwit = folder->path().string() + "/godwit",
                    found = folder->path().string() + "/found";
  ASSERT_TRUE(io::replace_file(file, script + "COMP_WORDS=(" + godwit + " mo) COMP_CWORD=1\n_godwit\n" +
                                         "printf '%s\\n' \"${COMPREPLY[@]}\" > " + found + "\n"));
  // What stands in for godwit answers only the right question.
  ASSERT_TRUE(io::replace_file(
      godwit, "#!/bin/sh\n[ \"$*\" = \"__complete -- mo\" ] && printf 'move\\tto another node\\nmore\\n'\n"));
  ASSERT_EQ(::chmod(godwit.c_str(), 0700), 0);
  ASSERT_EQ(std::system(("bash " + file).c_str()), 0);
  EXPECT_EQ(io::read_file(found).value_or(""), "move\nmore\n");
}

TEST(Table, every_command_can_be_explained) {
  std::set<std::string_view> names;
  for (const Command* c : commands()) {
    EXPECT_TRUE(names.insert(c->name).second) << c->name;
    EXPECT_FALSE(c->summary.empty()) << c->name;
    EXPECT_FALSE(c->details.empty()) << c->name;
    EXPECT_NE(c->run, nullptr) << c->name;
    std::set<std::string_view> options;
    for (const auto* list : {&c->options, &common_options()})
      for (const Option& o : *list) {
        EXPECT_TRUE(options.insert(o.name).second) << c->name << " " << o.name;
        const bool fresh = o.letter.empty() || options.insert(o.letter).second;
        EXPECT_TRUE(fresh) << c->name << " " << o.letter;
      }
    size_t used = 0;
    std::vector<std::string> words;
    std::istringstream in{std::string(c->name)};
    for (std::string w; in >> w;) words.push_back(w);
    EXPECT_EQ(find_command(words, &used), c);
  }
}

const Command& command(const std::string& name) {
  size_t used = 0;
  return *find_command({name}, &used);
}

TEST(Parse, leaves_the_program_and_its_options_alone) {
  const auto p =
      parse(command("run"), {"-n", "x", "-it", "-e", "A=1", "-e", "B=2", "--", "ls", "-l", "--name", "y", "--"});
  ASSERT_TRUE(p) << p.error().text;
  EXPECT_EQ(p->get("--name"), "x");
  EXPECT_TRUE(p->has("--interactive") && p->has("--tty"));
  EXPECT_EQ(p->all("--env"), (std::vector<std::string>{"A=1", "B=2"}));
  EXPECT_EQ(p->arguments, (std::vector<std::string>{"ls", "-l", "--name", "y", "--"}));
}

TEST(Parse, needs_no_dashes_before_the_program) {
  const auto p = parse(command("run"), {"--name=x", "ls", "-l", "--json"});
  ASSERT_TRUE(p) << p.error().text;
  EXPECT_EQ(p->get("--name"), "x");
  EXPECT_FALSE(p->has("--json"));
  EXPECT_EQ(p->arguments, (std::vector<std::string>{"ls", "-l", "--json"}));
}

TEST(Parse, takes_options_before_and_after_arguments) {
  const auto p = parse(command("move"), {"sim", "--to", "node-2", "--json"});
  ASSERT_TRUE(p) << p.error().text;
  EXPECT_EQ(p->argument(0), "sim");
  EXPECT_EQ(p->get("--to"), "node-2");
  EXPECT_TRUE(p->has("--json"));
  EXPECT_EQ(parse(command("move"), {"--json", "--to", "node-2", "sim"})->argument(0), "sim");
}

TEST(Parse, numbers_are_checked) {
  EXPECT_EQ(*number(*parse(command("move"), {"u", "--streams", "3"}), "--streams", 1, 16, 0), 3);
  for (const char* bad : {"0", "17", "x", "3x", "-1"}) {
    const auto p = parse(command("move"), {"u", fmt::format("--streams={}", bad)});
    ASSERT_TRUE(p);
    EXPECT_FALSE(number(*p, "--streams", 1, 16, 0)) << bad;
  }
}

TEST(Words, checkpoints_and_signals) {
  EXPECT_EQ(checkpoint_name("sim@3")->unit, "sim");
  EXPECT_EQ(checkpoint_name("sim@3")->number, 3u);
  EXPECT_EQ(checkpoint_name("sim")->number, 0u);
  for (const char* bad : {"sim@", "@3", "sim@x", "sim@0", "sim@99999999999999999999"})
    EXPECT_FALSE(checkpoint_name(bad));
  EXPECT_EQ(*signal_number("TERM"), 15);
  EXPECT_EQ(*signal_number("sigterm"), 15);
  EXPECT_EQ(*signal_number("15"), 15);
  EXPECT_FALSE(signal_number("TREM"));
}

TEST(Keys, detach_is_two_keys_and_a_lone_first_one_passes) {
  DetachKeys keys;
  std::string out;
  EXPECT_FALSE(keys.feed("ab\x10", out));
  EXPECT_EQ(out, "ab");
  EXPECT_FALSE(keys.feed("c", out));
  EXPECT_EQ(out,
            "ab\x10"
            "c");
  EXPECT_TRUE(keys.feed("\x10\x11", out));
}

TEST(Json, a_move_has_what_is_promised) {
  wire::Report report;
  report.set_unit("u");
  report.set_epoch(2);
  report.set_downtime_ms(3.5);
  auto* phase = report.add_phases();
  phase->set_name("freeze");
  phase->set_ms(1.25);
  const auto json = nlohmann::json::parse(report_json(report));
  for (const char* field : {"unit", "from", "to", "epoch", "downtime_ms", "total_ms", "bytes_sent", "rounds", "phases"})
    EXPECT_TRUE(json.contains(field)) << field;
  EXPECT_EQ(json["phases"]["freeze"], 1.25);
}

TEST(Json, a_living_unit_has_no_exit_and_bytes_do_no_harm) {
  google::protobuf::RepeatedPtrField<wire::Unit> units;
  auto* unit = units.Add();
  unit->set_state(wire::RUNNING);
  unit->mutable_spec()->add_argv("bad\xff\"name");
  const auto json = nlohmann::json::parse(units_json(units));
  ASSERT_TRUE(json.is_array());
  EXPECT_TRUE(json[0]["exit"].is_null());
  EXPECT_EQ(json[0]["state"], "running");
  EXPECT_EQ(json[0]["command"].size(), 1u);
}

}  // namespace
}  // namespace godwit::cli
