#include "node/spawn.h"  // first, so that the header proves self-contained

#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <optional>

#include "base/io.h"
#include "base/sys.h"

namespace godwit::node {
namespace {

constexpr size_t kMessageLimit = 4096;

struct StatFields {
  char state = '?';
  uint64_t start = 0;
};
// The name in parentheses may hold spaces and parentheses itself: count from the last ')'.
std::optional<StatFields> read_stat(pid_t pid) {
  const auto text = io::read_file("/proc/" + std::to_string(pid) + "/stat", 4096);
  if (!text) return std::nullopt;
  size_t at = text->rfind(')');
  if (at == std::string::npos || at + 2 >= text->size()) return std::nullopt;
  StatFields out;
  out.state = (*text)[at + 2];
  for (int field = 2; field < 22; field++) {
    at = text->find(' ', at + 1);
    if (at == std::string::npos) return std::nullopt;
  }
  std::from_chars(text->data() + at + 1, text->data() + text->size(), out.start);
  return out;
}

int wait_for(pid_t pid) {
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  return status;
}

// What a child that failed before it could run says to its starter.
[[noreturn]] void give_up(int socket, const std::string& step) {
  const std::string text = "E" + step + ": " + std::strerror(errno);
  (void)!::send(socket, text.data(), text.size(), MSG_NOSIGNAL);
  ::_exit(1);
}

void close_all_but(std::vector<int> keep) {
  keep.insert(keep.end(), {0, 1, 2});
  std::ranges::sort(keep);
  for (size_t i = 0; i < keep.size(); i++) {
    const unsigned first = static_cast<unsigned>(keep[i]) + 1;
    const unsigned last = i + 1 < keep.size() ? static_cast<unsigned>(keep[i + 1]) - 1 : ~0u;
    if (first <= last) ::close_range(first, last, 0);
  }
}

void point_standard_streams(int socket, const std::string& log) {
  const int null = ::open("/dev/null", O_RDWR);
  const int out = log.empty() ? null : ::open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0640);
  if (null < 0 || out < 0) give_up(socket, "opening " + (log.empty() ? "/dev/null" : log));
  if (::dup2(null, 0) < 0 || ::dup2(out, 1) < 0 || ::dup2(out, 2) < 0) give_up(socket, "standard streams");
}

void default_signals() {
  for (int s = 1; s < NSIG; s++) ::signal(s, SIG_DFL);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
}

void map_user(int socket, uid_t uid, gid_t gid) {
  const bool ok = io::write_file("/proc/self/setgroups", "deny") &&
                  io::write_file("/proc/self/uid_map", "0 " + std::to_string(uid) + " 1") &&
                  io::write_file("/proc/self/gid_map", "0 " + std::to_string(gid) + " 1");
  if (!ok) give_up(socket, "mapping the user");
}

// The intermediate process: enters and makes namespaces. A PID namespace counts for children only, and one can't be
// made by a process whose children are to be elsewhere than itself: so there is a child after each step. Each of them is
// outlived by its child, which so falls to the init of the namespace that its parent was in.
[[noreturn]] void go_between(const SpawnPlan& plan, int holder, int socket) {
  // At once, not only in the new process: it must see its starter's end, so it may hold neither the starter's side of the
  // socket nor of a lifeline.
  std::vector<int> keep = plan.keep;
  keep.push_back(socket);
  if (holder >= 0) keep.push_back(holder);
  close_all_but(keep);
  const uid_t uid = ::geteuid();
  const gid_t gid = ::getegid();
  if (holder >= 0) {
    if (::setns(holder, plan.enter) < 0) give_up(socket, "entering namespaces");
    const pid_t inside = ::fork();
    if (inside < 0) give_up(socket, "fork");
    if (inside > 0) {
      (void)wait_for(inside);
      ::_exit(0);
    }
  }
  if ((plan.make & CLONE_NEWUSER) != 0) {
    if (::unshare(CLONE_NEWUSER) < 0) give_up(socket, "making a user namespace");
    if (plan.map_user) map_user(socket, uid, gid);
  }
  const int others = plan.make & ~CLONE_NEWUSER;
  if (others != 0 && ::unshare(others) < 0) give_up(socket, "making namespaces");
  const pid_t child = ::fork();
  if (child < 0) give_up(socket, "fork");
  if (child > 0) ::_exit(0);

  ::setsid();
  default_signals();
  point_standard_streams(socket, plan.log);
  // The kernel translates the PID in the credentials for the reader. The answer says that it was read, and what it is.
  if (::send(socket, "P", 1, MSG_NOSIGNAL) != 1) ::_exit(1);
  char answer[32] = {};
  if (::recv(socket, answer, sizeof answer - 1, 0) <= 0) ::_exit(1);
  close_all_but(plan.keep);
  ::_exit(plan.main(std::atoi(answer)));
}

struct Greeting {
  std::string text;
  pid_t pid = 0;
};
Result<Greeting> receive_greeting(int socket) {
  char buffer[kMessageLimit];
  iovec part{buffer, sizeof buffer};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(ucred))];
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  header.msg_control = control;
  header.msg_controllen = sizeof control;
  ssize_t n;
  do n = ::recvmsg(socket, &header, MSG_CMSG_CLOEXEC);
  while (n < 0 && errno == EINTR);
  if (n < 0) return fail_errno(errno, "recvmsg");
  if (n == 0) return fail(Code::kFailed, "the new process died before it could say anything");
  Greeting out{std::string(buffer, static_cast<size_t>(n)), 0};
  for (cmsghdr* c = CMSG_FIRSTHDR(&header); c != nullptr; c = CMSG_NXTHDR(&header, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_CREDENTIALS) continue;
    ucred credentials;
    std::memcpy(&credentials, CMSG_DATA(c), sizeof credentials);
    out.pid = credentials.pid;
  }
  return out;
}

}  // namespace

