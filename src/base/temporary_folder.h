// A folder under TMPDIR that is gone, with all in it, when its owner is.
#pragma once

#include <stdlib.h>

#include <cerrno>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>

#include "base/result.h"

namespace godwit {

class TemporaryFolder {
 public:
  /// `prefix` begins its name, so that a person can tell whose it is.
  static Result<TemporaryFolder> make(std::string_view prefix) {
    std::string name = (std::filesystem::temp_directory_path() / prefix).string() + ".XXXXXX";
    if (!::mkdtemp(name.data())) return fail_errno(errno, "making a temporary folder");
    return TemporaryFolder(std::move(name));
  }
  TemporaryFolder(TemporaryFolder&& other) noexcept : path_(std::exchange(other.path_, {})) {}
  TemporaryFolder& operator=(TemporaryFolder&& other) noexcept {
    std::swap(path_, other.path_);
    return *this;
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
  }
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  explicit TemporaryFolder(std::filesystem::path path) : path_(std::move(path)) {}
  std::filesystem::path path_;
};

}  // namespace godwit
