// A buffer at a page boundary whose pages come when they are touched: a small image must not pay for a large one.
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <span>
#include <utility>

#include "base/check.h"

namespace godwit::image {

class Buffer {
 public:
  explicit Buffer(size_t bytes) : bytes_(bytes) {
    void* at = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    GODWIT_CHECK(at != MAP_FAILED, "out of memory for a buffer");
    at_ = static_cast<std::byte*>(at);
  }
  Buffer(Buffer&& other) noexcept : at_(std::exchange(other.at_, nullptr)), bytes_(other.bytes_) {}
  Buffer& operator=(Buffer&&) = delete;
  ~Buffer() {
    if (at_ != nullptr) ::munmap(at_, bytes_);
  }
  [[nodiscard]] std::byte* data() const { return at_; }
  [[nodiscard]] std::span<std::byte> span() const { return {at_, bytes_}; }

 private:
  std::byte* at_ = nullptr;
  size_t bytes_;
};

}  // namespace godwit::image
