#include "files/share_probe.h"

#include <algorithm>

#include "files/testing.h"

namespace godwit::files {
namespace {

using testing::good;
using testing::TemporaryDir;

struct Machines {
  TemporaryDir one;
  TemporaryDir other;
  Fd root_of_one = one.fd();
  Fd root_of_other = other.fd();
};

// Two directories stand for the roots of two machines; a path is "shared" when both roots are the same directory.
TEST(ShareProbe, proves_a_shared_directory_and_leaves_nothing) {
  Machines m;
  testing::write_at(m.one / "f", "data");
  {
    const ShareProbe probe = good(ShareProbe::ask(m.root_of_one, "/f"));
    EXPECT_EQ(good(sys::list_dir(m.one.path())).size(), 2u);
    good(probe.confirm(good(answer(m.root_of_one, probe.question()))));
  }
  EXPECT_EQ(good(sys::list_dir(m.one.path())).size(), 1u);
}

TEST(ShareProbe, is_not_fooled_by_an_equal_file_at_the_same_path) {
  Machines m;
  testing::write_at(m.one / "f", "data");
  testing::write_at(m.other / "f", "data");
  const ShareProbe probe = good(ShareProbe::ask(m.root_of_one, "/f"));
  const ShareAnswer given = good(answer(m.root_of_other, probe.question()));
  EXPECT_FALSE(given.seen);
  const auto verdict = probe.confirm(given);
  ASSERT_FALSE(verdict);
  EXPECT_EQ(verdict.error().code, Code::kRefused);
  EXPECT_NE(verdict.error().text.find("/f is not shared"), std::string::npos);
}

TEST(ShareProbe, is_not_fooled_by_a_copy_of_the_probe_or_by_a_liar) {
  Machines m;
  testing::write_at(m.one / "f", "data");
  testing::write_at(m.other / "f", "data");
  const ShareProbe probe = good(ShareProbe::ask(m.root_of_one, "/f"));
  testing::write_at(m.other / probe.question().probe_name, probe.question().nonce);
  const ShareAnswer copied = good(answer(m.root_of_other, probe.question()));
  EXPECT_TRUE(copied.seen);  // it reads the nonce in the copy, but its reply never gets back
  EXPECT_FALSE(probe.confirm(copied));
  EXPECT_FALSE(probe.confirm({"/f", true, std::string(32, 'x'), ""}));
  EXPECT_FALSE(probe.confirm({"/f", true, "", ""}));
  EXPECT_FALSE(probe.confirm({"/g", true, copied.reply, ""}));
}

TEST(ShareProbe, says_what_is_wrong_at_the_destination) {
  Machines m;
  testing::write_at(m.one / "f", "data");
  const ShareProbe probe = good(ShareProbe::ask(m.root_of_one, "/f"));
  EXPECT_EQ(good(answer(m.root_of_other, probe.question())).why, "there is no such file there");
}

TEST(ShareProbe, cannot_be_asked_where_it_cannot_write) {
  const Fd root = good(sys::open("/", O_RDONLY | O_DIRECTORY));
  const auto probe = ShareProbe::ask(root, "/proc/version");
  ASSERT_FALSE(probe);
  EXPECT_EQ(probe.error().code, Code::kRefused);
  EXPECT_FALSE(ShareProbe::ask(root, "relative"));
  EXPECT_FALSE(ShareProbe::ask(root, "/"));
}

TEST(ShareProbe, answers_no_question_that_could_touch_other_files) {
  TemporaryDir dir;
  const Fd root = dir.fd();
  testing::write_at(dir / "passwd", std::string(96, 'p'));
  const std::string name = ".godwit-probe-" + std::string(32, 'a');
  const std::string nonce(32, 'p');
  const std::vector<ShareQuestion> hostile = {
      {"/passwd", "passwd", nonce},
      {"/passwd", "../" + name, nonce},
      {"/passwd", name + "/", nonce},
      {"passwd", name, nonce},
      {"/../passwd", name, nonce},
      {"/passwd", name, "short"},
      {"/passwd", ".godwit-probe-", nonce},
      {"/", name, nonce},
      {"/passwd", ".godwit-probe-" + std::string(32, '/'), nonce},
  };
  for (const ShareQuestion& question : hostile)
    EXPECT_EQ(answer(root, question).error().code, Code::kCorrupt) << question.probe_name;
  ASSERT_EQ(::symlink("passwd", (dir / name).c_str()), 0);
  EXPECT_FALSE(good(answer(root, {"/passwd", name, nonce})).seen);
  EXPECT_EQ(testing::slurp(dir / "passwd"), std::string(96, 'p'));
}

}  // namespace
}  // namespace godwit::files
