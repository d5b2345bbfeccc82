#include "files/travel.h"

#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/wait.h>

#include <algorithm>

#include "files/mounts.h"
#include "files/testing.h"

namespace godwit::files {
namespace {

using testing::good;
using testing::Random;
using testing::slurp;
using testing::TemporaryDir;
using testing::write_at;

// A source host (its root is a directory), a destination (this host's root, with a unit directory), nothing between.
struct Move {
  TemporaryDir source;
  TemporaryDir unit;
  TemporaryDir state;
  TemporaryDir work_path;  // where the unit sees its work directory, on both hosts
  TemporaryDir work;       // its content at the source
  ChunkDir store = good(ChunkDir::open(state / "chunks"));

  Departure departure(std::vector<Needed> needed) {
    DepartureSpec spec;
    spec.root = source.fd();
    spec.needed = std::move(needed);
    spec.directories.push_back({TravellingTree::Role::kWork, work_path.path(), work.fd()});
    return Departure(std::move(spec));
  }
  Departure departure_of_shm(const TemporaryDir& shm) {
    DepartureSpec spec;
    spec.root = source.fd();
    spec.directories.push_back({TravellingTree::Role::kOwn, "/dev/shm", shm.fd()});
    return Departure(std::move(spec));
  }
  ArrivalSpec arrival_spec() {
    ArrivalSpec spec;
    spec.unit_directory = unit.path();
    spec.store = &store;
    spec.sink = &store;
    return spec;
  }
  Arrival arrival() { return Arrival(arrival_spec()); }
  static void carry(Departure& from, Arrival& to, const std::vector<ChunkWant>& chunks) {
    for (const ChunkWant& want : chunks) {
      std::vector<std::byte> data(want.length);
      if (good(from.read(want.id, data))) good(to.put(want.id, data));
    }
  }
};

TEST(Travel, brings_the_work_directory_as_it_was_when_the_unit_stopped) {
  Move m;
  Random random;
  write_at(m.work / "big", random.bytes(6 * kChunkSize));
  write_at(m.work / "goes", "soon");
  Departure from = m.departure({});
  Arrival to = m.arrival();
  const std::string offer = good(from.offer());
  const auto considered = good(to.consider(offer));
  EXPECT_TRUE(to.blockers().empty());
  EXPECT_EQ(considered.wanted_bytes, 6 * kChunkSize + 4);
  const auto wanted = good(from.asked(considered.answer));
  write_at(m.work / "big", "changed before it was read", 2 * kChunkSize);
  Move::carry(from, to, wanted);
  EXPECT_TRUE(good(to.arrived()).layers.empty());
  EXPECT_FALSE(sys::stat(m.unit / "dir/big"));  // a chunk of it is missing

  write_at(m.work / "new", "written while running");
  ASSERT_EQ(::unlink((m.work / "goes").c_str()), 0);
  const auto final_one = good(from.last({}));
  Move::carry(from, to, final_one.chunks);
  EXPECT_EQ(final_one.chunks.size(), 2u);
  good(to.last(final_one.message));
  EXPECT_EQ(slurp(m.unit / "dir/big"), slurp(m.work / "big"));
  EXPECT_EQ(good(take(good(sys::open(m.unit / "dir", O_RDONLY)), {})).tree, good(take(m.work.fd(), {})).tree);
  to.discard();
  EXPECT_TRUE(good(sys::list_dir(m.unit.path())).empty());
}

TEST(Travel, carries_what_was_skipped_even_if_the_file_is_the_same_again_in_the_end) {
  Move m;
  write_at(m.work / "f", "one");
  Departure from = m.departure({});
  Arrival to = m.arrival();
  const auto wanted = good(from.asked(good(to.consider(good(from.offer()))).answer));
  write_at(m.work / "f", "two");
  Move::carry(from, to, wanted);
  (void)good(to.arrived());
  write_at(m.work / "f", "one");
  const auto final_one = good(from.last({}));
  Move::carry(from, to, final_one.chunks);
  good(to.last(final_one.message));
  EXPECT_EQ(slurp(m.unit / "dir/f"), "one");
}

TEST(Travel, brings_a_directory_of_the_units_own_with_what_is_open_in_it) {
  Move m;
  TemporaryDir own;
  write_at(own / "open", "written");
  DepartureSpec spec;
  spec.root = m.source.fd();
  spec.needed = {{"/tmp/open", Use::kOpenWrite, "fd 5 of pid 9 (prog)"}, {"/tmp", Use::kDirectory, "cwd"}};
  spec.directories.push_back({TravellingTree::Role::kOwn, "/tmp", own.fd()});
  Departure from(std::move(spec));
  Arrival to = m.arrival();
  const auto wanted = good(from.asked(good(to.consider(good(from.offer()))).answer));
  EXPECT_TRUE(from.blockers().empty());
  EXPECT_TRUE(to.blockers().empty());
  Move::carry(from, to, wanted);
  const auto plan = good(to.arrived());
  ASSERT_EQ(plan.binds.size(), 1u);
  EXPECT_EQ(plan.binds[0], (ViewPlan::Bind{m.unit / "own/tmp", "/tmp", true}));
  write_at(own / "open", "more", 7);
  const auto final_one = good(from.last({}));
  Move::carry(from, to, final_one.chunks);
  good(to.last(final_one.message));
  EXPECT_EQ(slurp(m.unit / "own/tmp/open"), "writtenmore");
  to.discard();
  EXPECT_TRUE(good(sys::list_dir(m.unit.path())).empty());
}

// What a process does with an object of shm_open(3): maps it, reads, writes, unmaps. What was read is mapped writable on a
// tmpfs, so the kernel doesn't see the write.
void write_mapped(const Fd& dir, const char* name, std::string_view text, uint64_t offset = 0) {
  const Fd file = good(sys::open_at(dir, name, O_RDWR));
  void* at = ::mmap(nullptr, 2 * kChunkSize, PROT_READ | PROT_WRITE, MAP_SHARED, file.get(), 0);
  ASSERT_NE(at, MAP_FAILED);
  (void)*(static_cast<volatile char*>(at) + offset);
  std::memcpy(static_cast<char*>(at) + offset, text.data(), text.size());
  ::munmap(at, 2 * kChunkSize);
}

TEST(Travel, brings_shared_memory_in_memory_with_what_was_written_through_a_mapping_that_is_gone) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root: mounts";
  Move m;
  const auto mounts_before = good(read_mounts()).size();
  const Fd source = good(memory_mount());
  const Fd shm = good(sys::open_at(source, ".", O_RDONLY | O_DIRECTORY));
  const Fd object = good(sys::open_at(shm, "object", O_RDWR | O_CREAT, 0600));
  ASSERT_EQ(::ftruncate(object.get(), 2 * kChunkSize), 0);
  write_mapped(shm, "object", "before", kChunkSize);
  testing::wait_until_settled(object);
  DepartureSpec spec;
  spec.root = m.source.fd();
  spec.needed = {{"/dev/shm/object", Use::kOpenWrite, "mapped by pid 9 (prog)"}};
  spec.directories.push_back({TravellingTree::Role::kOwn, "/dev/shm", good(sys::dup(shm.get()))});
  Departure from(std::move(spec));
  Arrival to = m.arrival();
  const auto considered = good(to.consider(good(from.offer())));
  ASSERT_TRUE(from.blockers().empty());
  ASSERT_TRUE(to.blockers().empty());
  EXPECT_EQ(considered.wanted_bytes, kChunkSize);  // and nothing of the hole
  Move::carry(from, to, good(from.asked(considered.answer)));
  const auto plan = good(to.arrived());
  ASSERT_EQ(plan.binds.size(), 1u);
  EXPECT_EQ(plan.binds[0], (ViewPlan::Bind{"", "/dev/shm", true}));
  const MemoryMounts memory = to.take_memory();
  ASSERT_TRUE(memory.contains("/dev/shm"));

