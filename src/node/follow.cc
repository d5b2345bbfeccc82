#include "node/follow.h"  // first, so that the header proves self-contained

#include <poll.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/io.h"
#include "base/sys.h"

namespace godwit::node {
namespace {

constexpr size_t kPiece = 64u << 10;

}  // namespace

Result<Follow> Follow::open(const std::string& path, uint64_t offset) {
  Follow f(path, offset);
  f.notify_ = Fd(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  if (!f.notify_.valid()) return fail_errno(errno, "inotify");
  return f;
}

Result<uint64_t> Follow::tail(const std::string& path, uint64_t lines) {
  auto file = sys::open(path, O_RDONLY);
  if (!file) return 0;
  TRY(const struct stat st, sys::stat(*file));
  auto at = static_cast<uint64_t>(st.st_size);
  std::string piece;
  uint64_t left = lines + 1;  // the last line's own end isn't the one before it
  bool last_byte = true;
  while (at > 0) {
    const uint64_t from = at - std::min<uint64_t>(at, kPiece);
    piece.resize(at - from);
    TRY_DO(io::pread_full(file->get(), std::as_writable_bytes(std::span(piece)), from));
    for (size_t i = piece.size(); i-- > 0;) {
      const bool counts = piece[i] == '\n' || (last_byte && piece[i] != '\n');
      last_byte = false;
      if (counts && --left == 0) return from + i + 1;
    }
    at = from;
  }
  return 0;
}

Result<std::string> Follow::read() {
  if (!file_.valid()) {
    auto file = sys::open(path_, O_RDONLY);
    if (!file) return std::string();
    file_ = std::move(*file);
    (void)::inotify_add_watch(notify_.get(), path_.c_str(), IN_MODIFY);
  }
  TRY(const struct stat st, sys::stat(file_));
  const auto size = static_cast<uint64_t>(st.st_size);
  if (size < offset_) offset_ = size;
  std::string out(std::min<uint64_t>(size - offset_, kPiece), '\0');
  if (out.empty()) return out;
  const ssize_t n = ::pread(file_.get(), out.data(), out.size(), static_cast<off_t>(offset_));
  if (n < 0) return fail_errno(errno, "reading " + path_);
  out.resize(static_cast<size_t>(n));
  offset_ += out.size();
  return out;
}

void Follow::wait(int limit_ms) {
  pollfd p{notify_.get(), POLLIN, 0};
  if (::poll(&p, 1, limit_ms) != 1) return;
  char buffer[4096];
  while (::read(notify_.get(), buffer, sizeof buffer) > 0) {
  }
}

}  // namespace godwit::node
