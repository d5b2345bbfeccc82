#include "files/view.h"

#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include <functional>

#include "files/mounts.h"
#include "files/testing.h"

namespace godwit::files {
namespace {

using testing::good;
using testing::slurp;
using testing::TemporaryDir;
using testing::write_at;

// Runs `body` in a child with a mount namespace of its own; what it returns is what went wrong (empty: nothing).
std::string in_child(const std::function<Result<std::string>()>& body) {
  auto ends = good(sys::pipe());
  const pid_t child = ::fork();
  if (child == 0) {
    const auto result = body();
    const std::string text = result ? *result : "error: " + result.error().message();
    (void)io::write_full(ends.second.get(), text);
    ::_exit(0);
  }
  ends.second.reset();
  const std::string text = good(io::read_all(ends.first.get()));
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
  return text;
}

Result<void> own_mounts() {
  if (::unshare(CLONE_NEWNS) < 0) return fail_errno(errno, "unshare");
  return sys::mount("none", "/", "", MS_REC | MS_PRIVATE);
}

// After setuid(2) a process isn't dumpable, and its /proc files belong to root; a user's own process isn't like that.
Result<void> become_nobody() {
  if (::setgroups(0, nullptr) < 0 || ::setgid(65534) < 0 || ::setuid(65534) < 0) return fail_errno(errno, "setuid");
  if (::prctl(PR_SET_DUMPABLE, 1) < 0) return fail_errno(errno, "prctl");
  return {};
}

#define EXPECT_HERE(condition) \
  if (!(condition)) return std::string("not so: " #condition)

bool there(const std::string& path) { return sys::lstat(path).has_value(); }

// Content, and a place for it: demands as the destination got them, with their chunks in a store.
struct Carried {
  explicit Carried(const TemporaryDir& dir) : store(good(ChunkDir::open(dir / "chunks"))) {}
  void file(const std::string& path, const std::string& text, mode_t mode = 0644) {
    Demand demand;
    demand.recipe.path = path;
    demand.recipe.mode = mode;
    demand.recipe.uid = ::geteuid();
    demand.recipe.gid = ::getegid();
    demand.recipe.content.size = text.size();
    const auto data = std::as_bytes(std::span(text));
    demand.recipe.content.pieces.push_back({0, chunk_id_of(data)});
    good(store.put(chunk_id_of(data), data));
    demands.push_back(std::move(demand));
    presence.push_back(Presence::kMissing);
  }
  Result<ViewPlan> plan(const ViewNeeds& needs) {
    TRY(auto plan, plan_view(needs, demands, presence, blockers));
    if (!blockers.empty()) return fail(Code::kRefused, blockers[0].code + ": " + blockers[0].reason);
    TRY_DO(place_files(plan, demands, presence, store, true, {}));
    return plan;
  }
  ChunkDir store;
  std::vector<Demand> demands;
  std::vector<Presence> presence;
  std::vector<engine::Blocker> blockers;
};

TEST(Mounts, reads_the_kernels_table_with_its_escapes) {
  const auto mounts =
      good(parse_mounts("22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/root rw\n"
                        "30 22 0:30 / /a\\040b rw - tmpfs none rw,size=1\n"));
  ASSERT_EQ(mounts.size(), 2u);
  EXPECT_EQ(mounts[1].path, "/a b");
  EXPECT_EQ(mounts[1].fs_type, "tmpfs");
  EXPECT_FALSE(parse_mounts("nonsense\n"));
  EXPECT_FALSE(parse_mounts("22 1 8:1 / / rw -\n"));
  EXPECT_FALSE(good(read_mounts()).empty());
}

TEST(Plan, is_plain_when_nothing_has_to_be_carried) {
  TemporaryDir dir;
  std::vector<engine::Blocker> blockers;
  const auto plan = good(plan_view({dir.path(), {{dir.path(), "/tmp"}}, false}, {}, {}, blockers));
  EXPECT_TRUE(plan.layers.empty());
  EXPECT_TRUE(blockers.empty());
}

TEST(Plan, refuses_a_path_below_a_file_and_one_in_proc) {
  TemporaryDir dir;
  write_at(dir / "file", "x");
  std::vector<engine::Blocker> blockers;
  std::vector<Demand> demands(2);
  demands[0].recipe.path = dir / "file/below/it";
  demands[1].recipe.path = "/proc/sys/godwit";
  const std::vector<Presence> presence(2, Presence::kMissing);
  (void)good(plan_view({dir.path(), {}, false}, demands, presence, blockers));
  ASSERT_EQ(blockers.size(), 2u);
  EXPECT_EQ(blockers[0].code, "file-path");
  EXPECT_EQ(blockers[1].code, "file-path");
}

TEST(Place, gives_directories_on_the_way_the_hosts_metadata) {
  TemporaryDir dir;
  TemporaryDir host;
  ASSERT_EQ(::mkdir((host / "private").c_str(), 0710), 0);
  Carried carried(dir);
  carried.file(host / "private/new/prog", "program", 0755);
  const ViewPlan plan = good(carried.plan({dir.path(), {}, false}));
  ASSERT_EQ(plan.layers.size(), 1u);
  const std::string upper =
      plan.layers[0].directory + "/upper" +
      (host / "private").substr(plan.layers[0].mountpoint == "/" ? 0 : plan.layers[0].mountpoint.size());
  EXPECT_EQ(good(sys::stat(upper)).st_mode & 07777u, 0710u);
  EXPECT_EQ(slurp(upper + "/new/prog"), "program");
  EXPECT_EQ(good(sys::stat(upper + "/new/prog")).st_mode & 07777u, 0755u);
  good(remove_layers(dir.path()));
  EXPECT_FALSE(there(dir / "layer"));
}

class View : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root: mounts";
  }
};

TEST_F(View, shows_carried_files_over_the_hosts_root_and_changes_nothing_on_it) {
  TemporaryDir unit;
  TemporaryDir host;
  write_at(host / "different", "the host's");
  ASSERT_EQ(::mkdir((unit / "dir").c_str(), 0755), 0);
  write_at(unit / "dir/data", "work");
  const std::string text = in_child([&]() -> Result<std::string> {
    TRY_DO(own_mounts());
    Carried carried(unit);
    const std::string fresh = "/godwit-view-test-" + std::to_string(::getpid());
    carried.file(fresh + "/bin/prog", "carried program", 0755);
    carried.file(host / "different", "carried");
    TRY(const auto plan, carried.plan({unit.path(), {{unit / "dir", fresh + "/job"}}, false}));
    TRY(const auto blockers, check_view(plan));
    if (!blockers.empty()) return blockers[0].code + " " + blockers[0].reason;
    TRY_DO(build_view(plan));
    EXPECT_HERE(slurp(fresh + "/bin/prog") == "carried program");
    EXPECT_HERE(slurp(host / "different") == "carried");
    EXPECT_HERE(slurp(fresh + "/job/data") == "work");
    EXPECT_HERE(there("/proc/self/maps"));
    EXPECT_HERE(there("/dev/null"));
    EXPECT_HERE(there("/etc/passwd"));
    write_at(fresh + "/written", "x");
    write_at(fresh + "/job/back", "y");
    TRY(const auto mounts, read_mounts());
    EXPECT_HERE(mounts.size() > 1);
    return std::string();
  });
  EXPECT_EQ(text, "");
  EXPECT_EQ(slurp(host / "different"), "the host's");
  EXPECT_EQ(slurp(unit / "dir/back"), "y");
  for (const std::string& name : good(sys::list_dir("/"))) EXPECT_FALSE(name.starts_with("godwit-view-test-"));
  good(remove_layers(unit.path()));
}

TEST_F(View, lays_an_overlay_over_each_mount_that_carried_files_lie_in) {
  TemporaryDir unit;
  TemporaryDir host;
  const std::string text = in_child([&]() -> Result<std::string> {
    TRY_DO(own_mounts());
    for (const char* name : {"a", "a/sub", "b"}) {
      TRY_DO(sys::make_dirs(host / name));
      TRY_DO(sys::mount("none", host / name, "tmpfs", 0));
      write_at(host / (std::string(name) + "/own"), name);
    }
    TRY_DO(sys::make_dirs(host / "hidden/below"));
    TRY_DO(sys::mount("none", host / "hidden/below", "tmpfs", 0));
    TRY_DO(sys::mount("none", host / "hidden", "tmpfs", 0));
    Carried carried(unit);
    carried.file(host / "a/new", "carried");
    TRY(const auto plan, carried.plan({unit.path(), {}, false}));
    EXPECT_HERE(plan.layers.size() == 1 && plan.layers[0].mountpoint == host / "a");
    TRY_DO(build_view(plan));
    EXPECT_HERE(slurp(host / "a/new") == "carried");
    EXPECT_HERE(slurp(host / "a/own") == "a");
    EXPECT_HERE(slurp(host / "a/sub/own") == "a/sub");
    EXPECT_HERE(slurp(host / "b/own") == "b");
    return std::string();
  });
  EXPECT_EQ(text, "");
  const std::string both = in_child([&]() -> Result<std::string> {
    TRY_DO(own_mounts());
    for (const char* name : {"a", "a/sub", "b"}) {
      TRY_DO(sys::mount("none", host / name, "tmpfs", 0));
      TRY_DO(sys::make_dirs(host / "a/sub"));
      write_at(host / (std::string(name) + "/own"), name);
    }
    good(remove_layers(unit.path()));
    Carried carried(unit);
    carried.file(host / "a/new", "carried");
    carried.file("/godwit-view-test-prog", "carried");
    carried.file(host / "a/sub/new", "carried");
    TRY(const auto plan, carried.plan({unit.path(), {}, false}));
    EXPECT_HERE(plan.layers.size() == 3);
    TRY_DO(build_view(plan));
    EXPECT_HERE(slurp("/godwit-view-test-prog") == "carried");
    EXPECT_HERE(slurp(host / "a/new") == "carried");
    EXPECT_HERE(slurp(host / "a/sub/new") == "carried");
    EXPECT_HERE(slurp(host / "a/sub/own") == "a/sub");
    EXPECT_HERE(slurp(host / "b/own") == "b");
    return std::string();
  });
  EXPECT_EQ(both, "");
}

TEST_F(View, can_be_built_by_an_ordinary_user_in_a_user_namespace) {
  TemporaryDir unit("/var/tmp");
  ASSERT_EQ(::chown(unit.path().c_str(), 65534, 65534), 0);
  const std::string text = in_child([&]() -> Result<std::string> {
    TRY_DO(become_nobody());
    Carried carried(unit);
    carried.file("/godwit-view-test-prog", "carried", 0755);
    carried.file("/godwit-view-test-dir/prog", "carried", 0755);
    carried.file("/usr/bin/godwit-view-test", "carried", 0755);
    TRY_DO(sys::make_dirs(unit / "dir"));
    write_at(unit / "dir/data", "work");
    TRY(const auto plan, carried.plan({unit.path(), {{unit / "dir", "/godwit-view-test-work"}}, true}));
    TRY(const auto blockers, check_view(plan));
    if (!blockers.empty()) return blockers[0].code + " " + blockers[0].reason;
    if (::unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0) return fail_errno(errno, "unshare");
    TRY_DO(io::write_file("/proc/self/setgroups", "deny"));
    TRY_DO(io::write_file("/proc/self/uid_map", "65534 65534 1"));
    TRY_DO(io::write_file("/proc/self/gid_map", "65534 65534 1"));
    TRY_DO(build_view(plan));
    EXPECT_HERE(slurp("/godwit-view-test-prog") == "carried");
    EXPECT_HERE(slurp("/godwit-view-test-dir/prog") == "carried");
    EXPECT_HERE(slurp("/usr/bin/godwit-view-test") == "carried");
    EXPECT_HERE(there("/usr/bin/env"));
    EXPECT_HERE(there("/bin/sh"));
    EXPECT_HERE(slurp("/godwit-view-test-work/data") == "work");
    EXPECT_HERE(there("/proc/self/maps"));
    EXPECT_HERE(there("/dev/null"));
    write_at("/usr/bin/written", "x");
    write_at("/godwit-view-test-work/back", "y");
    return std::string();
  });
  EXPECT_EQ(text, "");
  EXPECT_EQ(slurp(unit / "dir/back"), "y");
  const std::string cleaned = in_child([&]() -> Result<std::string> {
    TRY_DO(become_nobody());
    TRY_DO(remove_layers(unit.path()));
    return std::string(there(unit / "layer") ? "layer is still there" : "");
  });
  EXPECT_EQ(cleaned, "");
}

TEST_F(View, attaches_a_file_system_in_memory_that_only_it_shows) {
  TemporaryDir unit;
  for (const bool layered : {false, true}) {
    const std::string name = "/dev/shm/godwit-view-test-" + std::to_string(::getpid());
    write_at(name, "the node's");
    const auto mounts_before = good(read_mounts()).size();
    const std::string text = in_child([&]() -> Result<std::string> {
      TRY_DO(own_mounts());
      Carried carried(unit);
      if (layered) carried.file("/godwit-view-test-prog", "carried");
      TRY(const auto plan, carried.plan({unit.path(), {{"", "/dev/shm", true}}, false}));
      TRY(const auto blockers, check_view(plan));
      if (!blockers.empty()) return blockers[0].code + " " + blockers[0].reason;
      EXPECT_HERE(!build_view(plan));  // nothing to attach was given
      MemoryMounts memory;
      TRY(memory["/dev/shm"], memory_mount());
      TRY(const Fd made, sys::open_at(memory["/dev/shm"], "object", O_WRONLY | O_CREAT, 0600));
      TRY_DO(build_view(plan, memory));
      EXPECT_HERE(there("/dev/shm/object"));
      EXPECT_HERE(!there(name));
      write_at(name, "the unit's");
      return std::string();
    });
    EXPECT_EQ(text, "") << layered;
    EXPECT_EQ(slurp(name), "the node's");
    EXPECT_EQ(good(read_mounts()).size(), mounts_before);
    ASSERT_EQ(::unlink(name.c_str()), 0);
    good(remove_layers(unit.path()));
  }
}

TEST_F(View, works_on_a_root_that_is_an_overlay_and_refuses_one_that_is_two) {
  TemporaryDir outer;
  TemporaryDir middle;
  const std::string text = in_child([&]() -> Result<std::string> {
    TRY_DO(own_mounts());
    Carried first(outer);
    first.file("/godwit-view-test-one", "1");
    TRY(const auto one, first.plan({outer.path(), {}, false}));
    TRY_DO(build_view(one));

    // Here the host's root is an overlay. A unit directory on it can't hold an upper layer.
    Carried second(middle);
    second.file("/godwit-view-test-two", "2");
    TRY(const auto on_overlay, second.plan({middle.path(), {}, false}));
    TRY(auto refused, check_view(on_overlay));
    EXPECT_HERE(refused.size() == 1 && refused[0].code == "view-layer");

    // On a tmpfs it can.
    TRY_DO(sys::make_dirs("/godwit-view-test-state"));
    TRY_DO(sys::mount("none", "/godwit-view-test-state", "tmpfs", 0));
    TRY(const auto two, second.plan({"/godwit-view-test-state", {}, false}));
    TRY(refused, check_view(two));
    if (!refused.empty()) return refused[0].code + " " + refused[0].reason;
    TRY_DO(build_view(two));
    EXPECT_HERE(slurp("/godwit-view-test-one") == "1");
    EXPECT_HERE(slurp("/godwit-view-test-two") == "2");

    // And now it is an overlay of an overlay.
    TRY_DO(sys::mount("none", "/godwit-view-test-state", "tmpfs", 0));
    Carried third(middle);
    third.file("/godwit-view-test-three", "3");
    TRY(const auto three, third.plan({"/godwit-view-test-state", {}, false}));
    TRY(refused, check_view(three));
    EXPECT_HERE(refused.size() == 1 && refused[0].code == "view-stack");
    return std::string();
  });
  EXPECT_EQ(text, "");
}

}  // namespace
}  // namespace godwit::files
