// The buffers of a pseudo-terminal.
//
// The problem: a terminal can't be peeked. What one side wrote and the other has not read can only be read, which takes
// it out. So the dump reads everything while all users stand still, and puts it back before it returns; the restore
// does the second half only.
//
// Input (master → slave) lies in the line discipline, cooked: in canonical mode as complete lines, end-of-file marks
// and the beginning of a line that is still being edited. Lines and marks are read as such; the beginning by switching
// to raw mode for a moment. To put it back the characters go in one by one with TIOCSTI, which hands them to the line
// discipline at once (writing to the master would pass through a worker thread, and come too late for the settings),
// under settings in which no character means anything but the end of a line, and nothing is echoed.
//
// Output (slave → master) is put back in the same way at the master, whose own line discipline is raw. What doesn't fit
// (the line discipline holds 4095 bytes) follows through the other side: it waits in front of the line discipline, where
// the source had it too.
//
// TIOCSTI needs CAP_SYS_ADMIN. Without it (an ordinary user's unit) a terminal with unread data isn't touched: the
// caller refuses.
//
// Sources: drivers/tty/n_tty.c (n_tty_set_termios on what a change of ICANON does), drivers/tty/tty_io.c (tiocsti).
#include "pod/kinds/pty_buffer.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <string_view>

#include "base/log.h"
#include "godwit/pod_kinds_tty.pb.h"

namespace godwit::pod {
namespace {

constexpr size_t kDisciplineRoom = 4095;  // N_TTY_BUF_SIZE - 1
constexpr size_t kMostBytes = 1 << 20;  // a flip buffer holds 64 KiB; more means that somebody goes on writing

// The descriptor doesn't block while this lives. It shares its flags with the unit's own.
class NonBlocking {
 public:
  explicit NonBlocking(const Fd& fd) : fd_(fd), flags_(::fcntl(fd.get(), F_GETFL)) {
    if (flags_ >= 0) ::fcntl(fd_.get(), F_SETFL, flags_ | O_NONBLOCK);
  }
  ~NonBlocking() {
    if (flags_ >= 0) ::fcntl(fd_.get(), F_SETFL, flags_);
  }
  NonBlocking(const NonBlocking&) = delete;
  NonBlocking& operator=(const NonBlocking&) = delete;

 private:
  const Fd& fd_;
  int flags_;
};

// No packet headers, and no packet events from our changes, while this lives.
class NoPackets {
 public:
  explicit NoPackets(const Fd& master) : master_(master) {
    int off = 0;
    if (::ioctl(master_.get(), TIOCGPKT, &was_) == 0 && was_ != 0) ::ioctl(master_.get(), TIOCPKT, &off);
  }
  ~NoPackets() {
    if (was_ != 0) ::ioctl(master_.get(), TIOCPKT, &was_);
  }
  NoPackets(const NoPackets&) = delete;
  NoPackets& operator=(const NoPackets&) = delete;

