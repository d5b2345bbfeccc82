#include "keeper/streams.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base.h"
#include "base/pki.h"
#include "keeper/feeder.h"
#include "keeper/output_file.h"

// The relay, built before this file (CMakeLists.txt), as bytes: there is no second file to install or to lose.
asm(".section .rodata\n"
    "godwit_relay_begin:\n.incbin \"" GODWIT_RELAY
    "\"\n"
    "godwit_relay_end:\n.previous\n");
extern "C" const char relay_begin[] asm("godwit_relay_begin");
extern "C" const char relay_end[] asm("godwit_relay_end");

namespace godwit::keeper {
namespace {

std::string_view relay_bytes() { return {relay_begin, static_cast<size_t>(relay_end - relay_begin)}; }

std::string relay_path() {
  return std::string(kUnitMount) + "/relay-" + pki::sha256_hex(std::string(relay_bytes())).substr(0, 32);
}

struct Terminal {
  Fd master, slave;
};
Result<Terminal> open_terminal(const wire::UnitSpec& spec) {
  Terminal t;
  TRY(t.master, sys::open("/dev/pts/ptmx", O_RDWR | O_NOCTTY | O_NONBLOCK));
  int locked = 0;
  unsigned number = 0;
  if (::ioctl(t.master.get(), TIOCSPTLCK, &locked) < 0 || ::ioctl(t.master.get(), TIOCGPTN, &number) < 0)
    return fail_errno(errno, "a new terminal");
  TRY(t.slave, sys::open("/dev/pts/" + std::to_string(number), O_RDWR | O_NOCTTY));
  if (spec.uid() != 0 && ::fchown(t.slave.get(), spec.uid(), static_cast<gid_t>(-1)) < 0)
    return fail_errno(errno, "the owner of the terminal");
  winsize size{};
  size.ws_row = static_cast<unsigned short>(spec.window().rows());
  size.ws_col = static_cast<unsigned short>(spec.window().columns());
  if (spec.has_window() && ::ioctl(t.master.get(), TIOCSWINSZ, &size) < 0)
    return fail_errno(errno, "the terminal's size");
  return t;
}

}  // namespace

Result<void> place_relay() {
  TRY(const Fd file, sys::open(relay_path(), O_WRONLY | O_CREAT | O_EXCL, 0555));
  return io::write_full(file.get(), relay_bytes());
}

Result<Streams> make_streams(const wire::UnitSpec& spec, pod::Sandbox::Program& program) {
  Streams s;
  const auto hold = [&](Fd fd) {
    s.held.push_back(std::move(fd));
    return s.held.back().get();
  };
  TRY(Fd out, sys::open(kOutputPath, O_WRONLY | O_APPEND));
  const int output = hold(std::move(out));
  program.stdio[1] = program.stdio[2] = output;
  if (!spec.tty() && !spec.interactive()) {
    TRY(Fd null, sys::open("/dev/null", O_RDONLY));
    program.stdio[0] = hold(std::move(null));
    return s;
  }
  if (::mkfifo(kInputPath, 0600) < 0) return fail_errno(errno, "the unit's input");
  TRY(Fd fifo, sys::open(kInputPath, O_RDWR));
  pod::Sandbox::Companion relay;
  relay.path = relay_path();
  relay.argv = {"godwit-relay", spec.tty() ? "t" : "i"};
  relay.fds.push_back(hold(std::move(fifo)));
  if (spec.tty()) {
    TRY(Terminal t, open_terminal(spec));
    relay.fds.push_back(hold(std::move(t.master)));
    relay.fds.push_back(output);
    program.stdio[0] = program.stdio[1] = program.stdio[2] = hold(std::move(t.slave));
    program.controlling_terminal = true;
  } else {
    TRY(auto ends, sys::pipe());
    program.stdio[0] = hold(std::move(ends.first));
    relay.fds.push_back(hold(std::move(ends.second)));
  }
  program.companion = std::move(relay);
  return s;
}

}  // namespace godwit::keeper
