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
  const Failure f = failure_of({grpc::StatusCode::UNAVAILABLE, "failed to connect to all addresses"});
  EXPECT_EQ(f.error.code, Code::kPeer);
  EXPECT_EQ(f.error.text, "failed to connect to all addresses");
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