Result<ProcessRef> identify(pid_t pid) {
  const auto stat = read_stat(pid);
  if (!stat) return fail(Code::kGone, "no process " + std::to_string(pid));
  return ProcessRef{pid, stat->start};
}

bool alive(const ProcessRef& process) {
  if (process.pid <= 0) return false;
  const auto stat = read_stat(process.pid);
  return stat && stat->start == process.start && stat->state != 'Z' && stat->state != 'X';
}

Result<Fd> open_process(const ProcessRef& process) {
  if (process.pid <= 0) return fail(Code::kGone, "no process");
  auto fd = sys::pidfd_open(process.pid);
  // The descriptor pins the process; only after that may its identity be compared.
  if (!fd || !alive(process)) return fail(Code::kGone, "process " + std::to_string(process.pid) + " has ended");
  return fd;
}

Result<void> kill_and_wait(const ProcessRef& process) {
  auto fd = open_process(process);
  if (!fd) return {};
  if (::kill(process.pid, SIGKILL) < 0 && errno != ESRCH) return fail_errno(errno, "SIGKILL");
  pollfd p{fd->get(), POLLIN, 0};
  while (::poll(&p, 1, -1) < 0 && errno == EINTR) {
  }
  return {};
}

Result<ProcessRef> spawn(const SpawnPlan& plan) {
  Fd holder;
  if (plan.enter_of != nullptr) {
    TRY(holder, open_process(*plan.enter_of));
  }
  TRY(auto ends, sys::socketpair(AF_UNIX, SOCK_SEQPACKET));
  const int on = 1;
  if (::setsockopt(ends.first.get(), SOL_SOCKET, SO_PASSCRED, &on, sizeof on) < 0) {
    return fail_errno(errno, "SO_PASSCRED");
  }
  const pid_t child = ::fork();
  if (child < 0) return fail_errno(errno, "fork");
  if (child == 0) go_between(plan, holder.get(), ends.second.get());
  ends.second.reset();
  auto greeting = receive_greeting(ends.first.get());
  (void)wait_for(child);
  if (!greeting) return std::unexpected(std::move(greeting).error());
  if (greeting->text.front() == 'E') return fail(Code::kFailed, greeting->text.substr(1));
  TRY(const ProcessRef started, identify(greeting->pid));
  TRY_DO(io::write_full(ends.first.get(), std::to_string(greeting->pid)));
  return started;
}

Result<void> run_in(const ProcessRef& enter_of, int enter, const std::vector<std::string>& argv,
                    const std::string& input) {
  TRY(const Fd holder, open_process(enter_of));
  TRY(const Fd in, sys::memfd("input"));
  TRY_DO(io::pwrite_full(in.get(), std::as_bytes(std::span(input)), 0));
  TRY(const Fd words, sys::memfd("words"));
  std::vector<char*> pointers;
  for (const auto& a : argv) pointers.push_back(const_cast<char*>(a.c_str()));
  pointers.push_back(nullptr);
  const pid_t child = ::fork();
  if (child < 0) return fail_errno(errno, "fork");
  if (child == 0) {
    if (::setns(holder.get(), enter) < 0) ::_exit(126);
    if (::dup2(in.get(), 0) < 0 || ::dup2(words.get(), 1) < 0 || ::dup2(words.get(), 2) < 0) ::_exit(126);
    ::execvp(pointers[0], pointers.data());
    ::_exit(127);
  }
  const int status = wait_for(child);
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return {};
  if (WIFEXITED(status) && WEXITSTATUS(status) == 127) return fail(Code::kRefused, "no program " + argv[0]);
  std::string said(kMessageLimit, '\0');
  const ssize_t n = ::pread(words.get(), said.data(), said.size(), 0);
  said.resize(n > 0 ? static_cast<size_t>(n) : 0);
  while (!said.empty() && said.back() == '\n') said.pop_back();
  return fail(Code::kFailed, argv[0] + ": " + (said.empty() ? "failed" : said));
}

}  // namespace godwit::node
