#include "files/own_directories.h"

#include <gtest/gtest.h>
#include <unistd.h>

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
  static Paths own_of(const StartsWith& unit) {
    Paths paths;
    for (const OwnDirectory& own : own_directories_of(unit)) paths.emplace_back(own.path);
    return paths;
  }
  static StartsWith unit(std::vector<std::string> words) { return {"", "/", std::move(words)}; }
  std::string there_;  // exists on this node
  const Paths all_{"/tmp", "/var/tmp", "/dev/shm"}, not_tmp_{"/var/tmp", "/dev/shm"};
};

TEST_F(OwnDirectories, are_those_of_a_unit_that_names_nothing_there) {
  EXPECT_EQ(own_of(unit({"sleep", "1"})), all_);
  EXPECT_EQ(own_of(unit({"sh", "-c", "date > /tmp/no-such-file; ls /tmp"})), all_);
}

TEST_F(OwnDirectories, are_the_nodes_where_its_files_are_named) {
  EXPECT_EQ(own_of(unit({there_ + "/file"})), not_tmp_);
  EXPECT_EQ(own_of(unit({"sh", "-c", "sort <" + there_ + "/file>out"})), not_tmp_);
  EXPECT_EQ(own_of(unit({"tool", "--input=" + there_ + "/"})), not_tmp_);
  EXPECT_EQ(own_of({"", there_, {"true"}}), not_tmp_);
  EXPECT_EQ(own_of({"", "/tmp", {"true"}}), not_tmp_);
}

TEST_F(OwnDirectories, are_the_nodes_where_its_shared_memory_is_named) {
  const std::string object = "/dev/shm/own-" + std::to_string(::getpid());
  EXPECT_EQ(own_of(unit({"tool", object})), all_);
  std::ofstream(object) << "x";
  EXPECT_EQ(own_of(unit({"tool", object})), (Paths{"/tmp", "/var/tmp"}));
  std::filesystem::remove(object);
}

TEST_F(OwnDirectories, do_not_depend_on_what_travels_anyway) {
  EXPECT_EQ(own_of({there_, there_, {there_ + "/file", "/home/user" + there_}}), all_);
  EXPECT_EQ(own_of({"/tmp", "/", {"true"}}), not_tmp_);
}

}  // namespace
}  // namespace godwit::files
