// A unit's namespaces and its init.
//
// The keeper enters the mount, IPC and UTS namespaces itself and stays outside of the PID and time namespaces, so it can
// see and trace the whole unit. A process that has unshared its children's PID namespace can't make threads any more
// (clone(2), EINVAL), so a short-lived fork unshares those two and clones the unit's init with CLONE_PARENT: init is the
// keeper's child. Init runs no program: it keeps two descriptors, reaps whom it inherits, and writes (pid, status) of
// each to a pipe. What the unit must not get out of (control groups, a Landlock domain, a bounding set of capabilities), init
// enters before it has a child: all of these are inherited, and there is no way back. It dies with the keeper
// (PR_SET_PDEATHSIG), and with it, by pid_namespaces(7), everybody in the unit.
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/io.h"
#include "base/log.h"
#include "base/sys.h"
#include "pod/pod.h"
#include "pod/proc.h"
#include "pod/vdso.h"

namespace godwit::pod {
namespace {

constexpr int kCloneNewTime = 0x00000080;  // CLONE_NEWTIME, Linux 5.6

struct ExitRecord {
  pid_t pid;
  int status;
};

struct ProgramVectors {
  std::vector<char*> argv, env, companion_argv;
};

// What the short-lived fork says: who init is, or why there is none.
struct StartRecord {
  pid_t init;
  int error;
};

// What a program says that couldn't be started.
struct NotStarted {
  enum Step : int { kDirectory, kUser, kProgram, kCompanion, kBonds } step;
  int error;
};

// time_namespaces(7): "CLOCK SECONDS NANOSECONDS", nanoseconds never negative. Empty when the host's clocks are right.
std::string offset_lines(const ClockOffsets& offsets) {
  if (offsets.monotonic.count() == 0 && offsets.boottime.count() == 0) return {};
  auto line = [](const char* clock, Nanos offset) {
    int64_t seconds = offset.count() / 1'000'000'000;
    int64_t nanoseconds = offset.count() % 1'000'000'000;
    if (nanoseconds < 0) {
      nanoseconds += 1'000'000'000;
      seconds--;
    }
    return std::string(clock) + " " + std::to_string(seconds) + " " + std::to_string(nanoseconds) + "\n";
  };
  return line("monotonic", offsets.monotonic) + line("boottime", offsets.boottime);
}

bool write_offsets(const std::string& lines) {
  if (lines.empty()) return true;
  const int fd = ::open("/proc/self/timens_offsets", O_WRONLY | O_CLOEXEC);
  return fd >= 0 && ::write(fd, lines.data(), lines.size()) == static_cast<ssize_t>(lines.size());
}

// --- inside init and the program: after fork, raw calls only ---------------------------------------------------------

[[noreturn]] void run_program(const Sandbox::Program& program, ProgramVectors& vectors, int error_pipe) {
  auto give_up = [&](NotStarted::Step step) {
    const NotStarted why{step, errno};
    (void)!::write(error_pipe, &why, sizeof why);
    ::_exit(127);
  };
  ::prctl(PR_SET_PDEATHSIG, 0);
  ::setsid();
  if (program.controlling_terminal) ::ioctl(program.stdio[0], TIOCSCTTY, 0);
  int stdio[3];
  for (int i = 0; i < 3; i++) stdio[i] = ::fcntl(program.stdio[i], F_DUPFD, 64);
  for (int i = 0; i < 3; i++) ::dup2(stdio[i], i);
  const int error_copy = ::fcntl(error_pipe, F_DUPFD_CLOEXEC, 3);
  if (error_copy > 3) {
    ::dup3(error_pipe, 3, O_CLOEXEC);
  }
  ::close_range(4, ~0u, 0);
  error_pipe = 3;
  if (!program.cwd.empty() && ::chdir(program.cwd.c_str()) < 0) give_up(NotStarted::kDirectory);
  if (program.gid && (::setgroups(0, nullptr) < 0 || ::setresgid(*program.gid, *program.gid, *program.gid) < 0))
    give_up(NotStarted::kUser);
  if (program.uid && ::setresuid(*program.uid, *program.uid, *program.uid) < 0) give_up(NotStarted::kUser);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  for (int s = 1; s < 65; s++) ::signal(s, SIG_DFL);
  ::execvpe(vectors.argv[0], vectors.argv.data(), vectors.env.data());
  give_up(NotStarted::kProgram);
  ::_exit(127);
}

Error error_of(const NotStarted& why, const Sandbox::Program* program) {
  switch (why.step) {
    case NotStarted::kDirectory: return {Code::kSystem, why.error, "the working directory " + program->cwd};
    case NotStarted::kUser: return {Code::kSystem, why.error, "becoming the unit's user"};
    case NotStarted::kBonds: return {Code::kSystem, why.error, "what the unit's document limits"};
    case NotStarted::kCompanion: return {Code::kSystem, why.error, "starting " + program->companion->path};
    case NotStarted::kProgram: break;
  }
  return {Code::kSystem, why.error, "starting " + program->argv[0]};
}

// With init's signal mask: all blocked. Its environment is empty.
[[noreturn]] void run_companion(const Sandbox::Companion& companion, ProgramVectors& vectors, int error_pipe) {
  constexpr int kHigh = 64, kMost = 8;
  ::prctl(PR_SET_PDEATHSIG, 0);
  ::setsid();
  const int count = std::min(static_cast<int>(companion.fds.size()), kMost);
  int fds[kMost];
  for (int i = 0; i < count; i++) fds[i] = ::fcntl(companion.fds[static_cast<size_t>(i)], F_DUPFD, kHigh);
  error_pipe = ::fcntl(error_pipe, F_DUPFD, kHigh);
  for (int i = 0; i < count; i++) ::dup2(fds[i], i);
  ::dup3(error_pipe, count, O_CLOEXEC);
  ::close_range(static_cast<unsigned>(count) + 1, ~0u, 0);
  char* const no_environment[] = {nullptr};
  if (::chdir("/") == 0) ::execve(companion.path.c_str(), vectors.companion_argv.data(), no_environment);
  const NotStarted why{NotStarted::kCompanion, errno};
  (void)!::write(count, &why, sizeof why);
  ::_exit(127);
}

// A path that isn't there needs no rule.
bool add_rule(int ruleset, const Sandbox::Bonds::PathRule& rule) {
  constexpr long kAddRule = 445;
  constexpr int kPathBeneath = 1;
  struct [[gnu::packed]] {
    uint64_t access;
    int32_t parent;
  } beneath{rule.access, ::open(rule.path.c_str(), O_PATH | O_CLOEXEC)};
  if (beneath.parent < 0) return true;
  if (::syscall(kAddRule, ruleset, kPathBeneath, &beneath, 0) == 0) return true;
  beneath.access = rule.access_of_file;
  return errno == EINVAL && ::syscall(kAddRule, ruleset, kPathBeneath, &beneath, 0) == 0;
}

// Without a need for no_new_privs, which the unit would see: landlock_restrict_self(2) asks for CAP_SYS_ADMIN instead.
bool enter_bonds(const Sandbox::Bonds& bonds) {
  constexpr long kRestrictSelf = 446;
  constexpr int kCapabilities = 64;
  for (const int group : bonds.groups)
    if (::write(group, "0", 1) != 1) return false;
  for (int c = 0; c < kCapabilities; c++) {
    if ((bonds.capabilities >> c & 1) != 0 || ::prctl(PR_CAPBSET_READ, c) != 1) continue;
    if (::prctl(PR_CAPBSET_DROP, c) < 0) return false;
  }
  for (const auto& rule : bonds.late)
    if (!add_rule(bonds.ruleset, rule)) return false;
  return bonds.ruleset < 0 || ::syscall(kRestrictSelf, bonds.ruleset, 0) == 0;
}

[[noreturn]] void run_init(int exits, int keep_fd, const Sandbox::Program* program, ProgramVectors& vectors,
                           int error_pipe, const Sandbox::Bonds& bonds) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  // A keeper that died before that line sends no signal. It alone has the other end of the pipe.
  pollfd keeper{exits, 0, 0};
  if (::poll(&keeper, 1, 0) > 0 && (keeper.revents & POLLERR) != 0) ::_exit(1);
  ::prctl(PR_SET_NAME, "godwit-init");
  ::setsid();
  sigset_t all;
  ::sigfillset(&all);
  ::sigprocmask(SIG_SETMASK, &all, nullptr);
  // Fails only where there is no mount namespace of its own, and then the old /proc is right.
  (void)::mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr);
  if (!enter_bonds(bonds)) {
    const NotStarted why{NotStarted::kBonds, errno};
    (void)!::write(error_pipe, &why, sizeof why);
    ::_exit(127);
  }
  if (program != nullptr) {
    const pid_t child = ::fork();
    if (child == 0) run_program(*program, vectors, error_pipe);
    if (child < 0) ::_exit(1);
    if (program->companion) {
      const pid_t companion = ::fork();
      if (companion == 0) run_companion(*program->companion, vectors, error_pipe);
      if (companion < 0) ::_exit(1);
    }
  }
  int keep[2] = {std::min(exits, keep_fd), std::max(exits, keep_fd)};
  unsigned from = 0;
  for (const int fd : keep) {
    if (fd < 0) continue;
    if (from < static_cast<unsigned>(fd)) ::close_range(from, static_cast<unsigned>(fd) - 1, 0);
    from = static_cast<unsigned>(fd) + 1;
  }
  ::close_range(from, ~0u, 0);
  for (;;) {
    ExitRecord record{};
    record.pid = ::waitpid(-1, &record.status, __WALL);
    if (record.pid > 0) {
      (void)!::write(exits, &record, sizeof record);
    } else if (errno == ECHILD) {
      // Nobody is left. Whether the unit has ended is the keeper's to say: a restore begins with an empty namespace. If there
      // is no keeper any more (let_go()), it has.
      record.pid = 0;
      if (::write(exits, &record, sizeof record) < 0 && errno == EPIPE) ::_exit(0);
      sigset_t child_signal;
      ::sigemptyset(&child_signal);
      ::sigaddset(&child_signal, SIGCHLD);
      int got = 0;
      ::sigwait(&child_signal, &got);
    }
  }
}

