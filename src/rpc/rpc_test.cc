#include "rpc/rpc.h"

#include <gtest/gtest.h>

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
  EXPECT_EQ(f.error.code, Code::kGone);
}

}  // namespace
}  // namespace godwit::rpc
