#include "migration/packer.h"

namespace godwit::migration {

bool PackPolicy::next() {
  if (level_ != 0) return level_ > 0;
  frame_++;
  if (seen_ < kLearnBytes || link_ns_ < 0) return false;
  if (ratio_ >= 0) {
    const double plain = link_ns_;
    const double packed = pack_ns_ + ratio_ * link_ns_;
    // A little inertia, so that it doesn't flutter where both cost the same.
    on_ = on_ ? packed < plain : packed < 0.9 * plain;
  }
  return on_ || frame_ % kSampleEach == 0 || ratio_ < 0;
}

void PackPolicy::packed(size_t raw, size_t packed, double ns) {
  if (raw == 0) return;
  blend(pack_ns_, ns / static_cast<double>(raw));
  blend(ratio_, static_cast<double>(packed) / static_cast<double>(raw));
}

void PackPolicy::written(size_t wire, double ns) {
  if (wire == 0) return;
  seen_ += wire;
  if (seen_ >= kLearnBytes) blend(link_ns_, ns / static_cast<double>(wire));
}

}  // namespace godwit::migration