// The unit's own pseudo-terminals: numbers that a moved program knows are free here whatever the host has open.
// /dev/ptmx finds the instance beside it (fs/devpts/inode.c, devpts_acquire).
void mount_terminals() {
  if (!sys::stat("/dev/pts")) return;
  constexpr unsigned long kFlags = MS_NOSUID | MS_NOEXEC;
  if (sys::mount("devpts", "/dev/pts", "devpts", kFlags, "newinstance,ptmxmode=0666,mode=0620,gid=5")) return;
  if (auto r = sys::mount("devpts", "/dev/pts", "devpts", kFlags, "newinstance,ptmxmode=0666"); !r) {
    log::warn("the unit shares the host's pseudo-terminals: {}", r.error().message());
  }
}

}  // namespace

Result<std::unique_ptr<Sandbox>> Sandbox::enter(SandboxOptions options) {
  // Read once, from /proc/self, which this process loses when init mounts the unit's own /proc.
  (void)own_vdso_digest();
  std::unique_ptr<Sandbox> sandbox(new Sandbox());
  int flags = 0;
  if (options.new_ipc) flags |= CLONE_NEWIPC;
  if (options.new_uts) flags |= CLONE_NEWUTS;
  if (options.new_mount) flags |= CLONE_NEWNS;
  if (flags != 0 && ::unshare(flags) < 0) return fail_errno(errno, "unshare of the unit's namespaces");
  if (options.new_mount) TRY_DO(sys::mount("none", "/", "", MS_REC | MS_PRIVATE));
  if (options.new_uts && !options.hostname.empty() &&
      ::sethostname(options.hostname.data(), options.hostname.size()) < 0) {
    return fail_errno(errno, "sethostname");
  }
  if (options.build_view) TRY_DO(options.build_view());
  if (options.new_mount) mount_terminals();
  sandbox->options_ = std::move(options);
  return sandbox;
}

