// Asks a running portable program for its state. The protocol is described in runtime/request.cc, whose other half this is.
//
// The file is made complete beside its name: script, the parts of the program that it was started from, the image as it comes.
// It is synced and renamed before the program gets the byte that lets it end, so a cut at any moment leaves the program
// running, or the file whole, and never neither.
#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <chrono>
#include <sstream>

#include "base/base.h"
#include "base/new_file.h"
#include "portable/abi.h"
#include "portable/portable.h"

namespace godwit::portable {
namespace {

constexpr int kRequestSignal = 64;  // runtime/signals.cc
constexpr uint32_t kProtocol = 1, kLeaveRunning = 1;
constexpr int kConnectMs = 15000;  // a busy machine starts its helper late; it gives up waiting for threads after 10 s
constexpr std::string_view kArenaMagic = "GODWITAR";

Result<std::string> proc_file(pid_t pid, const char* name) {
  auto text = io::read_file(fmt::format("/proc/{}/{}", pid, name));
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

/// The process's number as it sees itself: the last of NSpid.
Result<std::string> own_number(const std::string& status) {
  std::istringstream words(status_field(status, "NSpid:"));
  std::string last;
  for (std::string w; words >> w;) last = w;
  if (last.empty()) return fail(Code::kSystem, "the kernel doesn't tell the process's number in its own namespace");
  return last;
}

bool catches_requests(const std::string& status) {
  uint64_t caught = 0;
  std::istringstream(status_field(status, "SigCgt:")) >> std::hex >> caught;
  return (caught >> (kRequestSignal - 1) & 1) != 0;
}

/// Where the program's package is: its starting script said so in the environment.
Result<std::string> package_path(pid_t pid) {
  TRY(const auto environment, proc_file(pid, "environ"));
  constexpr std::string_view kName = "GODWIT_PROGRAM=";
  for (size_t at = 0; at < environment.size();) {
    const size_t end = std::min(environment.find('\0', at), environment.size());
    const auto entry = std::string_view(environment).substr(at, end - at);
    if (entry.starts_with(kName)) return std::string(entry.substr(kName.size()));
    at = end + 1;
  }
  return fail(
      Code::kRefused,
      fmt::format(
          "process {} was not started by its package, so its other architectures' parts can't be found; start the "
          "file that godwit cc made",
          pid));
}

Result<Package> copy_parts(const std::string& program, Fd& to) {
  TRY(const auto from, sys::open(program, O_RDONLY));
  TRY(auto package, read_package(from));
  const uint64_t end = package.blocks();
  Package copy{package.parts, end};
  TRY_DO(io::write_full(to.get(), starting_script(copy)));
  off_t at = static_cast<off_t>(kBlock);
  TRY(const auto state, sys::stat(from));
  const auto wanted = static_cast<off_t>(std::min<uint64_t>(end * kBlock, static_cast<uint64_t>(state.st_size)));
  while (at < wanted) {
    off_t source = at;
    const ssize_t moved =
        ::copy_file_range(from.get(), &source, to.get(), nullptr, static_cast<size_t>(wanted - at), 0);
    if (moved <= 0) return fail_errno(moved < 0 ? errno : EIO, "copying " + program);
    at += moved;
  }
  if (::lseek(to.get(), static_cast<off_t>(end * kBlock), SEEK_SET) < 0)
    return fail_errno(errno, "seeking in the new file");
  return copy;
}

Result<Fd> listen_for(const std::string& number) {
  Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket.valid()) return fail_errno(errno, "making a socket");
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string name = "godwit/portable/" + number;
  name.copy(address.sun_path + 1, sizeof address.sun_path - 1);
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
  if (::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), size) != 0) {
    if (errno == EADDRINUSE) return fail(Code::kRefused, "somebody else is saving this program right now");
    return fail_errno(errno, "binding the request's socket");
  }
  if (::listen(socket.get(), 1) != 0) return fail_errno(errno, "listening for the program");
  return socket;
}

Result<Fd> accept_from(const Fd& listener, pid_t pid) {
  pollfd ready{listener.get(), POLLIN, 0};
  const int count = ::poll(&ready, 1, kConnectMs);
  if (count < 0) return fail_errno(errno, "waiting for the program");
  if (count == 0) return fail(Code::kFailed, fmt::format("process {} doesn't answer; it goes on", pid));
  Fd peer(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
  if (!peer.valid()) return fail_errno(errno, "accepting the program's connection");
  ucred who{};
  socklen_t size = sizeof who;
  if (::getsockopt(peer.get(), SOL_SOCKET, SO_PEERCRED, &who, &size) != 0 || who.pid != pid)
    return fail(Code::kPeer, fmt::format("process {} answered instead of {}", who.pid, pid));
  return peer;
}

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

Result<bool> is_portable(pid_t pid) {
  TRY(const auto memory, sys::open(fmt::format("/proc/{}/mem", pid), O_RDONLY));
  char magic[8] = {};
  // Emulated programs have their arena at the same address: qemu-user maps a 64-bit program's addresses one to one.
  const ssize_t got = ::pread(memory.get(), magic, sizeof magic, static_cast<off_t>(GODWIT_ARENA));
  return got == sizeof magic && std::string_view(magic, sizeof magic) == kArenaMagic;
}

Result<Saved> checkpoint(pid_t pid, const std::string& path, const SaveOptions& options) {
  TRY(const auto status, proc_file(pid, "status"));
  if (!catches_requests(status))
    return fail(Code::kRefused, fmt::format("process {} has only just begun; try again", pid));
  TRY(const auto number, own_number(status));
  Saved saved;
  TRY(saved.program, package_path(pid));
  NewFile file(path);
  TRY_DO(file.open(0700));
  TRY(const auto package, copy_parts(saved.program, file.fd()));
  TRY(const auto listener, listen_for(number));
  TRY(const auto handle, sys::pidfd_open(pid));
  const auto begin = std::chrono::steady_clock::now();
  if (::kill(pid, kRequestSignal) != 0) return fail_errno(errno, fmt::format("asking process {}", pid));
  TRY(const auto peer, accept_from(listener, pid));
  const uint32_t request[2] = {kProtocol, options.leave_running ? kLeaveRunning : 0};
  const int image = file.fd().get();
  TRY_DO(io::send_with_fds(peer.get(), {reinterpret_cast<const char*>(request), sizeof request}, {&image, 1}));
  TRY(saved.image_bytes, read_answer(peer));
  saved.stopped_ms = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count();
  TRY(const auto state, sys::stat(file.fd()));
  saved.file_bytes = static_cast<uint64_t>(state.st_size);
  TRY_DO(file.finish());
  if (options.leave_running) return saved;
  if (::send(peer.get(), "", 1, MSG_NOSIGNAL) != 1) return fail_errno(errno, "letting the program end");
  pollfd ended{handle.get(), POLLIN, 0};
  while (::poll(&ended, 1, -1) < 0 && errno == EINTR) {
  }
  return saved;
}

}  // namespace godwit::portable
