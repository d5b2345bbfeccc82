// A file that appears under its name only when it is whole: written beside it and renamed.
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <string_view>
#include <utility>

#include "base/fd.h"
#include "base/io.h"
#include "base/result.h"
#include "base/sys.h"

namespace godwit {

/// A cut at any moment leaves what was there before, or the whole new file. Without finish() nothing stays.
class NewFile {
 public:
  explicit NewFile(std::string path) : path_(std::move(path)), part_(path_ + ".part") {}
  NewFile(const NewFile&) = delete;
  NewFile& operator=(const NewFile&) = delete;
  ~NewFile() {
    if (fd_.valid()) (void)sys::unlink(part_);
  }
  Result<void> open(mode_t mode) {
    TRY(fd_, sys::open(part_, O_RDWR | O_CREAT | O_TRUNC, mode));
    return {};
  }
  Fd& fd() { return fd_; }
  Result<void> write(std::string_view bytes) { return io::write_full(fd_.get(), bytes); }
  /// Synced to its disk, then renamed.
  Result<void> finish() {
    if (::fsync(fd_.get()) != 0) return fail_errno(errno, "writing " + part_);
    TRY_DO(sys::rename(part_, path_));
    fd_.reset();
    return {};
  }

 private:
  const std::string path_, part_;
  Fd fd_;
};

}  // namespace godwit
