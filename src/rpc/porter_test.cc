#include "rpc/porter.h"

#include <arpa/inet.h>
#include <grpcpp/generic/async_generic_service.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sys/socket.h>

#include "base/io.h"
#include "base/pki.h"
#include "base/sys.h"
#include "rpc/rpc.h"

namespace godwit::rpc {
namespace {

class Nothing : public grpc::CallbackGenericService {};

class PorterTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const auto made = *pki::issue(ca_, "controller", {"localhost", "127.0.0.1"});
    self_ = {ca_.certificate, made.certificate, made.key, *pki::Sites::of(ca_.certificate, {})};
    grpc::ServerBuilder builder;
    set_up(builder);
    auto porter = Porter::listen(builder, "127.0.0.1:0", server_credentials(self_));
    ASSERT_TRUE(porter) << porter.error().message();
    porter_ = std::move(*porter);
    builder.RegisterCallbackGenericService(&service_);
    server_ = builder.BuildAndStart();
    ASSERT_NE(server_, nullptr);
    porter_->start();
  }
  void TearDown() override {
    porter_.reset();
    if (server_) server_->Shutdown(std::chrono::system_clock::now());
  }
  [[nodiscard]] Fd connected() const {
    Fd out(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(static_cast<uint16_t>(porter_->port()));
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::connect(out.get(), reinterpret_cast<const sockaddr*>(&to), sizeof to), 0);
    return out;
  }
  static void say(const Fd& socket, const std::string& bytes) {
    (void)::send(socket.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
  }
  /// The other side has closed it; what it said before doesn't count.
  static bool closed(const Fd& socket, int limit_ms = 10'000) {
    char bytes[4096];
    for (pollfd p{socket.get(), POLLIN, 0}; ::poll(&p, 1, limit_ms) == 1;)
      if (::recv(socket.get(), bytes, sizeof bytes, 0) <= 0) return true;
    return false;
  }
  /// A client of the same authority gets through.
  [[nodiscard]] bool good_one_is_let_in() const {
    const auto made = *pki::issue(ca_, "node-1");
    const Identity client{ca_.certificate, made.certificate, made.key, *pki::Sites::of(ca_.certificate, {})};
    const auto to = channel("127.0.0.1:" + std::to_string(porter_->port()), client, "controller");
    return to->WaitForConnected(std::chrono::system_clock::now() + std::chrono::seconds(10));
  }
  /// A whole ClientHello.
  static std::string hello() {
    const std::unique_ptr<SSL_CTX, void (*)(SSL_CTX*)> context(SSL_CTX_new(TLS_client_method()), SSL_CTX_free);
    const std::unique_ptr<SSL, void (*)(SSL*)> ssl(SSL_new(context.get()), SSL_free);
    BIO* const out = BIO_new(BIO_s_mem());
    SSL_set_bio(ssl.get(), BIO_new(BIO_s_mem()), out);
    (void)SSL_connect(ssl.get());
    char* data = nullptr;
    const long size = BIO_get_mem_data(out, &data);
    return {data, static_cast<size_t>(size)};
  }

  const pki::Identity ca_ = *pki::make_authority("home");
  Identity self_;
  Nothing service_;
  std::unique_ptr<Porter> porter_;
  std::unique_ptr<grpc::Server> server_;
};

TEST_F(PorterTest, lets_a_good_one_in) { EXPECT_TRUE(good_one_is_let_in()); }

TEST_F(PorterTest, turns_out_what_is_no_tls_at_once) {
  for (const char* bytes : {"GET / HTTP/1.1\r\n", "PRI * HTTP/2.0\r\n", "\x16\x02xx", "\x16\x03\x01\xff\xff"}) {
    const Fd one = connected();
    say(one, bytes);
    EXPECT_TRUE(closed(one, 2000)) << bytes;
  }
  EXPECT_TRUE(good_one_is_let_in());
}

TEST_F(PorterTest, a_record_may_come_in_pieces_and_not_for_ever) {
  const Fd pieces = connected(), slow = connected();
  for (const char c : hello()) say(pieces, std::string(1, c));
  char byte = 0;
  pollfd p{pieces.get(), POLLIN, 0};
  ASSERT_EQ(::poll(&p, 1, 10'000), 1);  // the server's answer
  EXPECT_EQ(::recv(pieces.get(), &byte, 1, 0), 1);
  const auto begin = std::chrono::steady_clock::now();
  say(slow, hello().substr(0, 100));
  EXPECT_TRUE(closed(slow));
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(7));
}

// More than the table has rows, of each kind: all are one address's, which has half of it.
TEST_F(PorterTest, a_crowd_keeps_nobody_out_and_has_a_bound) {
  const auto descriptors = [] { return sys::list_dir("/proc/self/fd")->size(); };
  for (const std::string& first : {std::string(), hello().substr(0, 100), hello()}) {
    SCOPED_TRACE(first.size());
    std::vector<Fd> crowd;
    const size_t before = descriptors();
    for (size_t i = 0; i < 2 * Porter::kRows; ++i) {
      crowd.push_back(connected());
      say(crowd.back(), first);
    }
    EXPECT_TRUE(good_one_is_let_in());
    EXPECT_TRUE(closed(crowd.front()));
    // Both ends are here: the crowd's own, and of the server's at most a row and what gRPC has for it.
    EXPECT_LE(descriptors(), before + crowd.size() + Porter::kRows + 32);
  }
}

TEST_F(PorterTest, who_stops_in_the_middle_of_his_handshake_is_gone_after_some_seconds) {
  const Fd half = connected();
  say(half, hello());
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_TRUE(closed(half, 20'000));
  EXPECT_GE(std::chrono::steady_clock::now() - begin, std::chrono::seconds(4));
}

TEST_F(PorterTest, a_port_that_is_taken_is_said) {
  grpc::ServerBuilder builder;
  const auto again = Porter::listen(builder, "127.0.0.1:" + std::to_string(porter_->port()), server_credentials(self_));
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().errnum, EADDRINUSE);
  EXPECT_EQ(Porter::listen(builder, "nonsense", server_credentials(self_)).error().code, Code::kUsage);
}

}  // namespace
}  // namespace godwit::rpc
