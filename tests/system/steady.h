// What the unit of the fault matrix computes: each line depends on all that its memory has been through, so a page that
// was lost, came twice or came late shows in every line after it. The test computes the same lines for itself.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace godwit::test {

class Steady {
 public:
  explicit Steady(size_t megabytes) : words_((megabytes << 20) / sizeof(uint64_t)) {
    for (auto& w : words_) w = random();
  }
  /// "0 HASH\n", "1 HASH\n" …
  std::string next() {
    for (int i = 0; i < kTouched; i++) {
      uint64_t& w = words_[random() % words_.size()];
      w += hash_ ^ random();
      hash_ = (hash_ ^ w) * 0x100000001b3;
    }
    return std::to_string(count_++) + " " + std::to_string(hash_) + "\n";
  }

 private:
  static constexpr int kTouched = 64;
  uint64_t random() {
    state_ ^= state_ << 13, state_ ^= state_ >> 7, state_ ^= state_ << 17;
    return state_;
  }
  std::vector<uint64_t> words_;
  uint64_t state_ = 0x9e3779b97f4a7c15, hash_ = 0, count_ = 0;
};

}  // namespace godwit::test
