#include "files/own_directories.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace godwit::files {
namespace {

using Paths = std::vector<std::string>;

class OwnDirectories : public ::testing::Test {
 protected:
  OwnDirectories() {
    char name[] = "/tmp/own-XXXXXX";
    there_ = ::mkdtemp(name);
    std::ofstream(there_ + "/file") << "x";
  }
  ~OwnDirectories() override { std::filesystem::remove_all(there_); }
  static StartsWith unit(std::vector<std::string> words) { return {"", "/", std::move(words)}; }
  std::string there_;  // exists on this node
  const Paths both_{"/tmp", "/var/tmp"}, second_{"/var/tmp"};
};

TEST_F(OwnDirectories, are_those_of_a_unit_that_names_nothing_there) {
  EXPECT_EQ(own_directories_of(unit({"sleep", "1"})), both_);
  EXPECT_EQ(own_directories_of(unit({"sh", "-c", "date > /tmp/no-such-file; ls /tmp"})), both_);
}

TEST_F(OwnDirectories, are_the_nodes_where_its_files_are_named) {
  EXPECT_EQ(own_directories_of(unit({there_ + "/file"})), second_);
  EXPECT_EQ(own_directories_of(unit({"sh", "-c", "sort <" + there_ + "/file>out"})), second_);
  EXPECT_EQ(own_directories_of(unit({"tool", "--input=" + there_ + "/"})), second_);
  EXPECT_EQ(own_directories_of({"", there_, {"true"}}), second_);
  EXPECT_EQ(own_directories_of({"", "/tmp", {"true"}}), second_);
}

TEST_F(OwnDirectories, do_not_depend_on_what_travels_anyway) {
  EXPECT_EQ(own_directories_of({there_, there_, {there_ + "/file", "/home/user" + there_}}), both_);
  EXPECT_EQ(own_directories_of({"/tmp", "/", {"true"}}), second_);
}

}  // namespace
}  // namespace godwit::files
