// Whether compressing pays, decided by what was measured: the link's speed, the compressor's, and how well it does.
//
// Sending a byte takes w (the link, with its waiting); compressed it takes c (the compressor) + ratio × w. Both are
// measured as the frames go: w over all frames, c and ratio over a sample while compression is off. On a fast link w is
// below a nanosecond and c is two or three: off. On a gigabit link w is eight: on, as soon as the content gives way.
#pragma once

#include <cstddef>

namespace godwit::migration {

class PackPolicy {
 public:
  explicit PackPolicy(int level) : level_(level) {}
  /// Shall the next frame be compressed? (Also true for a sample.)
  bool next();
  /// A frame was compressed from `raw` to `packed` bytes in `ns`.
  void packed(size_t raw, size_t packed, double ns);
  /// `wire` bytes were written in `ns`.
  void written(size_t wire, double ns);
  [[nodiscard]] int level() const { return level_ > 0 ? level_ : 1; }

 private:
  static constexpr unsigned kSampleEach = 64;
  static constexpr size_t kLearnBytes = 8u << 20;  // the first megabytes only fill the socket's buffer
  static void blend(double& average, double value) { average = average < 0 ? value : average * 0.875 + value * 0.125; }

  int level_;
  unsigned frame_ = 0;
  size_t seen_ = 0;
  double link_ns_ = -1;  // a byte on the wire
  double pack_ns_ = -1;  // a byte compressed
  double ratio_ = -1;  // packed / raw
  bool on_ = false;
};

}  // namespace godwit::migration
