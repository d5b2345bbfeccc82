#include "keeper/handover.h"

#include <algorithm>
#include <charconv>
#include <ctime>
#include <filesystem>
#include <tuple>

#include "base/io.h"
#include "base/sys.h"

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

/// "1800000000-…": the number, or nothing.
std::optional<uint64_t> end_of(const std::string& name) {
  uint64_t end = 0;
  const auto [rest, error] = std::from_chars(name.data(), name.data() + name.size(), end);
  if (error != std::errc() || *rest != '-') return std::nullopt;
  return end;
}

void drop_old(const std::string& folder) {
  std::error_code none;
  for (const auto& entry : std::filesystem::directory_iterator(folder, none)) {
    const auto end = end_of(entry.path().filename());
    if (end && *end + dl::kSkew < seconds_now()) std::filesystem::remove(entry.path(), none);
  }
}

}  // namespace

Result<confine::Rules> rules_here(const std::string& document, const std::vector<std::string>& caveats,
                                  const NodeIdentity& self) {
  if (document.empty()) return confine::Rules{};
  TRY_IN("caveat.json", self.wish);
  TRY(const dl::Grants grants, dl::to_result(dl::allowance(document, caveats, *self.wish)));
  return confine::rules_of(grants);
}

Result<void> Handover::keep_receipt(const std::string& state_dir) const {
  if (receipt_.empty()) return {};
  TRY(const auto document, dl::to_result(dl::read_document(passage_->offer.document)));
  const std::string folder = state_dir + "/receipts";
  TRY_DO(sys::make_dirs(folder, 0700));
  drop_old(folder);
  const std::string name = std::to_string(document.document.grants.not_after) + "-" + document.digest.hex();
  TRY(const Fd file, sys::open(folder + "/" + name, O_WRONLY | O_CREAT | O_APPEND, 0600));
  TRY(const auto status, sys::stat(file));
  if (static_cast<uint64_t>(status.st_size) > dl::kMaxTraceBytes)
    return fail(Code::kFailed, folder + "/" + name + " is full");
  return io::write_full(file.get(), receipt_ + "\n");
}

Result<Handover> Handover::open(const std::string& passage, const NodeIdentity& self, const std::string& peer,
                                const std::string& token, uint64_t epoch) {
  Handover out;
  out.self_ = self.sites.full(self.name);
  out.peer_ = self.sites.full(peer);
  out.crossing_ = dl::site_of(out.self_) != dl::site_of(out.peer_);
  if (passage.empty()) return out;
  if (!self.trace) return fail(Code::kRefused, "this node has no key to sign handovers with (trace.key)");
  TRY(out.passage_, dl::decode_passage(passage));
  out.passage_->trust.restrict_to(self.sites.own(), self.sites.trusted());
  out.key_ = &*self.trace;
  TRY_IN("caveat.json", self.wish);
  out.wish_ = *self.wish;
  out.nonce_ = dl::nonce_of_token(token);
  out.epoch_ = epoch;
  return out;
}

dl::Checked<void> Handover::check_ends(bool leaving) const {
  if (!passage_) return crossing_ ? dl::refuse(dl::Why::kNoDocument, peer_) : dl::Checked<void>();
  const auto& [source, destination] = leaving ? std::tie(self_, peer_) : std::tie(peer_, self_);
  if (passage_->source != source) return dl::refuse(dl::Why::kNotTheHolder, passage_->source);
  if (passage_->destination != destination) return dl::refuse(dl::Why::kOtherDestination, passage_->destination);
  return {};
}

bool Handover::admit() {
  if (auto fits = check_ends(false); !fits) {
    why_ = fits.error();
    return false;
  }
  if (!passage_) return true;
  auto admitted = dl::admit(*passage_, passage_->facts, seconds_now());
  if (!admitted) {
    why_ = admitted.error();
    return false;
  }
  admission_ = *std::move(admitted);
  allowed_ = admission_->authority.grants();
  if (!wish_) return true;
  auto left = dl::narrowed(*allowed_, *wish_);
  if (!left) {
    why_ = left.error();
    return false;
  }
  allowed_ = *std::move(left);
  return true;
}

Error Handover::refusal() const { return Error{Code::kRefused, 0, "the delegation forbids it"}; }

std::vector<engine::Blocker> Handover::blockers() const {
  if (!why_) return {};
  const dl::Row& row = dl::row_of(why_->why);
  return {{std::string(row.code), peer_, std::string(row.what) + " (" + why_->detail + ")", std::string(row.lift)}};
}

bool Handover::depart() {
  if (auto fits = check_ends(true); !fits) {
    why_ = fits.error();
    return false;
  }
  if (!passage_) return true;
  auto departing = dl::depart(*passage_, epoch_ + 1, nonce_, word(), seconds_now());
  if (!departing) {
    why_ = departing.error();
    return false;
  }
  departing_ = *std::move(departing);
  return true;
}

Result<std::string> Handover::hand_over(std::string_view digest) {
  if (!passage_) return std::string();
  if (!departing_) return fail(Code::kFailed, "a handover that wasn't prepared");
  TRY(const dl::Digest state, digest_of(digest));
  TRY(std::string statement, dl::to_result(dl::hand_over(*departing_, *key_, state, seconds_now())));
  receipt_ = statement;
  return statement;
}

Result<std::string> Handover::take_over(std::string_view digest, const std::string& statement) {
  if (!passage_) return std::string();
  if (!admission_) return fail(Code::kRefused, "state of a unit that wasn't admitted");
  TRY(const dl::Digest state, digest_of(digest));
  TRY(std::string both, dl::to_result(dl::take_over(*passage_, *admission_, word(), statement, epoch_ + 1, state,
                                                    nonce_, seconds_now())));
  receipt_ = both;
  return both;
}

}  // namespace godwit::keeper
