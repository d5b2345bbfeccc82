#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstddef>
#include <filesystem>
#include <sstream>

#include "base/base.h"
#include "portable/abi.h"
#include "portable/portable.h"
#include "portable/protocol.h"
#include "portable/request.h"

namespace godwit::portable {
namespace {

constexpr std::chrono::seconds kConnect{
    15};  // a busy machine starts its helper late; it gives up waiting for threads after 10 s

Result<std::string> proc_file(const Fd& proc, pid_t pid, const char* name) {
  auto text = io::read_file_at(proc, fmt::format("{}/{}", pid, name));
  if (!text) return fail(Code::kNotFound, fmt::format("there is no process {}, or it isn't yours", pid));
  return text;
}

/// The value after a name at the beginning of a line of /proc/PID/status.
std::string status_field(const std::string& status, std::string_view name) {
  std::istringstream lines(status);
  for (std::string line; std::getline(lines, line);)
    if (line.starts_with(name)) return line.substr(name.size());
  return {};
}

/// "NAMESPACE/PID": the inode of its PID namespace, and its number in that, which is the last of NSpid.
Result<std::string> own_name(const Fd& proc, pid_t pid, const std::string& status) {
  std::istringstream words(status_field(status, "NSpid:"));
  std::string last;
  for (std::string w; words >> w;) last = w;
  if (last.empty()) return fail(Code::kSystem, "the kernel doesn't tell the process's number in its own namespace");
  TRY(const std::string space, sys::read_link_at(proc, fmt::format("{}/ns/pid", pid)));  // "pid:[4026531836]"
  const size_t digits = space.find_first_of("0123456789");
  if (digits == std::string::npos) return fail(Code::kSystem, "a PID namespace without a number");
  return space.substr(digits, space.find_first_not_of("0123456789", digits) - digits) + "/" + last;
}

bool catches_requests(const std::string& status) {
  uint64_t caught = 0;
  std::istringstream(status_field(status, "SigCgt:")) >> std::hex >> caught;
  return (caught >> (GODWIT_REQUEST_SIGNAL - 1) & 1) != 0;
}

}  // namespace

Result<Fd> listen_at(const std::string& name) {
  Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket.valid()) return fail_errno(errno, "making a socket");
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (name.size() >= sizeof address.sun_path) return fail(Code::kUsage, "a socket's name is too long: " + name);
  name.copy(address.sun_path + 1, name.size());
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
  if (::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), size) != 0) {
    if (errno == EADDRINUSE) return fail(Code::kRefused, "somebody else is saving this program right now");
    return fail_errno(errno, "binding the program's socket");
  }
  if (::listen(socket.get(), 1) != 0) return fail_errno(errno, "listening for the program");
  return socket;
}

Result<Fd> accept_from(const Fd& listener, pid_t pid, const Fd& process, std::chrono::milliseconds limit) {
  const int both[2] = {listener.get(), process.get()};
  TRY(const auto ready, io::wait_readable(both, limit));
  if (!ready) return fail(Code::kFailed, fmt::format("process {} doesn't answer", pid));
  if (*ready != 0) return fail(Code::kGone, fmt::format("process {} has ended", pid));
  Fd peer(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
  if (!peer.valid()) return fail_errno(errno, "accepting the program's connection");
  ucred who{};
  socklen_t size = sizeof who;
  if (::getsockopt(peer.get(), SOL_SOCKET, SO_PEERCRED, &who, &size) != 0 || who.pid != pid)
    return fail(Code::kPeer, fmt::format("process {} answered instead of {}", who.pid, pid));
  return peer;
}

namespace {

/// Its answer: one line "saved BYTES", or a line "refused: REASON" for each reason and the end.
Result<uint64_t> read_answer(const Fd& peer) {
  std::string text;
  char buffer[4096];
  while (!text.starts_with("saved ") || !text.ends_with('\n')) {
    const ssize_t got = ::read(peer.get(), buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0 || text.size() > (1u << 20)) break;
    text.append(buffer, static_cast<size_t>(got));
  }
  if (text.starts_with("saved ")) return std::stoull(text.substr(6));
  std::string reasons;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);)
    reasons += (reasons.empty() ? "" : "\n  ") + (line.starts_with("refused: ") ? line.substr(9) : line);
  if (reasons.empty()) return fail(Code::kFailed, "the program ended, or went on, without an answer");
  return fail(Code::kRefused, reasons);
}

}  // namespace

