#include "keeper/handover.h"

#include <algorithm>
#include <ctime>

namespace godwit::keeper {
namespace {

namespace dl = delegation;

uint64_t seconds_now() { return static_cast<uint64_t>(std::time(nullptr)); }

Result<dl::Digest> digest_of(std::string_view bytes) {
  dl::Digest out;
  if (bytes.size() != out.bytes.size()) return fail(Code::kCorrupt, "a digest of another length");
  std::ranges::copy(bytes, out.bytes.begin());
  return out;
}

}  // namespace

Result<Handover> Handover::open(const std::string& passage, const std::optional<dl::PrivateKey>& key,
                                const std::string& token, uint64_t epoch) {
  Handover out;
  if (passage.empty()) return out;
  if (!key) return fail(Code::kRefused, "this node has no key to sign handovers with (trace.key)");
  TRY(out.passage_, dl::decode_passage(passage));
  out.key_ = &*key;
  out.nonce_ = dl::nonce_of_token(token);
  out.epoch_ = epoch;
  return out;
}

bool Handover::admit() {
  if (!passage_) return true;
  auto admitted = dl::admit(*passage_, passage_->facts, seconds_now());
  if (!admitted) {
    why_ = admitted.error();
    return false;
  }
  admission_ = *std::move(admitted);
  return true;
}

Error Handover::refusal() const { return Error{Code::kRefused, 0, "the delegation forbids it"}; }

std::vector<engine::Blocker> Handover::blockers() const {
  if (!why_) return {};
  const dl::Row& row = dl::row_of(why_->why);
  return {{std::string(row.code), passage_->destination, std::string(row.what) + " (" + why_->detail + ")",
           std::string(row.lift)}};
}

Result<std::string> Handover::hand_over(std::string_view digest) {
  if (!passage_) return std::string();
  TRY(const dl::Digest state, digest_of(digest));
  return dl::to_result(dl::hand_over(*passage_, *key_, epoch_ + 1, state, nonce_, seconds_now()));
}

Result<std::string> Handover::take_over(std::string_view digest, const std::string& statement) {
  if (!passage_) return std::string();
  if (!admission_) return fail(Code::kRefused, "state of a unit that wasn't admitted");
  TRY(const dl::Digest state, digest_of(digest));
  return dl::to_result(dl::take_over(*passage_, *admission_, *key_, statement, state, nonce_, seconds_now()));
}

}  // namespace godwit::keeper