  write_mapped(shm, "object", "after!", kChunkSize);
  const auto final_one = good(from.last({}));
  Move::carry(from, to, final_one.chunks);
  good(to.last(final_one.message));
  const Fd arrived = good(sys::open_at(memory.at("/dev/shm"), "object", O_RDONLY));
  std::string found(6, '\0');
  good(io::pread_full(arrived.get(), std::as_writable_bytes(std::span(found)), kChunkSize));
  EXPECT_EQ(found, "after!");
  struct stat st = good(sys::stat(arrived));
  EXPECT_EQ(st.st_size, static_cast<off_t>(2 * kChunkSize));
  EXPECT_LE(st.st_blocks * 512, static_cast<blkcnt_t>(kChunkSize));
  EXPECT_EQ(good(sys::stat(memory.at("/dev/shm"))).st_mode & 07777u, 01777u);
  EXPECT_TRUE(good(sys::list_dir(m.unit.path())).empty());
  EXPECT_EQ(good(read_mounts()).size(), mounts_before);
}

TEST(Travel, refuses_shared_memory_that_does_not_fit) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root: mounts";
  Move m;
  TemporaryDir shm;
  write_at(shm / "object", std::string(1000, 'x'));
  for (const uint64_t room : {999, 1000}) {
    Departure from = m.departure_of_shm(shm);
    ArrivalSpec there = m.arrival_spec();
    there.memory_room = room;
    Arrival to(std::move(there));
    good(to.consider(good(from.offer())));
    if (room == 1000) {
      EXPECT_TRUE(to.blockers().empty());
      continue;
    }
    ASSERT_EQ(to.blockers().size(), 1u);
    EXPECT_EQ(to.blockers()[0].code, "shared-memory-space");
    EXPECT_EQ(to.blockers()[0].object, "/dev/shm");
  }
}

