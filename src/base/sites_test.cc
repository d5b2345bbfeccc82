#include "base/sites.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "base/io.h"
#include "base/pki.h"
#include "base/sys.h"
#include "base/temporary_folder.h"

namespace godwit::pki {
namespace {

class SitesTest : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(make_site(dir_, "home", {"localhost"})); }
  Code trust(const std::string& name, const std::string& certificate) {
    const auto done = trust_site(dir_, name, certificate);
    return done ? Code{} : done.error().code;
  }
  const TemporaryFolder folder_ = *TemporaryFolder::make("godwit_sites");
  const std::string dir_ = folder_.path().string() + "/home";
  const Identity away_ = *make_authority("away");
};

TEST_F(SitesTest, a_new_site_has_its_keys_for_itself_and_is_never_made_over) {
  for (const char* name : {"ca.key", "controller.key", "client.key"}) {
    struct stat st{};
    ASSERT_EQ(::stat((dir_ + "/" + name).c_str(), &st), 0) << name;
    EXPECT_EQ(st.st_mode & 0777, 0600u) << name;
  }
  const std::string before = io::read_file(dir_ + "/ca.key").value_or("");
  EXPECT_EQ(make_site(dir_, "home", {}).error().code, Code::kRefused);
  EXPECT_EQ(io::read_file(dir_ + "/ca.key").value_or(""), before);
  const auto sites = Sites::load(dir_);
  ASSERT_TRUE(sites);
  EXPECT_EQ(sites->own(), "home");
  EXPECT_TRUE(sites->trusted().empty());
}

TEST_F(SitesTest, a_name_is_of_the_site_whose_authority_signed_it) {
  const Identity own = *load(dir_, "ca");
  ASSERT_TRUE(trust_site(dir_, "away", away_.certificate));
  const auto sites = Sites::load(dir_);
  ASSERT_TRUE(sites) << sites.error().text;
  EXPECT_EQ(sites->name_of(issue(own, "node-1")->certificate).value_or("none"), "node-1");
  EXPECT_EQ(sites->name_of(issue(away_, "node-1")->certificate).value_or("none"), "away/node-1");
  // What another site calls "controller" or "client" is none here.
  EXPECT_EQ(sites->name_of(issue(away_, "controller")->certificate).value_or("none"), "away/controller");
  // An authority of the same name, but another key: nobody's.
  for (const char* name : {"home", "away"})
    EXPECT_FALSE(sites->name_of(issue(*make_authority(name), "node-1")->certificate)) << name;
}

TEST_F(SitesTest, is_trusted_by_its_own_name_and_one_certificate_only) {
  EXPECT_EQ(trust("other", away_.certificate), Code::kRefused);
  EXPECT_EQ(trust("home", make_authority("home")->certificate), Code::kRefused);
  EXPECT_EQ(trust("node-1", issue(away_, "node-1")->certificate), Code::kCorrupt);
  EXPECT_EQ(trust("../away", away_.certificate), Code::kUsage);
  EXPECT_EQ(trust("away", "nonsense"), Code::kCorrupt);
  EXPECT_EQ(trust("away", away_.certificate + make_authority("third")->certificate), Code::kRefused);
  EXPECT_EQ(trust("away", away_.certificate), Code{});
  EXPECT_EQ(trust("away", away_.certificate), Code{});
  EXPECT_EQ(trust("away", make_authority("away")->certificate), Code::kRefused);
  EXPECT_TRUE(Sites::load(dir_)->trusts("away"));
  ASSERT_TRUE(distrust_site(dir_, "away"));
  EXPECT_FALSE(Sites::load(dir_)->trusts("away"));
  EXPECT_EQ(Sites::load(dir_)->authority("away").error().code, Code::kRefused);
  EXPECT_EQ(distrust_site(dir_, "away").error().code, Code::kNotFound);
}

TEST_F(SitesTest, a_file_under_another_name_or_a_second_own_authority_is_refused_as_a_whole) {
  ASSERT_TRUE(sys::make_dirs(dir_ + "/sites"));
  ASSERT_TRUE(io::replace_file(dir_ + "/sites/other.crt", away_.certificate));
  EXPECT_EQ(Sites::load(dir_).error().code, Code::kCorrupt);
  ASSERT_TRUE(sys::unlink(dir_ + "/sites/other.crt"));
  ASSERT_TRUE(io::replace_file(dir_ + "/sites/home.crt", make_authority("home")->certificate));
  EXPECT_EQ(Sites::load(dir_).error().code, Code::kCorrupt);
}

TEST_F(SitesTest, names_are_told_apart) {
  const auto sites = Sites::load(dir_);
  EXPECT_EQ(sites->full("node-1"), "home/node-1");
  EXPECT_EQ(sites->full("away/node-1"), "away/node-1");
  EXPECT_EQ(sites->local("home/node-1"), "node-1");
  EXPECT_EQ(sites->local("away/node-1"), "away/node-1");
}

}  // namespace
}  // namespace godwit::pki
