// A progress bar on standard error, when that is a terminal; nothing at all when it isn't.
#pragma once

#include <chrono>
#include <string>

#include "godwit/common.pb.h"

namespace godwit::cli {

class ProgressBar {
 public:
  explicit ProgressBar(std::string title);
  ~ProgressBar() { clear(); }
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;
  void retitle(std::string title) { title_ = std::move(title); }
  void show(const wire::Progress& progress);
  /// Takes the bar off the screen, before anything else is written.
  void clear();

 private:
  std::string title_;
  bool terminal_;
  bool drawn_ = false;
  std::string step_;
  std::chrono::steady_clock::time_point last_{};
};

}  // namespace godwit::cli