 private:
  const Fd& master_;
  int was_ = 0;
};

// Nothing is echoed or acted upon; lines end as they do.
termios2 quiet(const termios2& settings) {
  termios2 t = settings;
  t.c_iflag = 0;
  t.c_oflag &= ~static_cast<tcflag_t>(OPOST);
  t.c_lflag &= ICANON;
  for (unsigned i = 0; i < NCCS; ++i) {
    if (i != VEOL && i != VEOL2 && i != VMIN && i != VTIME) t.c_cc[i] = 0;  // _POSIX_VDISABLE
  }
  // Outside of canonical mode these two share nothing with the above on Linux; one byte is enough to be read.
  t.c_cc[VMIN] = 1;
  t.c_cc[VTIME] = 0;
  return t;
}

// One read that doesn't wait; nullopt-like: false when there is nothing.
Result<bool> read_once(const Fd& fd, std::string& out) {
  char buffer[8192];
  const ssize_t n = ::read(fd.get(), buffer, sizeof(buffer));
  if (n >= 0) {
    out.assign(buffer, static_cast<size_t>(n));
    return true;
  }
  if (errno == EAGAIN || errno == EIO) return false;  // EIO: the other side is closed, and all was read
  return fail_errno(errno, "reading a terminal");
}

Result<void> read_all(const Fd& fd, std::string& out) {
  for (std::string piece; out.size() < kMostBytes;) {
    TRY(const bool some, read_once(fd, piece));
    if (!some || piece.empty()) return {};
    out += piece;
  }
  return fail(Code::kFailed, "a terminal never runs empty");
}

Result<void> read_input(const Fd& slave, const termios2& settings, pb::PtyInput& out) {
  termios2 silent = settings;  // what still has to pass the line discipline is cooked as before, but not echoed
  silent.c_lflag &= ~static_cast<tcflag_t>(ECHO | ECHONL | ISIG | TOSTOP);
  TRY_DO(set_terminal_settings(slave, silent));
  if ((settings.c_lflag & ICANON) != 0) {
    size_t total = 0;
    for (std::string line; total < kMostBytes; total += line.size() + 1) {
      TRY(const bool some, read_once(slave, line));
      if (!some) break;
      auto* l = out.add_lines();
      const auto last = line.empty() ? 0 : static_cast<unsigned char>(line.back());
      const bool ended = !line.empty() && (last == '\n' || (settings.c_cc[VEOL] != 0 && last == settings.c_cc[VEOL]) ||
                                           (settings.c_cc[VEOL2] != 0 && last == settings.c_cc[VEOL2]));
      l->set_end_of_file(!ended);
      l->set_text(line);
    }
    silent.c_lflag &= ~static_cast<tcflag_t>(ICANON);
    TRY_DO(set_terminal_settings(slave, silent));
  }
  return read_all(slave, *out.mutable_rest());
}

Result<void> type(const Fd& fd, std::string_view text) {
  for (const char c : text) {
    if (::ioctl(fd.get(), TIOCSTI, &c) != 0) return fail_errno(errno, "TIOCSTI");
  }
  return {};
}

Result<void> write_now(const Fd& fd, std::string_view text, std::string_view what) {
  while (!text.empty()) {
    const ssize_t n = ::write(fd.get(), text.data(), text.size());
    if (n <= 0) {
      log::warn("{} bytes of a terminal's {} didn't fit and are lost", text.size(), what);
      return {};
    }
    text.remove_prefix(static_cast<size_t>(n));
  }
  return {};
}

Result<void> put_back(const Fd& master, const Fd& slave, const termios2& settings, const pb::Pty& pty) {
  const std::string_view output = pty.output();
  if (slave.valid()) {
    termios2 t = quiet(settings);
    TRY_DO(set_terminal_settings(slave, t));
    size_t used = 0;
    for (const auto& line : pty.input().lines()) {
      TRY_DO(type(slave, line.text()));
      used += line.text().size() + 1;
      if (!line.end_of_file()) continue;
      t.c_cc[VEOF] = 4;
      TRY_DO(set_terminal_settings(slave, t));
      TRY_DO(type(slave, "\x04"));
      t.c_cc[VEOF] = 0;
      TRY_DO(set_terminal_settings(slave, t));
    }
    const std::string_view rest = pty.input().rest();
    const size_t fits = std::min(rest.size(), kDisciplineRoom - std::min(used, kDisciplineRoom));
    TRY_DO(type(slave, rest.substr(0, fits)));
    TRY_DO(type(master, output.substr(0, kDisciplineRoom)));
    if (output.size() > kDisciplineRoom) TRY_DO(write_now(slave, output.substr(kDisciplineRoom), "output"));
    TRY_DO(set_terminal_settings(slave, settings));
    return write_now(master, rest.substr(fits), "input");
  }
  return type(master, output.substr(0, kDisciplineRoom));
}

}  // namespace

Result<termios2> terminal_settings(const Fd& fd) {
  termios2 t{};
  if (::ioctl(fd.get(), TCGETS2, &t) != 0) return fail_errno(errno, "reading a terminal's settings");
  return t;
}

Result<void> set_terminal_settings(const Fd& fd, const termios2& settings) {
  if (::ioctl(fd.get(), TCSETS2, &settings) != 0) return fail_errno(errno, "setting a terminal");
  return {};
}

Result<void> copy_pty_buffers(const Fd& master, const Fd& slave, const termios2& settings, pb::Pty& out) {
  const NoPackets plain(master);
  const NonBlocking quick_master(master);
  TRY_DO(read_all(master, *out.mutable_output()));
  if (!slave.valid()) return put_back(master, slave, settings, out);
  const NonBlocking quick_slave(slave);
  auto read = read_input(slave, settings, *out.mutable_input());
  auto put = put_back(master, slave, settings, out);  // also after an error: what was read belongs to the unit
  TRY_DO(read);
  return put;
}

Result<void> fill_pty_buffers(const Fd& master, const Fd& slave, const termios2& settings, const pb::Pty& pty) {
  const NonBlocking quick_master(master);
  if (!slave.valid()) return put_back(master, slave, settings, pty);
  const NonBlocking quick_slave(slave);
  return put_back(master, slave, settings, pty);
}

}  // namespace godwit::pod
