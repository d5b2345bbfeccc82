#include "delegation/keys.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "base/io.h"
#include "base/temporary_folder.h"
#include "delegation/testing.h"
#include "delegation/text.h"

namespace godwit::delegation {
namespace {

// RFC 8032, section 7.1, test 2.
TEST(Keys, signs_as_the_standard_says) {
  std::array<unsigned char, 32> seed{};
  ASSERT_TRUE(from_hex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb", seed));
  const PrivateKey key = PrivateKey::from_seed(seed);
  EXPECT_EQ(to_hex(key.public_key().bytes), "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c");
  const Signature s = key.sign("\x72");
  EXPECT_EQ(
      to_hex(s),
      "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aee"
      "b00d291612bb0c00");
  EXPECT_TRUE(verify(key.public_key(), "\x72", s));
  EXPECT_FALSE(verify(key.public_key(), "\x73", s));
  EXPECT_FALSE(verify(testing::key_of("other").public_key(), "\x72", s));
}

TEST(Keys, what_is_saved_is_loaded_again) {
  const auto folder = TemporaryFolder::make("godwit-keys");
  ASSERT_TRUE(folder);
  const std::string path = folder->path() / "me.key";
  const auto key = PrivateKey::generate();
  ASSERT_TRUE(key);
  ASSERT_TRUE(key->save(path));
  struct stat status{};
  ASSERT_EQ(::stat(path.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777u, 0600u);
  const auto back = PrivateKey::load(path);
  ASSERT_TRUE(back) << back.error().text;
  EXPECT_EQ(back->public_key(), key->public_key());
  const auto open = load_public_key(path + ".pub");
  ASSERT_TRUE(open) << open.error().text;
  EXPECT_EQ(*open, key->public_key());
  // A second key never takes the place of the first.
  const auto again = PrivateKey::generate()->save(path);
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code, Code::kRefused);
  EXPECT_EQ(PrivateKey::load(path)->public_key(), key->public_key());
}

TEST(Keys, one_that_others_may_read_is_refused) {
  const auto folder = TemporaryFolder::make("godwit-keys");
  ASSERT_TRUE(folder);
  const std::string path = folder->path() / "me.key";
  ASSERT_TRUE(PrivateKey::generate()->save(path));
  for (const mode_t mode : {0640u, 0604u, 0620u, 0602u, 0601u}) {
    ASSERT_EQ(::chmod(path.c_str(), mode), 0);
    const auto loaded = PrivateKey::load(path);
    ASSERT_FALSE(loaded) << mode;
    EXPECT_EQ(loaded.error().code, Code::kRefused);
  }
}

TEST(Keys, what_is_no_key_is_refused) {
  const auto folder = TemporaryFolder::make("godwit-keys");
  ASSERT_TRUE(folder);
  const std::string path = folder->path() / "me.key";
  ASSERT_TRUE(io::replace_file(path, "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", 0600));
  EXPECT_EQ(PrivateKey::load(path).error().code, Code::kCorrupt);
  EXPECT_EQ(PrivateKey::load(folder->path()).error().code, Code::kRefused);
  ASSERT_TRUE(io::replace_file(path, std::string(8192, 'x'), 0600));
  EXPECT_FALSE(PrivateKey::load(path));
}

TEST(Text, base64_has_one_form) {
  for (const std::string text : {"", "f", "fo", "foo", "foob", "fooba", "foobar"})
    EXPECT_EQ(from_base64(to_base64(text)), text);
  EXPECT_EQ(to_base64("foob"), "Zm9vYg==");
  for (const std::string text :
       {"Zm9vYg=", "Zm9vYg", "Zm9vYh==", "Zm9vY=g=", "Zm9v\nYg==", "Zg==Zg==", "Zm9-", "====", "Zm9vYmF="})
    EXPECT_EQ(from_base64(text), std::nullopt) << text;
}

TEST(Digests, arguments_are_not_what_they_look_like_together) {
  const std::vector<std::string> a{"sim", "ab", "c"};
  const std::vector<std::string> b{"sim", "a", "bc"};
  const std::vector<std::string> c{"sim", "abc"};
  EXPECT_NE(digest_of_arguments(a), digest_of_arguments(b));
  EXPECT_NE(digest_of_arguments(a), digest_of_arguments(c));
}

}  // namespace
}  // namespace godwit::delegation
