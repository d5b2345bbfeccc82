// Fd: an owned file descriptor. Moves, never copies; closes on destruction.
//
// `operator bool` doesn't exist because 0 is a valid descriptor: ask valid().
#pragma once

#include <utility>

namespace godwit {

class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    if (this != &other) {
      Fd old(std::move(*this));  // closes what this one held
      fd_ = std::exchange(other.fd_, -1);
    }
    return *this;
  }
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  ~Fd() { reset(); }
  operator bool() const = delete;

  [[nodiscard]] int get() const { return fd_; }
  [[nodiscard]] bool valid() const { return fd_ >= 0; }
  /// Gives up ownership: the caller closes it.
  [[nodiscard]] int release() { return std::exchange(fd_, -1); }
  /// Closes now. close() is never retried: on Linux the descriptor is gone whatever it returns (close(2)).
  void reset();

 private:
  int fd_ = -1;
};

}  // namespace godwit
