// Whole moves between two threads of this process, over loopback and TLS, with fake engines.
#include <gtest/gtest.h>

#include <algorithm>

#include "migration/fake_engine.h"
#include "migration/test_kit.h"

namespace godwit::migration {
namespace {

uint64_t fresh_seed() {
  const uint64_t seed = std::random_device{}();
  testing::Test::RecordProperty("seed", std::to_string(seed));
  std::fprintf(stderr, "seed %llu\n", static_cast<unsigned long long>(seed));
  return seed;
}

struct Side : Delegate {
  std::function<void()> on_ask = [] {};
  std::function<void(const Answer&)> on_granted = [](const Answer&) {};
  void ask(const Error*) override { on_ask(); }
  void granted(const Answer& a) override { on_granted(a); }
  void progress(const Progress& p) override { told.push_back(p); }
  std::vector<Progress> told;
};

struct Move {
  fake::Flags flags;
  fake::Source source;
  fake::Destination destination{flags};
  kit::Daemon daemon;
  kit::Store store;
  Side source_side, destination_side;
  Plan out = kit::plan("node-b"), in = kit::plan("node-a");
  std::unique_ptr<Outgoing> outgoing;
  std::unique_ptr<Incoming> incoming;
  Outcome sent, received;

  explicit Move(uint64_t seed, std::vector<size_t> pages = {300, 20}, double dirty_per_ms = 5)
      : source(flags, seed, std::move(pages), dirty_per_ms) {}

