// pidfd_open(2). One of a living process or a zombie is opened again when the processes exist (late). One of a process
// that is dead and reaped must still say so (poll, ESRCH, and how it ended): a child of ours dies the same death for it.
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/io.h"
#include "base/sys.h"
#include "godwit/pod_kinds_events.pb.h"
#include "pod/kinds/all.h"
#include "pod/kinds/common.h"

namespace godwit::pod {
namespace {

using namespace kinds;

constexpr unsigned kPidfdThread = O_EXCL;  // PIDFD_THREAD, Linux 6.9

// PIDFD_GET_INFO, Linux 6.13; the exit status since 6.15.
struct PidfdInfo {
  uint64_t mask, cgroup;
  uint32_t pid, tgid, ppid, ids[8];
  int32_t exit_code;
};
static_assert(sizeof(PidfdInfo) == 64);
constexpr unsigned long kPidfdGetInfo = _IOWR(0xFF, 11, PidfdInfo);
constexpr uint64_t kPidfdInfoExit = 1 << 3;

bool matches(const OpenFileView& view) { return view.link == "anon_inode:[pidfd]"; }

Result<int64_t> field_of_status(const Fd& proc_dir, const std::string& task, std::string_view key) {
  TRY(const std::string status, io::read_file_at(proc_dir, task + "/status"));
  const auto value = fdinfo_field(status, key);
  if (!value || value->empty()) return fail(Code::kFailed, "no " + std::string(key) + " of " + task);
  TRY(const uint64_t number, parse_number(split(*value, '\t').back(), 10));  // the innermost namespace comes last
  return static_cast<int64_t>(number);
}

Result<void> dump_thread(DumpContext& ctx, const OpenFileView& view, pid_t tid, pb::PidDescriptor& state) {
  const std::string task = std::to_string(tid);
  TRY(const int64_t process, field_of_status(ctx.proc_dir(), task, "Tgid"));
  const auto owner = ctx.pid_in_tree(static_cast<pid_t>(process));
  if (!owner) {
    ctx.refuse("pidfd-outside", view.object, "tid " + task);
    return {};
  }
  TRY(const int64_t in_tree, field_of_status(ctx.proc_dir(), task, "NSpid"));
  state.set_thread(true);
  state.set_owner(*owner);
  state.set_pid(static_cast<int32_t>(in_tree));
  return {};
}

Result<void> dump(DumpContext& ctx, const OpenFileView& view, pb::OpenFile& out) {
  // Read anew: the process may have ended since the first look.
  TRY(const std::string info, io::read_file_at(ctx.proc_dir(), "self/fdinfo/" + std::to_string(view.ours.get())));
  const auto text = fdinfo_field(info, "Pid");
  if (!text) return fail(Code::kFailed, view.object + ": its fdinfo names no process");
  pb::PidDescriptor state;
  if (*text == "-1") {
    PidfdInfo exit{.mask = kPidfdInfoExit};
    if (::ioctl(view.ours.get(), kPidfdGetInfo, &exit) == 0 && (exit.mask & kPidfdInfoExit) != 0)
      state.set_exit_status(exit.exit_code);
  } else {
    TRY(const uint64_t number, parse_number(*text, 10));
    const auto host_pid = static_cast<pid_t>(number);
    out.set_late(true);
    if (host_pid == 0) {
      ctx.refuse("pidfd-outside", view.object);
    } else if ((view.flags & kPidfdThread) != 0) {
      TRY_DO(dump_thread(ctx, view, host_pid, state));
    } else if (const auto pid = ctx.pid_in_tree(host_pid)) {
      state.set_pid(*pid);
    } else {
      ctx.refuse("pidfd-outside", view.object, "pid " + std::to_string(host_pid));
    }
  }
  out.set_state(state.SerializeAsString());
  return {};
}

// In a child that shares this memory and stops this thread until it ends (vfork): system calls only.
[[noreturn, gnu::noinline]] void die_like(int status) {
  if (const int signal = status & 0x7f; signal != 0) {
    const rlimit no_core{1, 1};  // 1, not 0, also holds for a core_pattern that is a pipe (core(5))
    ::setrlimit(RLIMIT_CORE, &no_core);
    ::signal(signal, SIG_DFL);
    sigset_t all;
    ::sigfillset(&all);
    ::sigprocmask(SIG_UNBLOCK, &all, nullptr);
    ::kill(::getpid(), signal);
  }
  ::_exit((status >> 8) & 0xff);
}

// It must have died in the unit's PID namespace: pidfd_send_signal(2) answers EINVAL for a process of a namespace above.
Result<Fd> pidfd_of_a_dead_process(RestoreContext& ctx, int status, unsigned flags) {
  TRY(const pid_t somebody, ctx.any_host_pid());
  TRY(const Fd own, sys::open_at(ctx.proc_dir(), "self/ns/pid", O_RDONLY));
  TRY(const Fd units, sys::open_at(ctx.proc_dir(), std::to_string(somebody) + "/ns/pid", O_RDONLY));
  TRY(const auto own_id, sys::stat(own));
  TRY(const auto units_id, sys::stat(units));
  const bool other = own_id.st_ino != units_id.st_ino;  // else there is nothing to enter, and it may need no privilege
  if (other && ::setns(units.get(), CLONE_NEWPID) < 0) return fail_errno(errno, "setns to the unit's PID namespace");
  const pid_t child = ::vfork();
  if (child == 0) die_like(status);
  const int failed = errno;
  if (other && ::setns(own.get(), CLONE_NEWPID) < 0) return fail_errno(errno, "setns back to the own PID namespace");
  if (child < 0) return fail_errno(failed, "vfork");
  auto fd = sys::pidfd_open(child, flags);
  while (::waitpid(child, nullptr, 0) < 0 && errno == EINTR) {
  }
  return fd;
}

// Host TID of a thread that its process knows as `tid`.
Result<pid_t> find_thread(RestoreContext& ctx, pid_t owner, pid_t tid) {
  TRY(const pid_t process, ctx.host_pid(owner));
  const std::string tasks = std::to_string(process) + "/task";
  TRY(const auto names, sys::list_dir_at(ctx.proc_dir(), tasks));
  for (const auto& name : names) {
    std::string task = tasks;
    task += "/" + name;
    const auto in_tree = field_of_status(ctx.proc_dir(), task, "NSpid");
    if (in_tree && *in_tree == tid) {
      TRY(const uint64_t number, parse_number(name, 10));
      return static_cast<pid_t>(number);
    }
  }
  return fail(Code::kCorrupt,
              "a pidfd of thread " + std::to_string(tid) + ", which pid " + std::to_string(owner) + " doesn't have");
}

Result<Fd> restore(RestoreContext& ctx, const pb::OpenFile& file) {
  TRY(const auto state, parse_state<pb::PidDescriptor>(file));
  const unsigned flags = file.flags() & (O_NONBLOCK | kPidfdThread);
  if (state.pid() == 0) return pidfd_of_a_dead_process(ctx, state.exit_status(), flags);
  if (state.thread()) {
    TRY(const pid_t tid, find_thread(ctx, state.owner(), state.pid()));
    return sys::pidfd_open(tid, flags);
  }
  TRY(const pid_t pid, ctx.host_pid(state.pid()));
  return sys::pidfd_open(pid, flags);
}

}  // namespace

const FileKind kPidfdKind = {
    .name = "pidfd", .matches = matches, .dump = dump, .restore = restore, .schema = "godwit.pod.v1.PidDescriptor"};

}  // namespace godwit::pod
