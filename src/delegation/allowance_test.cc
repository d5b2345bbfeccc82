#include "delegation/allowance.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include "base/io.h"
#include "base/sys.h"
#include "delegation/testing.h"

namespace godwit::delegation {
namespace {

using testing::sure;
using testing::wide_grants;
using testing::World;

std::string code(const auto& checked) { return checked ? "ok" : std::string(checked.error().code()); }

TEST(Allowance, is_what_document_caveats_and_the_nodes_own_word_leave) {
  World world;
  world.start();
  Grants less = wide_grants();
  less.read = {"/data", "/usr"};
  world.narrow(less);
  Grants wish = wide_grants();
  wish.read = {"/usr/lib", "/srv"};
  wish.limits.processes = 4;

  EXPECT_EQ(sure(allowance(world.document, {}, std::nullopt)).read, wide_grants().read);
  EXPECT_EQ(sure(allowance(world.document, world.caveats, std::nullopt)).read, less.read);
  const Grants all = sure(allowance(world.document, world.caveats, wish));
  EXPECT_EQ(all.read, std::vector<std::string>{"/usr/lib"});
  EXPECT_EQ(all.limits.processes, 4u);
  EXPECT_EQ(sure(allowance(world.document, {}, wish)).read, (std::vector<std::string>{"/srv", "/usr/lib"}));
}

TEST(Allowance, caveats_that_widen_or_do_not_follow_are_refused) {
  World world;
  world.start();
  Grants less = wide_grants();
  less.handovers = 3;
  world.narrow(less);
  std::vector<std::string> twice{world.caveats.front(), world.caveats.front()};
  EXPECT_EQ(code(allowance(world.document, twice, std::nullopt)), "broken-caveats");
  world.narrow(wide_grants());
  EXPECT_EQ(code(allowance(world.document, world.caveats, std::nullopt)), "widened");
  world.document[40] = world.document[40] == 'A' ? 'B' : 'A';
  EXPECT_NE(code(allowance(world.document, {}, std::nullopt)), "ok");
}

TEST(Wish, is_read_from_the_nodes_directory_and_an_unreadable_one_is_an_error) {
  char name[] = "/tmp/godwit_wish_XXXXXX";
  const std::string dir = ::mkdtemp(name);
  EXPECT_EQ(*load_wish(dir), std::nullopt);
  ASSERT_TRUE(io::replace_file(dir + "/caveat.json", R"({"read": ["/usr"], "limits": {"processes": 7}})"));
  const auto wish = load_wish(dir);
  ASSERT_TRUE(wish && *wish);
  EXPECT_EQ((*wish)->limits.processes, 7u);
  ASSERT_TRUE(io::replace_file(dir + "/caveat.json", R"({"raed": ["/usr"]})"));
  EXPECT_FALSE(load_wish(dir));
  (void)sys::remove_tree(dir);
}

}  // namespace
}  // namespace godwit::delegation
