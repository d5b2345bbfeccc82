#include "rpc/rpc.h"

#include <arpa/inet.h>
#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/generic/generic_stub.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <chrono>
#include <thread>

#include "base/fd.h"
#include "base/pki.h"

namespace godwit::rpc {
namespace {

TEST(Rpc, a_refusal_keeps_every_reason_on_the_wire) {
  const Error error{Code::kRefused, 13, "unit web can't move"};
  const std::vector<engine::Blocker> blockers = {{"io-uring", "fd 7 of pid 42", "not known", "close it"},
                                                 {"tcp", "fd 9 of pid 42", "established", "--tcp close"}};
  const Failure back = failure_of(to_status(error, blockers));
  EXPECT_EQ(back.error.code, Code::kRefused);
  EXPECT_EQ(back.error.errnum, 13);
  EXPECT_EQ(back.error.text, error.text);
  EXPECT_EQ(back.blockers, blockers);
}

TEST(Rpc, a_status_without_details_is_a_lost_peer) {
  const Failure f = failure_of({grpc::StatusCode::UNAVAILABLE, "words of a later gRPC"});
  EXPECT_EQ(f.error.code, Code::kPeer);
  EXPECT_EQ(f.error.text, "words of a later gRPC");
}

TEST(Rpc, tells_what_happened_to_a_connection_without_words_of_grpc) {
  const auto text = [](grpc::StatusCode code, const char* said) { return failure_of({code, said}).error.text; };
  using enum grpc::StatusCode;
  EXPECT_EQ(text(UNAVAILABLE,
                 "failed to connect to all addresses; last error: UNKNOWN: ipv4:10.77.0.4:7400: Failed to connect to "
                 "remote host: Connection refused"),
            "nothing listens there (connection refused)");
  EXPECT_EQ(text(UNAVAILABLE, "Socket closed"), "the connection broke");
  EXPECT_EQ(text(DEADLINE_EXCEEDED, "Deadline Exceeded"), "no answer in time");
}

TEST(Rpc, details_that_are_no_failure_are_a_lost_peer) {
  EXPECT_EQ(failure_of({grpc::StatusCode::INTERNAL, "x", "\xff\xff\xff"}).error.code, Code::kPeer);
}

TEST(Rpc, a_code_from_a_newer_sender_stays_in_range) {
  const Failure f = failure_of(to_status(Error{static_cast<Code>(4711), 0, "new"}));
  EXPECT_EQ(f.error.code, Code::kFailed);
}

// Says nothing at first, as on a machine that is short of time, and then the first frame of HTTP/2 (SETTINGS, empty).
TEST(Rpc, waits_for_a_peer_that_is_slow_to_shake_hands) {
  const Fd listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in here{};
  here.sin_family = AF_INET;
  here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof here;
  ASSERT_EQ(::bind(listener.get(), reinterpret_cast<sockaddr*>(&here), size), 0);
  ASSERT_EQ(::listen(listener.get(), 8), 0);
  ASSERT_EQ(::getsockname(listener.get(), reinterpret_cast<sockaddr*>(&here), &size), 0);
  const std::jthread peer([&] {
    const Fd taken(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
    pollfd hung_up{taken.get(), POLLRDHUP, 0};
    if (::poll(&hung_up, 1, 1500) != 0) return;  // it didn't wait
    constexpr char kSettings[] = {0, 0, 0, 4, 0, 0, 0, 0, 0};
    (void)::send(taken.get(), kSettings, sizeof kSettings, MSG_NOSIGNAL);
    (void)::poll(&hung_up, 1, 10'000);
  });
  auto slow = channel("127.0.0.1:" + std::to_string(ntohs(here.sin_port)), {}, "");
  EXPECT_TRUE(slow->WaitForConnected(std::chrono::system_clock::now() + std::chrono::seconds(6)));
  slow.reset();
}

// A service of any name: all that is asked is who calls.
class AsksWho : public grpc::CallbackGenericService {
 public:
  explicit AsksWho(Identity self) : self_(std::move(self)) {}
  grpc::ServerGenericBidiReactor* CreateReactor(grpc::GenericCallbackServerContext* context) override {
    who = caller(*context, self_);
    class Ends : public grpc::ServerGenericBidiReactor {
     public:
      Ends() { Finish(grpc::Status::OK); }
      void OnDone() override { delete this; }
    };
    return new Ends();
  }
  std::string who;

 private:
  const Identity self_;
};

class TwoSites : public ::testing::Test {
 protected:
  static Identity identity(const pki::Identity& ca, const std::string& name, const pki::Identity* other) {
    const auto made = *pki::issue(ca, name, {"localhost", "127.0.0.1"});
    std::map<std::string, std::string> trusted;
    if (other != nullptr) trusted.emplace(*pki::site_name(other->certificate), other->certificate);
    return {ca.certificate, made.certificate, made.key, *pki::Sites::of(ca.certificate, trusted)};
  }
  /// Whom the server of `home` takes a caller for; "no connection" when they don't believe each other.
  std::string seen(const Identity& server, const Identity& client, const std::string& peer) {
    AsksWho service(server);
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort("127.0.0.1:0", server_credentials(server), &port);
    builder.RegisterCallbackGenericService(&service);
    const auto running = builder.BuildAndStart();
    const auto to = channel("127.0.0.1:" + std::to_string(port), client, peer);
    grpc::GenericStub stub(to);
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(10));
    grpc::CompletionQueue queue;
    grpc::ByteBuffer nothing;
    const auto call = stub.PrepareUnaryCall(&context, "/godwit/Who", nothing, &queue);
    call->StartCall();
    grpc::Status status;
    call->Finish(&nothing, &status, nullptr);
    void* tag = nullptr;
    bool ok = false;
    (void)queue.Next(&tag, &ok);
    // The call has no message, which its client may take for an error: what the server saw is what counts.
    return status.error_code() == grpc::StatusCode::UNAVAILABLE ? "no connection" : service.who;
  }
  const pki::Identity home_ = *pki::make_authority("home");
  const pki::Identity away_ = *pki::make_authority("away");
};

TEST_F(TwoSites, know_each_other_by_site_and_name_where_both_trust) {
  const Identity server = identity(home_, "controller", &away_);
  EXPECT_EQ(seen(server, identity(home_, "node-1", nullptr), "controller"), "node-1");
  EXPECT_EQ(seen(server, identity(away_, "node-1", &home_), "home/controller"), "away/node-1");
  // A certificate can name anything; it is still of the site that signed it.
  EXPECT_EQ(seen(server, identity(away_, "client", &home_), "home/controller"), "away/client");
}

TEST_F(TwoSites, do_not_connect_where_one_does_not_trust) {
  const Identity both = identity(home_, "controller", &away_);
  const Identity alone = identity(home_, "controller", nullptr);
  EXPECT_EQ(seen(alone, identity(away_, "node-1", &home_), "home/controller"), "no connection");
  EXPECT_EQ(seen(both, identity(away_, "node-1", nullptr), "home/controller"), "no connection");
  // Another authority that calls itself like one that is trusted.
  const pki::Identity false_away = *pki::make_authority("away");
  EXPECT_EQ(seen(both, identity(false_away, "node-1", &home_), "home/controller"), "no connection");
  // A server of a trusted site isn't one of another, nor the own site's.
  EXPECT_EQ(seen(identity(away_, "controller", &home_), identity(home_, "node-1", &away_), "controller"),
            "no connection");
}

}  // namespace
}  // namespace godwit::rpc
