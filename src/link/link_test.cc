#include "link/link.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <atomic>
#include <memory>
#include <random>
#include <thread>
#include <vector>

#include "base/io.h"
#include "base/sys.h"
#include "godwit/keeper.pb.h"
#include "link/keeper_args.h"

namespace godwit::link {
namespace {

using wire::keeper::Packet;

class TempDir {
 public:
  TempDir() {
    char name[] = "/tmp/godwit_link_XXXXXX";
    path_ = ::mkdtemp(name);
  }
  ~TempDir() { (void)sys::remove_tree(path_); }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

std::pair<Channel, Channel>* pair_of_channels() {
  auto fds = sys::socketpair(AF_UNIX, SOCK_SEQPACKET);
  return new std::pair<Channel, Channel>(std::piecewise_construct, std::forward_as_tuple(std::move(fds->first)),
                                         std::forward_as_tuple(std::move(fds->second)));
}

TEST(Link, a_packet_and_its_descriptor_arrive) {
  std::unique_ptr<std::pair<Channel, Channel>> ends(pair_of_channels());
  auto pipe = sys::pipe();
  Packet out;
  out.set_id(7);
  out.mutable_stream()->set_index(3);
  const int fds[] = {pipe->second.get()};
  ASSERT_TRUE(ends->first.send(out, fds));
  Packet in;
  auto got = ends->second.receive(in);
  ASSERT_TRUE(got) << got.error().message();
  EXPECT_EQ(in.stream().index(), 3u);
  ASSERT_EQ(got->size(), 1u);
  ASSERT_TRUE(io::write_full((*got)[0].get(), "x"));
  std::byte b;
  EXPECT_TRUE(io::read_full(pipe->first.get(), {&b, 1}));
}

TEST(Link, a_long_packet_goes_through_a_file_and_keeps_its_descriptors) {
  std::unique_ptr<std::pair<Channel, Channel>> ends(pair_of_channels());
  auto pipe = sys::pipe();
  Packet out;
  out.mutable_checked()->set_demands_raw(std::string(5u << 20, 'd'));
  const int fds[] = {pipe->second.get()};
  ASSERT_TRUE(ends->first.send(out, fds));
  Packet in;
  auto got = ends->second.receive(in);
  ASSERT_TRUE(got) << got.error().message();
  EXPECT_EQ(in.checked().demands_raw().size(), 5u << 20);
  EXPECT_EQ(got->size(), 1u);
}

TEST(Link, a_packet_beyond_the_limit_is_not_sent) {
  std::unique_ptr<std::pair<Channel, Channel>> ends(pair_of_channels());
  Packet out;
  out.mutable_checked()->set_demands_raw(std::string(kPacketLimit + 1, 'd'));
  auto sent = ends->first.send(out);
  ASSERT_FALSE(sent);
  EXPECT_EQ(sent.error().code, Code::kUsage);
}

TEST(Link, a_length_that_lies_allocates_nothing) {
  auto fds = sys::socketpair(AF_UNIX, SOCK_SEQPACKET);
  Channel reader(std::move(fds->second));
  Packet out;
  out.set_spilled(uint64_t{1} << 40);
  auto memory = sys::memfd("x");
  const int file[] = {memory->get()};
  ASSERT_TRUE(io::send_with_fds(fds->first.get(), out.SerializeAsString(), file));
  Packet in;
  auto got = reader.receive(in);
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().code, Code::kCorrupt);
}

// The mask is the whole process's: one that is changed for a moment is what a program started beside that gets, and of two that
// change it at once one may leave it changed.
TEST(Link, listening_is_for_the_owner_alone_and_leaves_the_mask_of_other_threads) {
  const TempDir dir;
  const mode_t mask = ::umask(022);
  std::atomic<bool> ready{false};
  std::atomic<int> changed{0};
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 2; t++) {
      threads.emplace_back([&, t] {
        while (!ready) std::this_thread::yield();
        for (int i = 0; i < 300; i++) {
          const std::string path = dir.path() + "/" + std::to_string(t);
          const auto listener = listen(path);
          struct stat st{};
          if (!listener || ::stat(path.c_str(), &st) != 0 || (st.st_mode & 0777) != 0600) changed++;
          if (io::read_file("/proc/self/status")->find("Umask:\t0022\n") == std::string::npos) changed++;
        }
      });
    }
    ready = true;
  }
  EXPECT_EQ(changed, 0);
  EXPECT_EQ(::umask(mask), 022u);
}

TEST(Link, listening_and_connecting_work_at_a_path_longer_than_a_socket_address) {
  const TempDir temp;
  const std::string dir = temp.path() + "/" + std::string(100, 'a') + "/" + std::string(100, 'b');
  ASSERT_TRUE(sys::make_dirs(dir));
  const std::string path = dir + "/keeper.sock";
  EXPECT_EQ(connect(path).error().code, Code::kNotFound);
  auto listener = listen(path);
  ASSERT_TRUE(listener) << listener.error().message();
  auto socket = connect(path);
  ASSERT_TRUE(socket) << socket.error().message();
  auto accepted = accept(*listener);
  ASSERT_TRUE(accepted);
  Channel a(std::move(*socket));
  {
    Channel b(std::move(*accepted));
    Packet out;
    out.mutable_done();
    ASSERT_TRUE(b.send(out));
  }
  Packet in;
  ASSERT_TRUE(a.receive(in));
  EXPECT_TRUE(in.has_done());
  auto end = a.receive(in);
  ASSERT_FALSE(end);
  EXPECT_EQ(end.error().code, Code::kPeer);
  listener->reset();
  EXPECT_EQ(connect(path).error().code, Code::kPeer);
}

TEST(Preamble, comes_back_as_it_was) {
  const Preamble p{"0123456789abcdef", 3, 4};
  auto back = decode(encode(p));
  ASSERT_TRUE(back);
  EXPECT_EQ(*back, p);
}

TEST(Preamble, any_changed_byte_is_refused_or_another_migration_or_stream) {
  const Preamble p{"0123456789abcdef", 0, 1};
  const auto good = encode(p);
  for (size_t i = 0; i < good.size(); i++) {
    auto bad = good;
    bad[i] ^= std::byte{0x80};
    EXPECT_FALSE(decode(bad)) << "byte " << i;
  }
}

TEST(Preamble, random_bytes_are_refused) {
  std::mt19937_64 random(1);
  std::array<std::byte, kPreambleSize> bytes;
  for (int i = 0; i < 1000; i++) {
    for (auto& b : bytes) b = static_cast<std::byte>(random());
    EXPECT_FALSE(decode(bytes));
  }
}

TEST(KeeperArgs, come_back_as_they_were_and_wrong_ones_are_named) {
  const KeeperArgs args{"0123", "/s/units/0123", "/s", "node-1", "/other root", "riscv64"};
  const auto list = to_arguments(args);
  std::vector<const char*> argv = {"godwit-keeper"};
  for (const auto& a : list) argv.push_back(a.c_str());
  EXPECT_EQ(*parse_keeper_args(static_cast<int>(argv.size()), argv.data()), args);
  EXPECT_EQ(parse_keeper_args(static_cast<int>(argv.size()) - 1, argv.data()).error().text, "no value for --arch");
  EXPECT_EQ(parse_keeper_args(3, argv.data()).error().text, "missing option --dir");
}

}  // namespace
}  // namespace godwit::link
