#include "base/io.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "base/raw_buffer.h"
#include "base/sys.h"

namespace godwit::io {
namespace {

template <typename F>
ssize_t retry(F call) {
  for (;;) {
    const ssize_t r = call();
    if (r >= 0 || errno != EINTR) return r;
  }
}

std::string fd_name(int fd) { return "fd " + std::to_string(fd); }

}  // namespace

Result<size_t> read_some(int fd, std::span<std::byte> buffer) {
  const ssize_t n = retry([&] { return ::read(fd, buffer.data(), buffer.size()); });
  if (n < 0) return fail_errno(errno, "read from " + fd_name(fd));
  return static_cast<size_t>(n);
}

Result<void> read_full(int fd, std::span<std::byte> buffer) {
  while (!buffer.empty()) {
    TRY(const size_t n, read_some(fd, buffer));
    if (n == 0) return fail(Code::kPeer, "end of file with " + std::to_string(buffer.size()) + " bytes still wanted");
    buffer = buffer.subspan(n);
  }
  return {};
}

Result<void> write_full(int fd, std::span<const std::byte> data) {
  while (!data.empty()) {
    const ssize_t n = retry([&] { return ::write(fd, data.data(), data.size()); });
    if (n < 0) return fail_errno(errno, "write to " + fd_name(fd));
    data = data.subspan(static_cast<size_t>(n));
  }
  return {};
}

Result<void> write_full(int fd, std::string_view text) { return write_full(fd, std::as_bytes(std::span(text))); }

Result<void> pread_full(int fd, std::span<std::byte> buffer, uint64_t offset) {
  while (!buffer.empty()) {
    const ssize_t n = retry([&] { return ::pread(fd, buffer.data(), buffer.size(), static_cast<off_t>(offset)); });
    if (n < 0) return fail_errno(errno, "pread from " + fd_name(fd));
    if (n == 0) return fail(Code::kPeer, "end of file with " + std::to_string(buffer.size()) + " bytes still wanted");
    buffer = buffer.subspan(static_cast<size_t>(n));
    offset += static_cast<uint64_t>(n);
  }
  return {};
}

Result<void> pwrite_full(int fd, std::span<const std::byte> data, uint64_t offset) {
  while (!data.empty()) {
    const ssize_t n = retry([&] { return ::pwrite(fd, data.data(), data.size(), static_cast<off_t>(offset)); });
    if (n < 0) return fail_errno(errno, "pwrite to " + fd_name(fd));
    data = data.subspan(static_cast<size_t>(n));
    offset += static_cast<uint64_t>(n);
  }
  return {};
}

Result<std::string> read_all(int fd, size_t limit) {
  // Most files are small: on the stack there is memory already, and what is kept has the size of the text.
  std::array<char, 8192> small;
  std::string text;
  for (size_t have = 0;;) {
    const bool fits = have < small.size();
    if (!fits && text.size() - have < 4096) text.resize(std::max(text.size(), small.size()) * 2);
    const auto room = fits ? std::span(small).subspan(have) : std::span(text).subspan(have);
    TRY(const size_t n, read_some(fd, std::as_writable_bytes(room)));
    have += n;
    if (have > limit) return fail(Code::kCorrupt, "longer than the limit of " + std::to_string(limit) + " bytes");
    if (n != 0 && fits && have == small.size()) text.assign(small.begin(), small.end());
    if (n != 0) continue;
    if (fits) return std::string(small.begin(), small.begin() + have);
    text.resize(have);
    return text;
  }
}

Result<std::string> read_file(const std::string& path, size_t limit) {
  TRY(const Fd fd, sys::open(path, O_RDONLY));
  auto text = read_all(fd.get(), limit);
  if (!text) return std::unexpected(text.error().in(path));
  return text;
}

Result<std::string> read_file_at(const Fd& dir, const std::string& path, size_t limit) {
  TRY(const Fd fd, sys::open_at(dir, path, O_RDONLY));
  auto text = read_all(fd.get(), limit);
  if (!text) return std::unexpected(text.error().in(path));
  return text;
}

Result<void> write_file(const std::string& path, std::string_view text) {
  TRY(const Fd fd, sys::open(path, O_WRONLY));
  TRY_IN(path, write_full(fd.get(), text));
  return {};
}

Result<void> write_file_at(const Fd& dir, const std::string& path, std::string_view text) {
  TRY(const Fd fd, sys::open_at(dir, path, O_WRONLY));
  TRY_IN(path, write_full(fd.get(), text));
  return {};
}

Result<void> replace_file(const std::string& path, std::string_view text, unsigned mode) {
  const std::string temporary = path + ".new." + std::to_string(::getpid());
  TRY(const Fd fd, sys::open(temporary, O_WRONLY | O_CREAT | O_TRUNC, mode));
  auto written = write_full(fd.get(), text);
  if (written) written = sys::rename(temporary, path);
  if (!written) ::unlink(temporary.c_str());
  return written;
}

namespace {
constexpr size_t kMaxFdsPerMessage = 253;  // SCM_MAX_FD, unix(7)
}

Result<std::optional<size_t>> wait_readable(std::span<const int> fds, std::chrono::milliseconds limit) {
  using Clock = std::chrono::steady_clock;
  const auto end = Clock::now() + limit;
  std::vector<pollfd> all;
  for (const int fd : fds) all.push_back({fd, POLLIN, 0});
  for (;;) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - Clock::now());
    const int n =
        ::poll(all.data(), all.size(), limit.count() < 0 ? -1 : std::max<int>(0, static_cast<int>(left.count())));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail_errno(errno, "poll");
    for (size_t i = 0; i < all.size(); i++)
      if (all[i].revents != 0) return i;
    return std::nullopt;
  }
}