TEST(Travel, puts_shared_memory_on_disk_where_nothing_can_be_mounted_yet) {
  Move m;
  TemporaryDir shm;
  write_at(shm / "object", "x");
  Departure from = m.departure_of_shm(shm);
  ArrivalSpec there = m.arrival_spec();
  there.user_namespace = true;
  Arrival to(std::move(there));
  Move::carry(from, to, good(from.asked(good(to.consider(good(from.offer()))).answer)));
  const auto plan = good(to.arrived());
  ASSERT_EQ(plan.binds.size(), 1u);
  EXPECT_EQ(plan.binds[0].from, m.unit / "own/dev/shm");
  EXPECT_EQ(slurp(m.unit / "own/dev/shm/object"), "x");
  EXPECT_TRUE(to.take_memory().empty());
}

TEST(Travel, takes_no_other_directory_for_the_units_own) {
  Move m;
  TemporaryDir etc;
  for (const char* path : {"/etc", "/tmp/../etc"}) {
    Offer offer;
    offer.trees.push_back({TravellingTree::Role::kOwn, path, good(take(etc.fd(), {})).tree});
    const auto considered = m.arrival().consider(encode(offer));
    ASSERT_FALSE(considered) << path;
    EXPECT_EQ(considered.error().code, Code::kCorrupt);
  }
}

TEST(Travel, refuses_a_file_open_for_writing_that_is_not_shared) {
  Move m;
  TemporaryDir data;
  write_at(data / "out", "x");
  good(sys::make_dirs(m.source.path() + data.path()));
  write_at(m.source.path() + data / "out", "x");
  Departure from = m.departure({{data / "out", Use::kOpenWrite, "fd 5 of pid 9 (prog)"}});
  Arrival to = m.arrival();
  const auto considered = good(to.consider(good(from.offer())));
  (void)good(from.asked(considered.answer));
  ASSERT_EQ(from.blockers().size(), 1u);
  EXPECT_EQ(from.blockers()[0].code, "file-write-not-shared");
  EXPECT_EQ(from.blockers()[0].object, data / "out" + ", fd 5 of pid 9 (prog)");
  EXPECT_EQ(good(sys::list_dir(m.source.path() + data.path())).size(), 1u);  // no probe is left
}

