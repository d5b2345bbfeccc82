#include "node/data_port.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <condition_variable>
#include <mutex>

#include "base/io.h"

namespace godwit::node {
namespace {

constexpr const char* kMove = "0123456789abcdef";

class DataPortTest : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(port_.start("127.0.0.1:0")); }
  Fd connected() const {
    Fd out(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(static_cast<uint16_t>(port_.port()));
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::connect(out.get(), reinterpret_cast<const sockaddr*>(&to), sizeof to), 0);
    return out;
  }
  static void say(const Fd& socket, const std::string& migration, size_t piece = link::kPreambleSize) {
    const auto bytes = link::encode(link::Preamble{migration, 0, 1});
    for (size_t at = 0; at < bytes.size(); at += piece)
      ASSERT_EQ(::send(socket.get(), bytes.data() + at, piece, MSG_NOSIGNAL), static_cast<ssize_t>(piece));
  }
  /// The other side has closed it.
  static bool closed(const Fd& socket) {
    pollfd p{socket.get(), POLLIN, 0};
    char byte = 0;
    return ::poll(&p, 1, 10'000) == 1 && ::recv(socket.get(), &byte, 1, 0) <= 0;
  }
  bool delivered(int count) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(10), [&] { return delivered_ >= count; });
  }
  static int threads() {
    const std::string status = io::read_file("/proc/self/status").value_or("");
    return std::stoi(status.substr(status.find("Threads:") + 8));
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  int delivered_ = 0;
  DataPort port_{[](const link::Preamble& p) { return p.migration == kMove; },
                 [this](const link::Preamble&, const Fd&) {
                   const std::lock_guard lock(mutex_);
                   delivered_++;
                   changed_.notify_all();
                 }};
};

TEST_F(DataPortTest, passes_on_what_a_move_waits_for_in_whatever_pieces_it_comes) {
  const Fd whole = connected(), pieces = connected();
  say(pieces, kMove, 1);
  say(whole, kMove);
  EXPECT_TRUE(delivered(2));
}

TEST_F(DataPortTest, closes_what_is_no_stream_or_of_no_move) {
  const Fd other = connected(), noise = connected();
  say(other, "fedcba9876543210");
  ASSERT_EQ(::send(noise.get(), std::string(64, 'x').data(), 64, MSG_NOSIGNAL), 64);
  EXPECT_TRUE(closed(other));
  EXPECT_TRUE(closed(noise));
  EXPECT_EQ(delivered_, 0);
}

// The first of the silent ones go when there are more than one address may have; none of them has a thread.
TEST_F(DataPortTest, silent_connections_cost_no_thread_and_keep_nobody_out) {
  const int before = threads();
  std::vector<Fd> silent;
  for (size_t i = 0; i < 2 * DataPort::kMaxWaiting; ++i) silent.push_back(connected());
  const Fd good = connected();
  say(good, kMove);
  EXPECT_TRUE(delivered(1));
  EXPECT_LE(threads(), before + 1);  // that of the delivery
  EXPECT_TRUE(closed(silent.front()));
}

TEST_F(DataPortTest, whoever_says_nothing_is_gone_after_some_seconds) {
  const Fd silent = connected();
  const auto start = std::chrono::steady_clock::now();
  EXPECT_TRUE(closed(silent));
  EXPECT_GE(std::chrono::steady_clock::now() - start, std::chrono::seconds(4));
}

}  // namespace
}  // namespace godwit::node
