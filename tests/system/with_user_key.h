// A user of his own: the commands of a test find and make their key in a directory that ends with the test.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>

#include <string>

#include "base/sys.h"

namespace godwit::test {

class WithUserKey : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/godwit_user_XXXXXX";
    dir_ = ::mkdtemp(name);
    ::setenv("GODWIT_KEY", (dir_ + "/user.key").c_str(), 1);
  }
  void TearDown() override {
    ::unsetenv("GODWIT_KEY");
    (void)sys::remove_tree(dir_);
  }
  std::string dir_;
};

}  // namespace godwit::test