Sandbox::~Sandbox() { kill(); }

void Sandbox::let_go() {
  exits_.reset();
  // If the last of the unit has ended already, init has said so and waits: woken, it finds that nobody listens any more.
  if (init_ > 0) ::kill(init_, SIGCHLD);
  init_ = 0;
}

Result<pid_t> Sandbox::fork_init(const Program* program, int keep_fd) {
  TRY(auto exits, sys::pipe(O_NONBLOCK));
  TRY(auto error, sys::pipe());
  TRY(auto start, sys::pipe());
  ProgramVectors vectors;
  if (program != nullptr) {
    for (const auto& a : program->argv) vectors.argv.push_back(const_cast<char*>(a.c_str()));
    for (const auto& e : program->env) vectors.env.push_back(const_cast<char*>(e.c_str()));
    vectors.argv.push_back(nullptr);
    vectors.env.push_back(nullptr);
    if (program->companion) {
      for (const auto& a : program->companion->argv) vectors.companion_argv.push_back(const_cast<char*>(a.c_str()));
      vectors.companion_argv.push_back(nullptr);
    }
  }
  const std::string offsets = options_.time ? offset_lines(*options_.time) : std::string();
  const int flags = (options_.new_pid ? CLONE_NEWPID : 0) | (offsets.empty() ? 0 : kCloneNewTime);
  const pid_t helper = ::fork();
  if (helper < 0) return fail_errno(errno, "fork of the unit's init");
  if (helper == 0) {
    exits.first.reset();  // run_init() sees by this pipe whether the keeper lives
    StartRecord record{};
    if (::unshare(flags) < 0 || !write_offsets(offsets)) {
      record.error = errno;
    } else {
      record.init = static_cast<pid_t>(::syscall(SYS_clone, CLONE_PARENT | SIGCHLD, 0, 0, 0, 0));
      if (record.init == 0) run_init(exits.second.get(), keep_fd, program, vectors, error.second.get(), bonds_);
      if (record.init < 0) record.error = errno;
    }
    (void)!::write(start.second.get(), &record, sizeof record);
    ::_exit(0);
  }
  exits_ = std::move(exits.first);
  exits.second.reset();
  error.second.reset();
  start.second.reset();
  StartRecord record{};
  auto started = io::read_full(start.first.get(), std::as_writable_bytes(std::span(&record, 1)));
  while (::waitpid(helper, nullptr, 0) < 0 && errno == EINTR) {
  }
  if (!started) return std::unexpected(started.error().in("starting the unit's init"));
  if (record.error != 0) return fail_errno(record.error, "the unit's PID and time namespaces");
  init_ = record.init;
  // The pipe closes when the program was exec'ed; what comes out before that is why it wasn't. Without a program it closes
  // when init has mounted the unit's /proc: a restore stops init and must not stop it before that.
  NotStarted why{};
  const auto n = io::read_some(error.first.get(), std::as_writable_bytes(std::span(&why, 1)));
  if (n && *n == sizeof why) {
    kill();
    return std::unexpected(error_of(why, program));
  }
  if (program != nullptr) main_pid_ = 2;
  return init_;
}