Result<bool> is_portable(const Fd& proc, pid_t pid) {
  TRY(const auto memory, sys::open_at(proc, fmt::format("{}/mem", pid), O_RDONLY));
  godwit_arena_head head{};
  // Emulated programs have their arena at the same address: qemu-user maps a 64-bit program's addresses one to one. (Not one's of
  // 32 bits: such a program isn't known from outside.)
  for (const uint64_t arena : {GODWIT_ARENA, GODWIT_LOW_ARENA}) {
    const ssize_t got = ::pread(memory.get(), &head, sizeof head, static_cast<off_t>(arena));
    if (got == sizeof head && std::string_view(head.magic, sizeof head.magic) == GODWIT_ARENA_MAGIC) return true;
  }
  return false;
}

Result<bool> is_portable(pid_t pid) {
  TRY(const Fd proc, sys::open("/proc", O_RDONLY | O_DIRECTORY));
  return is_portable(proc, pid);
}

Result<bool> is_ready(const Fd& proc, pid_t pid) {
  TRY(const bool ours, is_portable(proc, pid));
  if (!ours) return false;
  TRY(const auto status, proc_file(proc, pid, "status"));
  return catches_requests(status);
}

Result<std::string> package_path(const Fd& proc, pid_t pid) {
  TRY(const auto environment, proc_file(proc, pid, "environ"));
  constexpr std::string_view kName = "GODWIT_PROGRAM=";
  for (size_t at = 0; at < environment.size();) {
    const size_t end = std::min(environment.find('\0', at), environment.size());
    const auto entry = std::string_view(environment).substr(at, end - at);
    if (entry.starts_with(kName))  // "/home/me/./sim"
      return std::filesystem::path(entry.substr(kName.size())).lexically_normal().string();
    at = end + 1;
  }
  return fail(
      Code::kRefused,
      fmt::format(
          "process {} was not started by its package, so its other architectures' parts can't be found; start the "
          "file that godwit cc made",
          pid));
}

Result<Request> Request::begin(const Fd& proc, pid_t pid) {
  TRY(const bool ready, is_ready(proc, pid));
  if (!ready) return fail(Code::kRefused, fmt::format("process {} has only just begun; try again", pid));
  TRY(const auto status, proc_file(proc, pid, "status"));
  TRY(const auto name, own_name(proc, pid, status));
  TRY(const auto listener, listen_at("godwit/portable/" + name));
  TRY(auto process, sys::pidfd_open(pid));
  if (::kill(pid, GODWIT_REQUEST_SIGNAL) != 0) return fail_errno(errno, fmt::format("asking process {}", pid));
  TRY(auto peer, accept_from(listener, pid, process, kConnect));
  return Request(std::move(peer), std::move(process));
}

Result<uint64_t> Request::ask(const Fd& image, uint32_t flags) {
  const godwit_request words{GODWIT_REQUEST_VERSION, flags};
  const int fd = image.get();
  TRY_DO(io::send_with_fds(peer_.get(), {reinterpret_cast<const char*>(&words), sizeof words}, {&fd, 1}));
  return read_answer(peer_);
}

Request::~Request() {
  if (peer_.valid()) {
    constexpr char kGoOn = GODWIT_REQUEST_GO_ON;
    (void)::send(peer_.get(), &kGoOn, 1, MSG_NOSIGNAL);
  }
}

Result<void> Request::commit() {
  const Fd peer = std::move(peer_);
  if (::send(peer.get(), "", 1, MSG_NOSIGNAL) != 1) return fail_errno(errno, "letting the program end");
  const int process = process_.get();
  TRY(const auto ended, io::wait_readable({&process, 1}, kConnect));
  if (!ended) return fail(Code::kFailed, "the program was told to end, and hasn't");
  return {};
}

}  // namespace godwit::portable
