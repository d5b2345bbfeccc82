// Pseudo-terminals: making them again.
//
// A terminal's number is part of what programs see (/dev/pts/3, ttyname(3)). The kernel gives the lowest free one, so
// terminals are opened until the wanted one comes, and the others closed again. In a unit's own devpts every number is
// free; elsewhere it may be taken: then another number is used, and a warning says so.
//
// A controlling terminal is handed on by fork(2) alone. So a session's leader gets it when the blank process stands and
// before it has children, long before the terminal's state is known; only the foreground group is set in connect(). A
// SIGWINCH that a change of the window causes there is thrown away with all signals that blank processes have gathered.
#include <fcntl.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <cerrno>
#include <cstring>
#include <map>
#include <memory>
#include <vector>

#include "base/log.h"
#include "base/sys.h"
#include "godwit/pod.pb.h"
#include "godwit/pod_kinds_tty.pb.h"
#include "pod/kinds/pty_buffer.h"
#include "pod/kinds/tty.h"

namespace godwit::pod {
namespace {

constexpr uint32_t kMostTerminals = 4096;  // kernel.pty.max

struct Pair {
  Fd master;
  unsigned index = 0;  ///< its number here
  Fd slave;  ///< a duplicate of one of the restored ones
  Fd other;  ///< keeps the other side open while sessions are made: its last close would hang up
};
struct Restored {
  std::map<uint32_t, pb::Pty> ptys;  ///< by the number at the source
  std::map<uint32_t, Pair> pairs;
  std::vector<Fd> exclusive;
};
Restored& memory(RestoreContext& ctx) {
  auto& slot = ctx.memory("terminals");
  if (slot == nullptr) slot = std::make_shared<Restored>();
  return *static_cast<Restored*>(slot.get());
}

Result<Fd> open_multiplexer(const std::string& path, int flags) {
  Result<Fd> opened = fail(Code::kFailed, "no pseudo-terminals here");
  for (const std::string& candidate : {path, std::string("/dev/pts/ptmx"), std::string("/dev/ptmx")}) {
    if (!candidate.ends_with("/ptmx")) continue;
    opened = sys::open(candidate, flags | O_NOCTTY);
    if (opened) break;
  }
  return opened;
}

// A new terminal with this number, or with another if that is taken.
Result<Pair> open_pair(const std::string& path, int flags, uint32_t wanted) {
  if (wanted >= kMostTerminals) return fail(Code::kCorrupt, "terminal number " + std::to_string(wanted));
  std::vector<Fd> fillers;
  for (;;) {
    Pair pair;
    TRY(pair.master, open_multiplexer(path, flags));
    if (::ioctl(pair.master.get(), TIOCGPTN, &pair.index) != 0) return fail_errno(errno, "TIOCGPTN");
    if (pair.index < wanted) {
      fillers.push_back(std::move(pair.master));
      continue;
    }
    if (pair.index > wanted)
      log::warn("terminal /dev/pts/{} is taken here: the unit gets /dev/pts/{}", wanted, pair.index);
    int unlocked = 0;
    if (::ioctl(pair.master.get(), TIOCSPTLCK, &unlocked) != 0) return fail_errno(errno, "unlocking a terminal");
    return pair;
  }
}

Result<Pair*> pair_of(RestoreContext& ctx, uint32_t index, const std::string& path, int flags) {
  auto& pairs = memory(ctx).pairs;
  if (const auto it = pairs.find(index); it != pairs.end()) return &it->second;
  TRY(auto made, open_pair(path, flags, index));
  return &pairs.insert_or_assign(index, std::move(made)).first->second;
}

Result<Fd> open_slave(const Fd& master, int flags) {
  // Not O_CLOEXEC here: the kernel would keep it in the description's flags (ptm_open_peer).
  Fd slave(::ioctl(master.get(), TIOCGPTPEER, (flags & (O_ACCMODE | O_NONBLOCK)) | O_NOCTTY));
  if (!slave.valid()) return fail_errno(errno, "opening a terminal's other side");
  if (::fcntl(slave.get(), F_SETFD, FD_CLOEXEC) < 0) return fail_errno(errno, "F_SETFD of a terminal");
  return slave;
}

template <typename T>
Result<T> bytes_as(const std::string& bytes, std::string_view what) {
  T value{};
  if (bytes.size() != sizeof(T)) return fail(Code::kCorrupt, "a terminal's " + std::string(what));
  std::memcpy(&value, bytes.data(), sizeof(T));
  return value;
}

Result<void> restore_pty(RestoreContext& ctx, const pb::Pty& pty) {
  const auto it = memory(ctx).pairs.find(pty.index());
  if (it == memory(ctx).pairs.end()) return fail(Code::kCorrupt, "a terminal that nothing refers to");
  Pair& pair = it->second;
  TRY(const auto settings, bytes_as<termios2>(pty.termios(), "settings"));
  TRY(const auto window, bytes_as<winsize>(pty.window(), "window"));
  if (!pair.slave.valid() && pty.other_closed()) {
    TRY(const Fd once, open_slave(pair.master, O_RDWR));  // the first close is what the master sees as a hang-up
  }
  if (auto filled = fill_pty_buffers(pair.master, pair.slave, settings, pty); !filled) {
    return std::unexpected(filled.error().in("terminal " + std::to_string(pty.index())));
  }
  TRY_DO(set_terminal_settings(pair.master, settings));
  if (::ioctl(pair.master.get(), TIOCSWINSZ, &window) != 0) return fail_errno(errno, "TIOCSWINSZ");
  if (pty.has_node() && pair.slave.valid()) {
    if (::fchmod(pair.slave.get(), pty.mode() & 07777) != 0 || ::fchown(pair.slave.get(), pty.uid(), pty.gid()) != 0) {
      log::warn("owner or mode of terminal {} isn't kept: {}", pair.index, std::strerror(errno));
    }
  }
  return {};
}

// Opens the terminal in a session's leader, which need not hold a descriptor of it, and calls ioctl(2) there.
Result<void> call_terminal(RestoreContext& ctx, pid_t leader, unsigned index, unsigned long request, pid_t argument) {
  auto call = [&](long number, std::initializer_list<uint64_t> arguments) {
    return ctx.remote_call(leader, number, std::span(arguments.begin(), arguments.size()));
  };
  TRY(const uint64_t scratch, ctx.remote_scratch(leader));
  const std::string path = "/dev/pts/" + std::to_string(index);
  TRY_DO(ctx.remote_write(leader, scratch, std::as_bytes(std::span(path.c_str(), path.size() + 1))));
  const auto here = static_cast<uint64_t>(AT_FDCWD);
  TRY(const int64_t fd, call(SYS_openat, {here, scratch, O_RDWR | O_NOCTTY | O_CLOEXEC, 0}));
  const auto number = static_cast<uint64_t>(fd);
  TRY_DO(ctx.remote_write(leader, scratch, std::as_bytes(std::span(&argument, 1))));
  const auto done = call(SYS_ioctl, {number, request, request == TIOCSCTTY ? 0 : scratch});
  (void)call(SYS_close, {number});
  if (!done) return std::unexpected(done.error());
  return {};
}

}  // namespace

Result<void> give_terminal(RestoreContext& ctx, pid_t leader, uint32_t index) {
  TRY(Pair * pair, pair_of(ctx, index, {}, O_RDWR));
  if (!pair->other.valid()) {
    TRY(pair->other, open_slave(pair->master, O_RDWR));
  }
  return call_terminal(ctx, leader, pair->index, TIOCSCTTY, 0);
}

Result<void> restore_terminals(RestoreContext& ctx, const std::string& section) {
  pb::Terminals terminals;
  if (!terminals.ParseFromString(section)) return fail(Code::kCorrupt, "the section of terminals can't be parsed");
  for (const auto& pty : terminals.ptys()) {
    if (!memory(ctx).ptys.try_emplace(pty.index(), pty).second) return fail(Code::kCorrupt, "a terminal twice");
  }
  return {};
}

Result<Fd> restore_pty_master(RestoreContext& ctx, const pb::OpenFile& file) {
  pb::PtyMaster state;
  if (!state.ParseFromString(file.state())) return fail(Code::kCorrupt, "the state of a terminal can't be parsed");
  TRY(const Pair* pair, pair_of(ctx, state.index(), state.path(), static_cast<int>(file.flags()) & O_ACCMODE));
  return sys::dup(pair->master.get());
}

Result<Fd> restore_pty_slave(RestoreContext& ctx, const pb::OpenFile& file) {
  pb::PtySlave state;
  if (!state.ParseFromString(file.state())) return fail(Code::kCorrupt, "the state of a terminal can't be parsed");
  const int flags = static_cast<int>(file.flags());
  if (state.hung_up()) {
    TRY(const Pair lost, open_pair({}, O_RDWR, 0));
    return open_slave(lost.master, flags);  // the master closes when this returns: that is the hang-up
  }
  if (!memory(ctx).ptys.contains(state.index())) {
    if (!state.inheritable()) return fail(Code::kCorrupt, "a terminal without its other side");
    return ctx.inherit(static_cast<int>(state.fd()), "/dev/pts/" + std::to_string(state.index()));
  }
  TRY(Pair * pair, pair_of(ctx, state.index(), {}, O_RDWR));
  TRY(Fd slave, open_slave(pair->master, flags));
  if (!pair->slave.valid() || (flags & O_ACCMODE) == O_RDWR) {
    TRY(pair->slave, sys::dup(slave.get()));
  }
  if (state.exclusive()) {
    TRY(Fd copy, sys::dup(slave.get()));
    memory(ctx).exclusive.push_back(std::move(copy));
  }
  return slave;
}

Result<void> connect_terminals(RestoreContext& ctx, const std::string& section) {
  pb::Terminals terminals;
  if (!terminals.ParseFromString(section)) return fail(Code::kCorrupt, "the section of terminals can't be parsed");
  Restored& all = memory(ctx);
  for (const auto& pty : terminals.ptys()) TRY_DO(restore_pty(ctx, pty));
  for (const auto& c : terminals.controlling()) {
    const auto pair = all.pairs.find(c.index());
    if (pair == all.pairs.end()) return fail(Code::kCorrupt, "a controlling terminal that isn't in the state");
    if (c.foreground() == 0) continue;
    TRY_IN("the foreground of the session of pid " + std::to_string(c.leader()),
           call_terminal(ctx, c.leader(), pair->second.index, TIOCSPGRP, c.foreground()));
  }
  // What would have been in the way of the above.
  for (const auto& pty : terminals.ptys()) {
    const Fd& master = all.pairs.at(pty.index()).master;
    int on = 1;
    if (pty.packet()) (void)::ioctl(master.get(), TIOCPKT, &on);
    if (pty.locked()) (void)::ioctl(master.get(), TIOCSPTLCK, &on);
    if (pty.exclusive()) (void)::ioctl(master.get(), TIOCEXCL);
  }
  for (const Fd& slave : all.exclusive) (void)::ioctl(slave.get(), TIOCEXCL);
  // From here on only the unit's own descriptors hold the terminals open.
  all.pairs.clear();
  all.exclusive.clear();
  return {};
}

}  // namespace godwit::pod