Result<pid_t> Sandbox::start_init(int keep_fd) { return fork_init(nullptr, keep_fd); }

Result<pid_t> Sandbox::launch(const Program& program) {
  if (program.argv.empty()) return fail(Code::kUsage, "no program to run");
  return fork_init(&program, -1);
}

std::vector<pid_t> processes_below(const Fd& proc, pid_t root) {
  constexpr size_t kMost = 100'000;
  auto own = sys::dup(proc.get());
  if (!own) return {};
  const ProcFs fs(std::move(*own));
  std::vector<pid_t> found = fs.children(root).value_or(std::vector<pid_t>{});
  for (size_t i = 0; i < found.size() && found.size() < kMost; i++) {
    if (const auto some = fs.children(found[i])) found.insert(found.end(), some->begin(), some->end());
  }
  return found;
}

pid_t pid_inside(const Fd& proc, pid_t pid) {
  auto own = sys::dup(proc.get());
  if (!own) return 0;
  const auto status = ProcFs(std::move(*own)).status(pid);
  return status ? status->ns_pid.back() : 0;
}

Result<void> Sandbox::read_exits() {
  for (;;) {
    ExitRecord record{};
    const ssize_t n = ::read(exits_.get(), &record, sizeof record);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) return {};
    if (n != sizeof record) {
      ended_ = true;
      return {};
    }
    if (record.pid == main_pid_ && main_pid_ != 0) main_status_ = record.status;
    // What init told of may have been before a restore: who is there counts.
    if (record.pid == 0 && main_status_ && processes_below(options_.proc, init_).empty()) ended_ = true;
  }
}

void Sandbox::kill() {
  if (init_ <= 0) return;
  ::kill(init_, SIGKILL);
  int status = 0;
  while (::waitpid(init_, &status, __WALL) < 0 && errno == EINTR) {
  }
  init_ = 0;
  ended_ = true;
}

}  // namespace godwit::pod