Result<void> send_with_fds(int socket, std::string_view message, std::span<const int> fds) {
  if (fds.size() > kMaxFdsPerMessage) return fail(Code::kUsage, "more than 253 descriptors in one message");
  iovec part{const_cast<char*>(message.data()), message.size()};
  alignas(cmsghdr) char control[CMSG_SPACE(kMaxFdsPerMessage * sizeof(int))] = {};
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  if (!fds.empty()) {
    header.msg_control = control;
    header.msg_controllen = CMSG_SPACE(fds.size_bytes());
    cmsghdr* c = CMSG_FIRSTHDR(&header);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(fds.size_bytes());
    std::memcpy(CMSG_DATA(c), fds.data(), fds.size_bytes());
  }
  const ssize_t n = retry([&] { return ::sendmsg(socket, &header, MSG_NOSIGNAL); });
  if (n < 0) return fail_errno(errno, "sendmsg");
  if (static_cast<size_t>(n) != message.size()) return fail(Code::kPeer, "short sendmsg");
  return {};
}

Result<MessageWithFds> receive_with_fds(int socket, size_t limit) {
  MessageWithFds out;
  RawBuffer room(limit);
  iovec part{room.data(), room.size()};
  alignas(cmsghdr) char control[CMSG_SPACE(kMaxFdsPerMessage * sizeof(int))];
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  header.msg_control = control;
  header.msg_controllen = sizeof control;
  const ssize_t n = retry([&] { return ::recvmsg(socket, &header, MSG_CMSG_CLOEXEC); });
  if (n < 0) return fail_errno(errno, "recvmsg");
  for (cmsghdr* c = CMSG_FIRSTHDR(&header); c != nullptr; c = CMSG_NXTHDR(&header, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; i++) {
      int fd;
      std::memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof fd);
      out.fds.emplace_back(fd);
    }
  }
  if (n == 0 && out.fds.empty()) return fail(Code::kPeer, "the peer closed the connection");
  if ((header.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0) return fail(Code::kCorrupt, "message longer than its limit");
  out.message.assign(reinterpret_cast<const char*>(room.data()), static_cast<size_t>(n));
  return out;
}

}  // namespace godwit::io
