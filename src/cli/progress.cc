#include "cli/progress.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>

#include "base/io.h"
#include "cli/present.h"

namespace godwit::cli {
namespace {
constexpr auto kRedraw = std::chrono::milliseconds(60);
constexpr size_t kBarWidth = 24;
}  // namespace

ProgressBar::ProgressBar(std::string title) : title_(std::move(title)), terminal_(::isatty(STDERR_FILENO) == 1) {}

void ProgressBar::show(const wire::Progress& p) {
  if (!terminal_) return;
  const auto now = std::chrono::steady_clock::now();
  if (p.step() == step_ && now - last_ < kRedraw) return;
  step_ = p.step();
  last_ = now;
  std::string line = fmt::format("{} {:<12}", title_, p.step());
  if (p.round() > 0) line += fmt::format(" round {}", p.round());
  if (p.bytes_total() > 0) {
    const double part = std::min(1.0, static_cast<double>(p.bytes_done()) / static_cast<double>(p.bytes_total()));
    const size_t full = static_cast<size_t>(part * kBarWidth);
    line += fmt::format(" [{}{}] {:3.0f}%", std::string(full, '#'), std::string(kBarWidth - full, '.'), part * 100);
  }
  if (p.bytes_done() > 0) line += " " + size_text(p.bytes_done());
  if (!p.note().empty()) line += " " + p.note();
  winsize size{};
  if (::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 1 && line.size() >= size.ws_col)
    line.resize(size.ws_col - 1u);
  (void)io::write_full(STDERR_FILENO, "\r\x1b[K" + line);
  drawn_ = true;
}

void ProgressBar::clear() {
  if (drawn_) (void)io::write_full(STDERR_FILENO, "\r\x1b[K");
  drawn_ = false;
}

}  // namespace godwit::cli
