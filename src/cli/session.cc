#include "cli/session.h"

#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <thread>

#include "base/base.h"

namespace godwit::cli {
namespace {

/// The terminal in raw mode while it lives.
class RawTerminal {
 public:
  explicit RawTerminal(bool wanted) {
    if (!wanted || ::tcgetattr(STDIN_FILENO, &before_) != 0) return;
    termios raw = before_;
    ::cfmakeraw(&raw);
    active_ = ::tcsetattr(STDIN_FILENO, TCSADRAIN, &raw) == 0;
  }
  RawTerminal(const RawTerminal&) = delete;
  RawTerminal& operator=(const RawTerminal&) = delete;
  ~RawTerminal() {
    if (active_) (void)::tcsetattr(STDIN_FILENO, TCSADRAIN, &before_);
  }

 private:
  termios before_{};
  bool active_ = false;
};

using Stream = grpc::ClientReaderWriter<wire::AttachInput, wire::AttachOutput>;

/// Standard input and window changes to the unit, until told to stop. Owns the writing side of the stream.
class Input {
 public:
  Input(Stream& stream, bool terminal) : stream_(stream), terminal_(terminal) {
    sigset_t set;  // blocked in every thread since main()
    sigemptyset(&set);
    sigaddset(&set, SIGWINCH);
    winch_ = Fd(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
    if (auto wake = sys::eventfd()) wake_ = std::move(*wake);
    thread_ = std::thread([this] { run(); });
  }
  ~Input() { stop(); }
  Input(const Input&) = delete;
  Input& operator=(const Input&) = delete;
  void stop() {
    if (!thread_.joinable()) return;
    const uint64_t one = 1;
    (void)!::write(wake_.get(), &one, sizeof one);
    thread_.join();
    if (!detached_) (void)stream_.WritesDone();  // at most once: detaching has done it
  }
  [[nodiscard]] bool detached() const { return detached_; }

 private:
  void run() {
    std::array<pollfd, 3> fds = {{{wake_.get(), POLLIN, 0}, {winch_.get(), POLLIN, 0}, {STDIN_FILENO, POLLIN, 0}}};
    wire::AttachInput input;
    for (;;) {
      if (::poll(fds.data(), fds.size(), -1) < 0 && errno != EINTR) return;
      if (fds[0].revents != 0) return;
      if (fds[1].revents != 0) {
        signalfd_siginfo info;
        while (::read(winch_.get(), &info, sizeof info) > 0) {
        }
        *input.mutable_window() = window_size();
        if (terminal_ && !stream_.Write(input)) return;
      }
      if (fds[2].revents != 0 && !read_input(fds[2])) return;
    }
  }
  /// False: nothing more will be sent.
  bool read_input(pollfd& in) {
    std::array<std::byte, 16384> buffer;
    const auto got = io::read_some(STDIN_FILENO, buffer);
    wire::AttachInput input;
    if (!got || *got == 0) {
      in.fd = -1;  // poll ignores it; window changes and the end still come
      input.set_end_of_input(true);
      return stream_.Write(input);
    }
    const std::string_view typed(reinterpret_cast<const char*>(buffer.data()), *got);
    std::string pass;
    if (!terminal_) {
      pass = typed;
    } else if (keys_.feed(typed, pass)) {
      detached_ = true;
      (void)stream_.WritesDone();
      return false;
    }
    if (pass.empty()) return true;
    input.set_data(std::move(pass));
    return stream_.Write(input);
  }

  Stream& stream_;
  const bool terminal_;
  DetachKeys keys_;
  Fd winch_;
  Fd wake_;
  std::atomic<bool> detached_ = false;
  std::thread thread_;
};

}  // namespace

wire::WindowSize window_size() {
  winsize size{};
  wire::WindowSize out;
  if (::ioctl(STDIN_FILENO, TIOCGWINSZ, &size) == 0) {
    out.set_rows(size.ws_row);
    out.set_columns(size.ws_col);
  }
  return out;
}

int attach_session(Context& context, const std::string& unit, bool terminal) {
  OR_REPORT(auto* controller, context.controller());
  grpc::ClientContext call;
  const auto stream = controller->Attach(&call);
  wire::AttachInput first;
  first.set_unit(unit);
  if (!stream->Write(first)) return context.report(stream->Finish());
  if (terminal) {
    *first.mutable_window() = window_size();
    (void)stream->Write(first);
  }
  std::optional<wire::ExitStatus> exit;
  bool detached = false;
  {
    const RawTerminal raw(terminal);
    Input input(*stream, terminal);
    wire::AttachOutput output;
    while (stream->Read(&output)) {
      if (output.has_data()) (void)io::write_full(STDOUT_FILENO, output.data());
      if (output.has_exit()) {
        exit = output.exit();
        break;
      }
      if (output.has_attached() && !output.attached()) break;
    }
    detached = input.detached();
    input.stop();
    while (stream->Read(&output)) {
    }
  }
  const grpc::Status status = stream->Finish();
  if (exit) return exit_status(*exit);
  if (detached) {
    (void)io::write_full(STDERR_FILENO, fmt::format("detached; come back with: godwit attach {}\n", unit));
    return kDone;
  }
  if (!status.ok()) return context.report(status);
  return kDone;
}

}  // namespace godwit::cli
