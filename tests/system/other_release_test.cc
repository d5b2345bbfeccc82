// A node that is another Debian release: another libc, another Python, other versions of every library. What a unit has
// mapped and open comes with it, so it goes on as if nothing had changed.
#include <unistd.h>

#include <algorithm>

#include "grid.h"

namespace godwit::test {
namespace {

using Words = std::vector<std::string>;

class OtherReleaseTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    const auto made = run_program({GODWIT_OTHER_RELEASE, GODWIT_OTHER_RELEASE_DIR});
    const std::string line = made.out.substr(0, made.out.find('\n'));
    if (made.status != 0) {
      missing_ = line.starts_with("SKIP: ") ? line.substr(6) : "another release's root: " + made.err;
      return;
    }
    root_ = line;
    grid_ = new Grid(2, {{"node-2", root_}});
  }
  static void TearDownTestSuite() { delete std::exchange(grid_, nullptr); }
  void SetUp() override {
    if (!missing_.empty()) GTEST_SKIP() << missing_;
    if (::access((std::string(GODWIT_BIN) + "-keeper").c_str(), X_OK) != 0) GTEST_SKIP() << "needs the keeper";
    REQUIRE_GRID(*grid_);
    const std::string libc = "/lib/x86_64-linux-gnu/libc.so.6";
    ASSERT_NE(io::read_file(libc).value_or(""), io::read_file(root_ + libc).value_or("")) << "the same release";
  }
  static Grid& grid() { return *grid_; }

  static void start(const std::string& name, const std::string& node, const Words& options, const Words& command) {
    Words words = {"run", "--name", name, "--node", node};
    words.insert(words.end(), options.begin(), options.end());
    words.emplace_back("--");
    words.insert(words.end(), command.begin(), command.end());
    const auto ran = grid().godwit(words);
    ASSERT_EQ(ran.status, 0) << ran.err;
  }
  static std::string logs(const std::string& unit) { return grid().godwit({"logs", unit}).out; }
  static int64_t lines(const std::string& unit) { return std::ranges::count(logs(unit), '\n'); }
  // Waits until it has printed so many lines more than now: it works where it is.
  static void expect_progress(const std::string& unit, int64_t more) {
    const int64_t now = lines(unit);
    EXPECT_TRUE(eventually([&] { return lines(unit) >= now + more; })) << logs(unit).substr(0, 2000);
  }

  // Runs it undisturbed on `home`, and beside that with a stay on `away`: the same output. It has to run for some seconds
  // more than two moves take on a busy machine.
  static void moves_there_and_back(const std::string& home, const std::string& away, const Words& command,
                                   const Words& options = {"--cwd", "/"}) {
    static int number = 0;
    const std::string still = "still-" + std::to_string(++number), travels = "travels-" + std::to_string(number);
    start(still, home, options, command);
    start(travels, home, options, command);
    expect_progress(travels, 5);
    for (const auto& to : {away, home}) {
      const auto moved = grid().godwit({"move", travels, "--to", to});
      ASSERT_EQ(moved.status, 0) << to << ": " << moved.err;
      expect_progress(travels, 5);
    }
    for (const std::string& unit : {still, travels}) EXPECT_EQ(grid().godwit({"wait", unit}).status, 0) << unit;
    const std::string found = logs(travels), wanted = logs(still);
    EXPECT_GT(wanted.size(), 1000u);
    EXPECT_TRUE(found == wanted) << found.size() << " bytes, wanted " << wanted.size() << "\n"
                                 << found.substr(found.size() - std::min<size_t>(found.size(), 1000));
  }

 private:
  inline static Grid* grid_ = nullptr;
  inline static std::string missing_, root_;
};

TEST_F(OtherReleaseTest, a_python_with_the_modules_that_it_loaded_goes_there_and_back) {
  const std::string program =
      "import decimal,hashlib,json,lzma,re,sqlite3,time,zlib\n"
      "db=sqlite3.connect(':memory:')\ndb.execute('create table t(a int,b text)')\nh=hashlib.sha256()\n"
      "for i in range(400):\n"
      "  t=json.dumps({'i':i,'s':'%x'%(i*7919),'x':[i/(k+1) for k in range(50)]})\n"
      "  h.update(zlib.compress(t.encode()))\n  h.update(lzma.compress(t.encode()))\n"
      "  db.execute('insert into t values(?,?)',(i,re.sub('[0-4]','x',t)))\n"
      "  print(i,db.execute('select sum(a),max(b) from "
      "t').fetchone(),h.hexdigest(),decimal.Decimal(i).sqrt(),flush=True)\n"
      "  time.sleep(0.02)\n";
  moves_there_and_back("node-1", "node-2", {"/usr/bin/python3", "-c", program});
}

// Its programs are started anew all the time, also there: beside the unit's own libc, which was carried, the destination's
// would not even start, nor would sed with the destination's libselinux.
TEST_F(OtherReleaseTest, a_pipeline_starts_its_own_programs_there_if_they_were_named) {
  const std::string program =
      "for ((i = 0; i < 400; i++)); do seq 300 | awk -v n=$i '{ print ($1 * 7919 * n) % 103 }' | sed 's/7/seven/' | "
      "sort | uniq -c | gzip -6 | gzip -d | sha256sum; done";
  Words options = {"--cwd", "/"};
  for (const char* tool : {"seq", "awk", "sed", "sort", "uniq", "gzip", "sha256sum"}) {
    options.emplace_back("--with");
    options.push_back(std::string("/usr/bin/") + tool);
  }
  moves_there_and_back("node-1", "node-2", {"/bin/bash", "-c", program}, options);
}

TEST_F(OtherReleaseTest, a_program_that_is_not_installed_there_goes_there_and_back) {
  for (const char* name : {"tree_threads", "mem_posix_shm"}) {
    const std::string program = GODWIT_CR + std::string("/") + name;
    ASSERT_EQ(::access(program.c_str(), X_OK), 0) << program;
    char work[] = "/tmp/godwit_work_XXXXXX";
    ASSERT_NE(::mkdtemp(work), nullptr);
    moves_there_and_back("node-1", "node-2", {"/usr/bin/env", "CR_STEPS=400", "CR_PACE_MS=20", program},
                         {"--dir", work, "--cwd", work});
    (void)sys::remove_tree(work);
  }
}

TEST_F(OtherReleaseTest, a_perl_of_that_release_comes_here_and_goes_back) {
  const std::string program =
      "use strict; use warnings; use List::Util qw(sum); use POSIX qw(floor); $| = 1; my %h; my $s = 1;"
      "for my $i (1..400) {"
      "  for (1..500) { $s = ($s * 69069 + 1) % 4294967296; $h{$s % 500} .= chr(97 + $s % 26) }"
      "  eval \"sub f$i { return floor($i / 3) }\"; print \"$i \", eval(\"f$i()\"), ' ';"
      "  print sum(map { unpack '%32C*', $h{$_} } sort keys %h), sprintf(\" %.9f $]\\n\", sqrt $i);"
      "  select undef, undef, undef, 0.02 }";
  moves_there_and_back("node-2", "node-1", {"/usr/bin/perl", "-e", program});
}

}  // namespace
}  // namespace godwit::test
