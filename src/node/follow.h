// Follow: reads a growing file as `tail -f` does.
#pragma once

#include <cstdint>
#include <string>

#include "base/fd.h"
#include "base/result.h"

namespace godwit::node {

class Follow {
 public:
  /// From byte `offset` on. A file that isn't there (yet) is empty.
  static Result<Follow> open(const std::string& path, uint64_t offset);
  /// The offset at which the last `lines` lines of `path` begin.
  static Result<uint64_t> tail(const std::string& path, uint64_t lines);

  /// What is there now, at most 64 KiB; empty: nothing new. After the file shrank (the unit went back to a checkpoint) it
  /// goes on from its end.
  Result<std::string> read();
  /// Waits until something may be new, at most `limit_ms`.
  void wait(int limit_ms);
  /// Offset of the next byte.
  [[nodiscard]] uint64_t offset() const { return offset_; }

 private:
  Follow(std::string path, uint64_t offset) : path_(std::move(path)), offset_(offset) {}
  std::string path_;
  uint64_t offset_;
  Fd file_;
  Fd notify_;
};

}  // namespace godwit::node
