// Pseudo-terminals: recognising and dumping.
//
// A terminal is carried when its master is in the tree: then both sides move together. A slave alone is a window into
// somebody else's terminal: refused, unless it is a standard stream that the restoring command replaces by its own.
// /dev/tty is carried as the slave that it stood for when it was opened.
//
// What belongs to the pair (settings, window, unread data) and to sessions (controlling terminal, foreground group) is in
// the section, which is dumped when all descriptors are known.
#include "pod/kinds/tty.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <charconv>
#include <map>
#include <memory>
#include <optional>
#include <sstream>
#include <vector>

#include "base/io.h"
#include "base/sys.h"
#include "godwit/pod.pb.h"
#include "godwit/pod_kinds_tty.pb.h"
#include "pod/kinds/all.h"
#include "pod/kinds/pty_buffer.h"

namespace godwit::pod {
namespace {

struct Seen {
  Fd master;
  std::string master_object;
  Fd slave;  ///< one that reads and writes, if there is one
  std::string slave_object;
  std::optional<struct stat> node;
  bool inheritable = false;
};
struct Dump {
  std::map<uint32_t, Seen> terminals;
};
Dump& memory(DumpContext& ctx) {
  auto& slot = ctx.memory("terminals");
  if (slot == nullptr) slot = std::make_shared<Dump>();
  return *static_cast<Dump*>(slot.get());
}

bool is_slave_number(unsigned major_number) {
  return major_number >= kPtySlaveMajor && major_number < kPtySlaveMajor + kPtySlaveMajors;
}
uint32_t slave_index(unsigned major_number, unsigned minor_number) {
  return (major_number - kPtySlaveMajor) * 256 + minor_number;
}
bool is_device(const OpenFileView& view) { return S_ISCHR(view.st.st_mode) && (view.flags & O_PATH) == 0; }

// The device behind a terminal's descriptor: differs from its own for /dev/tty.
std::optional<dev_t> real_device(const OpenFileView& view) {
  unsigned device = 0;
  if (::ioctl(view.ours.get(), TIOCGDEV, &device) == 0) {
    return makedev((device >> 8) & 0xfff, (device & 0xff) | ((device >> 12) & 0xfff00));
  }
  return std::nullopt;
}

bool matches_master(const OpenFileView& view) {
  return is_device(view) && major(view.st.st_rdev) == kAuxMajor && minor(view.st.st_rdev) == 2;
}
bool matches_slave(const OpenFileView& view) {
  if (!is_device(view)) return false;
  if (is_slave_number(major(view.st.st_rdev))) return true;
  if (major(view.st.st_rdev) != kAuxMajor || minor(view.st.st_rdev) != 0) return false;
  const auto device = real_device(view);
  return device && is_slave_number(major(*device));
}
bool matches_other(const OpenFileView& view) {
  unsigned device = 0;
  return is_device(view) &&
         (major(view.st.st_rdev) == kAuxMajor || major(view.st.st_rdev) == 4 /* virtual consoles, serial */ ||
          ::ioctl(view.ours.get(), TIOCGDEV, &device) == 0);
}

Result<void> dump_master(DumpContext& ctx, const OpenFileView& view, pb::OpenFile& out) {
  unsigned index = 0;
  if (::ioctl(view.ours.get(), TIOCGPTN, &index) != 0) return fail_errno(errno, "TIOCGPTN");
  Seen& seen = memory(ctx).terminals[index];
  TRY(seen.master, sys::dup(view.ours.get()));
  seen.master_object = view.object;
  pb::PtyMaster state;
  state.set_index(index);
  state.set_path(view.link);
  out.set_state(state.SerializeAsString());
  return {};
}

Result<void> dump_slave(DumpContext& ctx, const OpenFileView& view, pb::OpenFile& out) {
  pb::PtySlave state;
  const auto device = real_device(view);
  const dev_t number = device.value_or(view.st.st_rdev);
  state.set_index(slave_index(major(number), minor(number)));
  state.set_hung_up(!device);
  state.set_inheritable(ctx.may_inherit(view));
  state.set_fd(static_cast<uint32_t>(view.fd));
  int exclusive = 0;
  if (::ioctl(view.ours.get(), TIOCGEXCL, &exclusive) == 0) state.set_exclusive(exclusive != 0);
  out.set_state(state.SerializeAsString());
  if (state.hung_up()) return {};
  int discipline = 0;
  if (::ioctl(view.ours.get(), TIOCGETD, &discipline) == 0 && discipline != N_TTY) {
    ctx.refuse("terminal-kind", view.object, "line discipline " + std::to_string(discipline));
  }
  Seen& seen = memory(ctx).terminals[state.index()];
  seen.slave_object = view.object;
  seen.inheritable |= state.inheritable();
  if (is_slave_number(major(view.st.st_rdev))) seen.node = view.st;
  if (!seen.slave.valid() || (view.flags & O_ACCMODE) == O_RDWR) {
    TRY(seen.slave, sys::dup(view.ours.get()));
  }
  return {};
}

Result<void> dump_other(DumpContext& ctx, const OpenFileView& view, pb::OpenFile&) {
  ctx.refuse("terminal-kind", view.object, view.link);
  return {};
}
Result<Fd> restore_other(RestoreContext&, const pb::OpenFile&) {
  return fail(Code::kCorrupt, "a terminal that no dump carries");
}

// ---- the section

Result<void> dump_pty(DumpContext& ctx, uint32_t index, const Seen& seen, pb::Pty& out) {
  out.set_index(index);
  TRY(const termios2 settings, terminal_settings(seen.master));  // a master answers for its slave
  out.set_termios(&settings, sizeof(settings));
  winsize window{};
  if (::ioctl(seen.master.get(), TIOCGWINSZ, &window) == 0) out.set_window(&window, sizeof(window));
  int value = 0;
  if (::ioctl(seen.master.get(), TIOCGPTLCK, &value) == 0) out.set_locked(value != 0);
  if (::ioctl(seen.master.get(), TIOCGPKT, &value) == 0) out.set_packet(value != 0);
  if (::ioctl(seen.master.get(), TIOCGEXCL, &value) == 0) out.set_exclusive(value != 0);
  if (seen.node) {
    out.set_has_node(true);
    out.set_mode(seen.node->st_mode & 07777);
    out.set_uid(seen.node->st_uid);
    out.set_gid(seen.node->st_gid);
  }
  pollfd poll{seen.master.get(), 0, 0};
  out.set_other_closed(::poll(&poll, 1, 0) > 0 && (poll.revents & POLLHUP) != 0);
  if (ctx.inspecting()) return {};
  int to_master = 0, to_slave = 0;
  (void)::ioctl(seen.master.get(), FIONREAD, &to_master);
  if (seen.slave.valid()) (void)::ioctl(seen.slave.get(), FIONREAD, &to_slave);
  // Asked with a bad address TIOCSTI only checks whether this process may.
  if (::ioctl(seen.master.get(), TIOCSTI, nullptr) != 0 && errno != EFAULT) {
    if (to_master > 0 || to_slave > 0) ctx.refuse("terminal-unread", seen.master_object);
    return {};
  }
  return copy_pty_buffers(seen.master, seen.slave, settings, out);
}

struct Stat {
  pid_t group = 0, session = 0;
  unsigned terminal = 0;
  pid_t foreground = 0;
};
Result<Stat> read_stat(const Fd& proc, pid_t pid) {
  TRY(const std::string text, io::read_file_at(proc, std::to_string(pid) + "/stat"));
  std::istringstream fields(text.substr(std::min(text.size(), text.rfind(')') + 1)));
  std::string state;
  pid_t parent = 0;
  Stat s;
  fields >> state >> parent >> s.group >> s.session >> s.terminal >> s.foreground;
  return s;
}

// A process group as the tree sees it: by any member, for its leader may be gone.
Result<pid_t> group_in_tree(DumpContext& ctx, pid_t host_group) {
  for (const pid_t pid : ctx.processes()) {
    const auto stat = read_stat(ctx.proc_dir(), pid);
    if (!stat || stat->group != host_group) continue;
    TRY(const std::string status, io::read_file_at(ctx.proc_dir(), std::to_string(pid) + "/status"));
    const auto line = status.find("\nNSpgid:");
    if (line == std::string::npos) break;
    std::istringstream numbers(status.substr(line + 8, status.find('\n', line + 1) - line - 8));
    pid_t group = 0;
    for (pid_t each = 0; numbers >> each;) group = each;  // the innermost namespace stands last
    return group;
  }
  return fail(Code::kNotFound, "a process group without members");
}

Result<void> dump_controlling(DumpContext& ctx, pb::Terminals& out) {
  // While everybody stands still this isn't asked of a hundred processes for nothing: a session whose terminal no
  // descriptor shows was found by the look before the freeze.
  if (!ctx.inspecting() && memory(ctx).terminals.empty()) return {};
  for (const pid_t pid : ctx.processes()) {
    const auto stat = read_stat(ctx.proc_dir(), pid);
    if (!stat || stat->session != pid || stat->terminal == 0) continue;
    const auto index = pty_index(stat->terminal);
    const auto& terminals = memory(ctx).terminals;
    const auto seen = index ? terminals.find(*index) : terminals.end();
    if (seen != terminals.end() && seen->second.master.valid()) {
      auto* c = out.add_controlling();
      TRY(const pid_t leader, ctx.pid_in_tree(pid));
      c->set_leader(leader);
      c->set_index(seen->first);
      if (auto group = group_in_tree(ctx, stat->foreground)) c->set_foreground(*group);
    } else if (seen == terminals.end()) {  // else its descriptors have said so already
      ctx.refuse("terminal-outside", "the session of pid " + std::to_string(pid));
    }
  }
  return {};
}

Result<std::string> dump_section(DumpContext& ctx) {
  pb::Terminals out;
  for (const auto& [index, seen] : memory(ctx).terminals) {
    if (seen.master.valid()) {
      TRY_IN(seen.master_object, dump_pty(ctx, index, seen, *out.add_ptys()));
    } else if (!seen.inheritable) {
      ctx.refuse("terminal-outside", seen.slave_object);
    }
  }
  TRY_DO(dump_controlling(ctx, out));
  return out.SerializeAsString();
}

}  // namespace

std::optional<uint32_t> pty_index(unsigned device) {
  const unsigned major_number = (device >> 8) & 0xfff;  // new_encode_dev() of the kernel
  if (!is_slave_number(major_number)) return std::nullopt;
  return slave_index(major_number, (device & 0xff) | ((device >> 12) & 0xfff00));
}

std::set<uint32_t> held_terminals(const Fd& proc, const std::vector<pid_t>& host_pids) {
  std::set<uint32_t> held;
  for (const pid_t pid : host_pids) {
    const std::string dir = std::to_string(pid);
    const auto fds = sys::list_dir_at(proc, dir + "/fd");
    if (!fds) continue;
    for (const auto& fd : *fds) {
      const auto link = sys::read_link_at(proc, dir + "/fd/" + fd);
      if (!link || !link->ends_with("/ptmx")) continue;
      const auto info = io::read_file_at(proc, dir + "/fdinfo/" + fd);
      const auto at = info ? info->find("tty-index:") : std::string::npos;
      if (at != std::string::npos) held.insert(static_cast<uint32_t>(std::atoi(info->c_str() + at + 10)));
    }
  }
  return held;
}

const FileKind kPtyMasterKind = {.name = "pty-master",
                                 .matches = matches_master,
                                 .dump = dump_master,
                                 .restore = restore_pty_master,
                                 .schema = "godwit.pod.v1.PtyMaster"};
const FileKind kPtySlaveKind = {.name = "pty-slave",
                                .matches = matches_slave,
                                .dump = dump_slave,
                                .restore = restore_pty_slave,
                                .schema = "godwit.pod.v1.PtySlave"};
const FileKind kOtherTerminalKind = {
    .name = "terminal", .matches = matches_other, .dump = dump_other, .restore = restore_other};
const SectionKind kTerminalsSection = {.name = "terminals",
                                       .dump = dump_section,
                                       .restore = restore_terminals,
                                       .connect = connect_terminals,
                                       .activate = nullptr,
                                       .schema = "godwit.pod.v1.Terminals"};

}  // namespace godwit::pod