  void run(SourceFiles* from = nullptr, DestinationFiles* to = nullptr) {
    outgoing =
        std::make_unique<Outgoing>(out, daemon.endpoint(), kit::certificates().client.get(), source, from, source_side);
    incoming = std::make_unique<Incoming>(in, kit::certificates().server.get(), destination, to, destination_side);
    source_side.on_ask = [this] { outgoing->answer(store.resolve()); };
    destination_side.on_ask = [this] { incoming->answer(store.commit()); };
    daemon.serve([this](const link::Preamble& p, Fd s) { incoming->add_stream(p.index, std::move(s)); });
    std::jthread there([this] { received = incoming->run(); });
    sent = outgoing->run();
    there.join();
    daemon.stop();  // before what its streams were for goes away
  }
};

TEST(Transfer, a_unit_that_writes_all_the_time_arrives_as_it_was_when_frozen) {
  Move m(fresh_seed());
  m.run();
  ASSERT_TRUE(m.sent.committed) << m.sent.error->message();
  EXPECT_TRUE(m.received.committed);
  EXPECT_EQ(m.flags.equal, 1);
  EXPECT_EQ(m.flags.destination_runs, 1);
  EXPECT_EQ(m.flags.source_copy, 0);
  EXPECT_EQ(m.flags.both_ran, 0);
  EXPECT_EQ(m.sent.epoch, 6u);
  EXPECT_EQ(m.sent.token, "commit-token");
  EXPECT_GT(m.sent.report.rounds, 0u);
  EXPECT_GT(m.sent.report.downtime_ms, 0);
}

TEST(Transfer, what_was_sent_is_told_while_a_round_is_under_way) {
  Move m(fresh_seed(), {4000}, 0);
  m.out.patience.progress = Nanos(0);
  m.run();
  ASSERT_TRUE(m.sent.committed) << m.sent.error->message();
  std::vector<uint64_t> first_round;
  for (const auto& p : m.source_side.told) {
    if (std::string_view(p.step) == "precopy" && p.round == 0) first_round.push_back(p.bytes_done);
  }
  ASSERT_GT(first_round.size(), 2u);
  EXPECT_TRUE(std::ranges::is_sorted(first_round));
  EXPECT_LE(first_round.back(), 4000 * kPageSize);
  EXPECT_LT(first_round.front(), first_round.back());
}

TEST(Transfer, areas_that_come_during_precopy_and_before_the_freeze_arrive) {
  Move m(fresh_seed());
  m.source.grows = true;
  m.run();
  ASSERT_TRUE(m.sent.committed) << m.sent.error->message();
  EXPECT_EQ(m.flags.equal, 1);
}

TEST(Transfer, holes_are_made_at_the_destination) {
  Move m(fresh_seed(), {3000, 10}, 0);
  m.source.holes = {{0, 5 * kPageSize, 900 * kPageSize}, {1, 0, kPageSize}};
  m.run();
  ASSERT_TRUE(m.sent.committed) << m.sent.error->message();
  EXPECT_EQ(m.flags.equal, 1);
}

TEST(Transfer, one_stream_and_seven_and_always_compressed_give_the_same) {
  for (const unsigned streams : {1u, 7u}) {
    Move m(fresh_seed(), {2000, 30}, 2);
    m.source.compressible = true;
    m.out.data_streams = streams;
    m.out.zstd_level = 3;
    m.run();
    ASSERT_TRUE(m.sent.committed) << m.sent.error->message();
    EXPECT_EQ(m.flags.equal, 1);
    EXPECT_LT(m.sent.report.bytes_sent, m.sent.report.bytes_raw + 100000);
  }
}

TEST(Transfer, stop_mode_sends_all_while_frozen) {
  Move m(fresh_seed());
  m.out.mode = Mode::kStop;
  m.run();
  ASSERT_TRUE(m.sent.committed) << m.sent.error->message();
  EXPECT_EQ(m.sent.report.rounds, 0u);
  EXPECT_EQ(m.flags.equal, 1);
}

TEST(Transfer, a_lazy_unit_runs_before_its_memory_and_ends_up_with_all_of_it) {
  for (const unsigned streams : {1u, 3u}) {
    Move m(fresh_seed(), {4000, 40}, 5);
    m.out.mode = Mode::kLazy;
    m.out.data_streams = streams;
    m.run();
    ASSERT_TRUE(m.sent.committed) << m.sent.error->message();
    EXPECT_FALSE(m.sent.error);
    EXPECT_FALSE(m.received.error);
    EXPECT_TRUE(m.received.committed);
    EXPECT_EQ(m.flags.equal, 1);
    EXPECT_EQ(m.flags.destination_runs, 1);
    EXPECT_EQ(m.flags.source_copy, 0);
    EXPECT_EQ(m.flags.both_ran, 0);
    EXPECT_EQ(m.sent.report.pages_later, 4000u);
    EXPECT_GT(m.sent.report.pages_wanted, 0u);
    EXPECT_GT(m.sent.report.downtime_ms, 0);
  }
}

TEST(Transfer, a_lazy_move_is_refused_before_anything_is_touched_where_memory_cant_follow) {
  Move m(fresh_seed());
  m.out.mode = Mode::kLazy;
  m.destination.late_blockers = {{"lazy-userfaultfd", "this node", "an ordinary user", "root"}};
  m.run();
  EXPECT_FALSE(m.sent.committed);
  EXPECT_EQ(m.sent.blockers, m.destination.late_blockers);
  EXPECT_EQ(m.sent.report.rounds, 0u);
  EXPECT_EQ(m.flags.source_runs, 1);
}

TEST(Transfer, a_lazy_unit_whose_link_is_cut_after_the_commit_is_ended_on_both_sides) {
  Move m(fresh_seed(), {40000, 40}, 5);
  m.out.mode = Mode::kLazy;
  struct Cutter : Side {
    kit::Daemon* daemon = nullptr;
    std::vector<int> sockets;
    void arriving() override {
      for (const int s : sockets) ::shutdown(s, SHUT_RDWR);
    }
  } cutter;
  m.incoming = std::make_unique<Incoming>(m.in, kit::certificates().server.get(), m.destination, nullptr, cutter);
  m.outgoing = std::make_unique<Outgoing>(m.out, m.daemon.endpoint(), kit::certificates().client.get(), m.source,
                                          nullptr, m.source_side);
  cutter.on_ask = [&] { m.incoming->answer(m.store.commit()); };
  m.daemon.serve([&](const link::Preamble& p, Fd s) {
    cutter.sockets.push_back(s.get());
    m.incoming->add_stream(p.index, std::move(s));
  });
  std::jthread there([&] { m.received = m.incoming->run(); });
  m.sent = m.outgoing->run();
  there.join();
  m.daemon.stop();
  EXPECT_TRUE(m.sent.committed);
  EXPECT_TRUE(m.received.committed);
  ASSERT_TRUE(m.sent.error);
  ASSERT_TRUE(m.received.error);
  EXPECT_EQ(m.flags.destination_runs, 0);
  EXPECT_EQ(m.flags.source_runs, 0);
  EXPECT_EQ(m.flags.source_copy, 0);
  EXPECT_EQ(m.flags.equal, 0);
}

TEST(Transfer, a_refusal_names_every_blocker_and_the_unit_never_noticed) {
  Move m(fresh_seed());
  m.destination.blockers = {{"cpu", "avx512f", "the CPU lacks it", ""}, {"file", "/x", "missing", "carry it"}};
  m.run();
  EXPECT_FALSE(m.sent.committed);
  EXPECT_EQ(m.sent.error->code, Code::kRefused);
  EXPECT_EQ(m.sent.blockers, m.destination.blockers);
  EXPECT_EQ(m.flags.source_runs, 1);
  EXPECT_EQ(m.flags.destination_copy, 0);
}

// Its streams break first; why it gave up comes on stream 0, when all was removed.
TEST(Transfer, a_destination_that_gives_up_while_memory_comes_is_quoted) {
  Move m(fresh_seed(), {20000, 20}, 0);
  m.destination.write_limit = 3;
  m.run();
  EXPECT_FALSE(m.sent.committed);
  EXPECT_NE(m.sent.error->message().find("no memory left"), std::string::npos) << m.sent.error->message();
  EXPECT_EQ(m.flags.source_runs, 1);
  EXPECT_EQ(m.flags.destination_copy, 0);
}

TEST(Transfer, a_wrong_token_or_a_wrong_peer_moves_nothing) {
  for (const bool token : {true, false}) {
    Move m(fresh_seed());
    (token ? m.out.token : m.out.peer) = "node-x";
    m.in.arrival = std::chrono::milliseconds(300);
    m.run();
    EXPECT_FALSE(m.sent.committed);
    EXPECT_EQ(m.flags.source_runs, 1);
    EXPECT_EQ(m.flags.destination_copy, 0);
  }
}

TEST(Transfer, a_denied_commit_thaws_the_source) {
  Move m(fresh_seed());
  (void)m.store.resolve();  // the controller has given it up
  m.run();
  EXPECT_FALSE(m.sent.committed);
  EXPECT_EQ(m.flags.source_runs, 1);
  EXPECT_EQ(m.flags.destination_runs, 0);
  EXPECT_EQ(m.flags.destination_copy, 0);
}

TEST(Transfer, a_question_that_was_lost_is_asked_again) {
  Move m(fresh_seed());
  m.in.patience.ask_again = std::chrono::milliseconds(5);
  struct Deaf : Side {
    Move* move = nullptr;
    int asked = 0;
    void ask(const Error*) override {
      if (++asked == 3) move->incoming->answer(move->store.commit());
    }
  } deaf;
  deaf.move = &m;
  m.incoming = std::make_unique<Incoming>(m.in, kit::certificates().server.get(), m.destination, nullptr, deaf);
  m.outgoing = std::make_unique<Outgoing>(m.out, m.daemon.endpoint(), kit::certificates().client.get(), m.source,
                                          nullptr, m.source_side);
  m.daemon.serve([&](const link::Preamble& p, Fd s) { m.incoming->add_stream(p.index, std::move(s)); });
  std::jthread there([&] { m.received = m.incoming->run(); });
  m.sent = m.outgoing->run();
  EXPECT_TRUE(m.sent.committed);
  there.join();
  m.daemon.stop();
  EXPECT_EQ(deaf.asked, 3);
}

struct TestFiles : SourceFiles, DestinationFiles {
  std::mutex mutex;
  std::map<std::string, std::string> chunks;
  bool ready = false, discarded = false;
  std::string snapshot;
  static Result<void> send_some(PageSender& out, size_t n, char tag) {
    return out.chunks(n, [&](size_t i, PageSender::Chunk& c) -> Result<void> {
      c.id.fill(static_cast<std::byte>(i));
      c.id[0] = static_cast<std::byte>(tag);
      c.data.assign(1000 + i, static_cast<std::byte>(tag));
      return {};
    });
  }
  Result<std::string> offer(const std::string& demands) override {
    EXPECT_EQ(demands, "demands");
    return "offer";
  }
  Result<void> send(const std::string& wanted, PageSender& out) override {
    EXPECT_EQ(wanted, "wanted of offer");
    return send_some(out, 20, 'a');
  }
  Result<std::string> last(PageSender& out, const std::optional<std::vector<engine::FileMapping>>&) override {
    TRY_DO(send_some(out, 5, 'b'));
    return "snapshot";
  }
  Result<Wanted> want(const std::string& offered) override { return Wanted{"wanted of " + offered, 20000}; }
  Result<void> chunk(std::span<const std::byte, kChunkIdSize> id, std::span<const std::byte> data) override {
    const std::scoped_lock lock(mutex);
    chunks[std::string(reinterpret_cast<const char*>(id.data()), id.size())] =
        std::string(reinterpret_cast<const char*>(data.data()), data.size());
    return {};
  }
  Result<void> arrived() override {
    ready = chunks.size() == 20;
    return {};
  }
  Result<void> last(const std::string& s) override {
    snapshot = s;
    return {};
  }
  void discard() override { discarded = true; }
};

TEST(Transfer, file_chunks_travel_before_memory_and_once_more_while_frozen) {
  Move m(fresh_seed());
  TestFiles files;
  m.run(&files, &files);
  ASSERT_TRUE(m.sent.committed) << m.sent.error->message();
  EXPECT_TRUE(files.ready);
  EXPECT_EQ(files.chunks.size(), 25u);
  EXPECT_EQ(files.snapshot, "snapshot");
  EXPECT_GT(m.sent.report.files_bytes, 20000u);
}

}  // namespace
}  // namespace godwit::migration