TEST(Travel, lets_a_shared_file_be) {
  Move m;
  TemporaryDir data;
  write_at(data / "out", "x");
  DepartureSpec spec;
  spec.root = good(sys::open("/", O_RDONLY | O_DIRECTORY));
  spec.needed = {{data / "out", Use::kOpenWrite, "fd 5"}};
  Departure from(std::move(spec));
  Arrival to = m.arrival();
  (void)good(from.asked(good(to.consider(good(from.offer()))).answer));
  EXPECT_TRUE(from.blockers().empty());
  EXPECT_TRUE(to.blockers().empty());
}

TEST(Travel, gives_no_chunk_that_was_not_offered) {
  Move m;
  Departure from = m.departure({});
  (void)good(from.offer());
  files::Answer spying;
  const std::string secret = "secret";
  spying.wanted.push_back({chunk_id_of(std::as_bytes(std::span(secret))), 6});
  EXPECT_EQ(from.asked(encode(spying)).error().code, Code::kCorrupt);
}

TEST(Travel, brings_program_and_work_directory_to_a_host_that_has_neither) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root: mounts";
  Move m;
  const std::string place = "/godwit-travel-test-" + std::to_string(::getpid());
  good(sys::make_dirs(m.source.path() + place));
  write_at(m.source.path() + place + "/prog", "#!/bin/sh\necho I was carried\n");
  ASSERT_EQ(::chmod((m.source.path() + place + "/prog").c_str(), 0755), 0);
  write_at(m.work / "input", "data");
  DepartureSpec spec;
  spec.root = m.source.fd();
  spec.needed = {{place + "/prog", Use::kExecutable, "pid 1"}};
  spec.directories.push_back({TravellingTree::Role::kWork, place + "/job", m.work.fd()});
  Departure from(std::move(spec));
  Arrival to = m.arrival();
  const auto considered = good(to.consider(good(from.offer())));
  ASSERT_TRUE(to.blockers().empty()) << to.blockers()[0].reason;
  Move::carry(from, to, good(from.asked(considered.answer)));
  const ViewPlan plan = good(to.arrived());
  const auto final_one = good(from.last({}));
  auto ends = good(sys::pipe());
  const pid_t child = ::fork();
  if (child == 0) {
    if (::unshare(CLONE_NEWNS) < 0 || !build_view(plan)) ::_exit(100);
    if (!to.last(final_one.message)) ::_exit(101);
    if (slurp(place + "/job/input") != "data") ::_exit(102);
    ::dup2(ends.second.get(), 1);
    ::execl((place + "/prog").c_str(), "prog", nullptr);
    ::_exit(103);
  }
  ends.second.reset();
  EXPECT_EQ(good(io::read_all(ends.first.get())), "I was carried\n");
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
  EXPECT_FALSE(sys::stat(place));
}

TEST(Travel, takes_along_what_the_unit_changed_in_its_view) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root: mounts";
  Move m;
  // The layers of a view as it was at the source: one over "/" in which a new file was made and a host's one deleted.
  const std::string upper = m.state / "layer/0/upper";
  good(sys::make_dirs(upper + "/var/tmp"));
  write_at(upper + "/var/tmp/godwit-travel-made", "made");
  ASSERT_EQ(::mknod((upper + "/usr").c_str(), S_IFCHR, 0), 0);
  const ViewPlan was{m.state / "view", {{"/", m.state / "layer/0"}}, {}, false, {}};
  DepartureSpec spec;
  spec.root = m.source.fd();
  spec.directories = good(layer_directories(was));
  Departure from(std::move(spec));
  Arrival to = m.arrival();
  const auto considered = good(to.consider(good(from.offer())));
  ASSERT_TRUE(to.blockers().empty()) << to.blockers()[0].reason;
  Move::carry(from, to, good(from.asked(considered.answer)));
  const ViewPlan plan = good(to.arrived());
  good(to.last(good(from.last({})).message));
  EXPECT_EQ(slurp(plan.upper_of("/var/tmp/godwit-travel-made")), "made");
  EXPECT_TRUE(S_ISCHR(good(sys::lstat(plan.upper_of("/usr"))).st_mode));
}

