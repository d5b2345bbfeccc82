// For tests: files of tests/scripts that hold what is done and what came of it, in one text. A replay makes the text anew; it must
// be the same. A person reads the diff:
//
//     GODWIT_REWRITE=1 build/release/bin/cli_test --gtest_filter='Scripts.*'      # writes what comes of it now
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <functional>
#include <iterator>
#include <sstream>
#include <string>
#include <vector>

#include "base/io.h"

namespace godwit::test {

/// Replays the files `prefix`… of `directory`, of which there must be `least`.
inline void expect_scripts(const std::string& directory, const std::string& prefix, int least,
                           const std::function<std::string(const std::string& text)>& replay) {
  int count = 0;
  for (const auto& entry : std::filesystem::directory_iterator(directory)) {
    if (!entry.path().filename().string().starts_with(prefix)) continue;
    ++count;
    const auto text = io::read_file(entry.path());
    ASSERT_TRUE(text) << entry.path();
    const std::string now = replay(*text);
    if (std::getenv("GODWIT_REWRITE") != nullptr) {
      ASSERT_TRUE(io::replace_file(entry.path(), now));
    } else {
      EXPECT_EQ(now, *text) << entry.path();
    }
  }
  EXPECT_GE(count, least);
}

/// A text of lines "$ COMMAND WORDS", each with what `main` prints, its exit status in brackets, and an empty line.
inline std::string replay_commands(const std::string& text, const std::string& command,
                                   const std::function<int(const std::vector<std::string>& words)>& main) {
  const std::string prompt = "$ " + command;
  std::istringstream in(text);
  std::string out;
  bool in_answer = false;
  for (std::string line; std::getline(in, line);) {
    if (line.starts_with(prompt)) {
      std::istringstream rest(line.substr(prompt.size()));
      const std::vector<std::string> words{std::istream_iterator<std::string>(rest), {}};
      testing::internal::CaptureStdout();
      testing::internal::CaptureStderr();
      const int status = main(words);
      const std::string err = testing::internal::GetCapturedStderr();
      out += line + "\n" + testing::internal::GetCapturedStdout() + err + "[" + std::to_string(status) + "]\n\n";
      in_answer = true;
    } else if (in_answer) {
      // An answer ends with its status line; the blank line after it was written above.
      if (line.size() != 3 || line.front() != '[') continue;
      in_answer = false;
      if (std::getline(in, line) && !line.empty()) out += line + "\n";
    } else {
      out += line + "\n";
    }
  }
  return out;
}

}  // namespace godwit::test
