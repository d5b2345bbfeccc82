// Whole reads and writes: the loops live here, once.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/fd.h"
#include "base/result.h"

namespace godwit::io {

/// Reads until the buffer is full. End of file before that is Code::kPeer.
Result<void> read_full(int fd, std::span<std::byte> buffer);
/// Reads at most buffer.size() bytes in one call; 0 means end of file.
Result<size_t> read_some(int fd, std::span<std::byte> buffer);
Result<void> write_full(int fd, std::span<const std::byte> data);
Result<void> write_full(int fd, std::string_view text);
Result<void> pread_full(int fd, std::span<std::byte> buffer, uint64_t offset);
Result<void> pwrite_full(int fd, std::span<const std::byte> data, uint64_t offset);

/// Waits until something can be read from one of these, or its other end closed; which, or none when the time was over. Signals
/// don't shorten it. A negative limit: for ever.
Result<std::optional<size_t>> wait_readable(std::span<const int> fds, std::chrono::milliseconds limit);

/// The whole file as text, at most `limit` bytes (more is Code::kCorrupt). Works for /proc files, whose size is 0.
Result<std::string> read_file(const std::string& path, size_t limit = 64u << 20);
Result<std::string> read_file_at(const Fd& dir, const std::string& path, size_t limit = 64u << 20);
Result<std::string> read_all(int fd, size_t limit = 64u << 20);
/// Writes a file in place (for /proc and /sys knobs).
Result<void> write_file(const std::string& path, std::string_view text);
Result<void> write_file_at(const Fd& dir, const std::string& path, std::string_view text);
/// Writes `path` so that a reader sees the old or the new content, never a part (temporary file and rename).
Result<void> replace_file(const std::string& path, std::string_view text, unsigned mode = 0644);

/// Sends one message with descriptors over a UNIX socket (SCM_RIGHTS); at most 253 of them (unix(7)).
Result<void> send_with_fds(int socket, std::string_view message, std::span<const int> fds);
/// Receives one message and its descriptors. An empty message is Code::kPeer: the peer closed.
struct MessageWithFds;
Result<MessageWithFds> receive_with_fds(int socket, size_t limit = 1u << 20);

}  // namespace godwit::io

#include <vector>
namespace godwit::io {
struct MessageWithFds {
  std::string message;
  std::vector<Fd> fds;
};
}  // namespace godwit::io