TEST(Plan, tells_where_in_the_layers_a_path_lies) {
  const ViewPlan plan{"/v", {{"/", "/l/0"}, {"/home", "/l/1"}, {"/new", "/l/2", true}}, {}, false, {}};
  EXPECT_EQ(plan.upper_of("/"), "/l/0/upper");
  EXPECT_EQ(plan.upper_of("/usr/bin"), "/l/0/upper/usr/bin");
  EXPECT_EQ(plan.upper_of("/home"), "/l/1/upper");
  EXPECT_EQ(plan.upper_of("/home/u"), "/l/1/upper/u");
  EXPECT_EQ(plan.upper_of("/new"), "/l/2/upper/new");
  EXPECT_EQ(plan.upper_of("/new/x"), "/l/2/upper/new/x");
  EXPECT_EQ(ViewPlan{}.upper_of("/x"), "");
}

Offer sample() {
  Offer offer;
  Demand demand;
  demand.recipe = {.path = "/bin/prog", .mode = 0755, .uid = 3, .gid = 4, .mtime_ns = -5};
  demand.recipe.attributes = {{"user.x", "y"}};
  demand.recipe.content = {.size = 3 * kChunkSize, .pieces = {{0, {}}, {2, {}}}};
  demand.recipe.content.pieces[1].id.bytes.fill(9);
  demand.used_by = "pid 1";
  offer.demands.push_back(demand);
  offer.questions.push_back({"/data/f", ".godwit-probe-" + std::string(32, 'a'), std::string(32, 'n')});
  TravellingTree tree;
  tree.path = "/job";
  tree.tree.entries.push_back({.path = "", .kind = Kind::kDirectory, .mode = 0755});
  tree.tree.entries.push_back({.path = "f", .mode = 0644});
  tree.tree.entries.push_back({.path = "g", .mode = 0644, .hard_link_to = "f"});
  tree.tree.entries.push_back({.path = "link", .kind = Kind::kSymlink, .mode = 0777, .target = "f"});
  offer.trees.push_back(tree);
  return offer;
}

TEST(Wire, gives_back_what_was_put_in) {
  const Offer offer = sample();
  EXPECT_EQ(good(decode_offer(encode(offer))), offer);
  files::Answer answer;
  answer.wanted = {{chunk_id_of({}), 17}};
  answer.answers = {{"/data/f", true, std::string(32, 'r'), ""}};
  EXPECT_EQ(good(decode_answer(encode(answer))), answer);
  const Last last{{make_delta(offer.trees[0].tree, {{offer.trees[0].tree.entries[0]}})}};
  EXPECT_EQ(good(decode_last(encode(last))), last);
  const ViewPlan plan{
      "/u/view", {{"/usr", "/u/layer/0"}, {"/x", "/u/layer/1", true}}, {{"/u/dir", "/job"}}, true, {"/"}};
  EXPECT_EQ(good(decode_view_plan(encode(plan))), plan);
  EXPECT_EQ(good(decode_tree(encode(offer.trees[0].tree))), offer.trees[0].tree);
}

TEST(Wire, survives_every_flipped_bit_and_every_cut) {
  const std::string whole = encode(sample());
  const auto try_all = [](const std::string& bytes) {
    const auto offer = decode_offer(bytes);
    EXPECT_TRUE(offer || offer.error().code == Code::kCorrupt);
    const auto answer = decode_answer(bytes);
    EXPECT_TRUE(answer || answer.error().code == Code::kCorrupt);
  };
  for (size_t i = 0; i < whole.size(); ++i) {
    try_all(whole.substr(0, i));
    for (int bit = 0; bit < 8; ++bit) {
      std::string bad = whole;
      bad[i] = static_cast<char>(bad[i] ^ (1 << bit));
      try_all(bad);
    }
  }
}

}  // namespace
}  // namespace godwit::files
