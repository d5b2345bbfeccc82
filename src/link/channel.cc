#include "link/link.h"  // first, so that the header proves self-contained

#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/io.h"
#include "base/sys.h"
#include "godwit/keeper.pb.h"

namespace godwit::link {
namespace {

using wire::keeper::Packet;

// A peer that reads nothing for so long is stopped or broken. Nothing durable is lost: it is said again on the next
// connection.
constexpr timeval kSendTimeout{5, 0};
constexpr int kBacklog = 8;
constexpr size_t kMaxFds = 16;

Result<Fd> new_socket() {
  Fd fd(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return fail_errno(errno, "socket");
  return fd;
}

// sockaddr_un holds 107 characters; a state directory's path may be longer. /proc/self/fd/N/NAME never is.
struct Address {
  Fd dir;
  sockaddr_un un{};
};
Result<Address> address_of(const std::string& path) {
  const size_t slash = path.rfind('/');
  const std::string parent = slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
  Address a;
  TRY(a.dir, sys::open(parent, O_PATH | O_DIRECTORY));
  const std::string name = "/proc/self/fd/" + std::to_string(a.dir.get()) + "/" + path.substr(slash + 1);
  if (name.size() >= sizeof a.un.sun_path) return fail(Code::kUsage, "name of a socket too long: " + path);
  a.un.sun_family = AF_UNIX;
  std::memcpy(a.un.sun_path, name.c_str(), name.size() + 1);
  return a;
}

Result<Fd> spill(const std::string& text) {
  TRY(Fd memory, sys::memfd("packet", MFD_ALLOW_SEALING));
  TRY_DO(io::write_full(memory.get(), text));
  // The reader must not meet a file that shrinks under it.
  if (::fcntl(memory.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0) {
    return fail_errno(errno, "sealing a packet");
  }
  return memory;
}

Result<std::string> unspill(const Fd& memory, uint64_t length) {
  if (length > kPacketLimit) return fail(Code::kCorrupt, "packet of " + std::to_string(length) + " bytes");
  const int seals = ::fcntl(memory.get(), F_GET_SEALS);
  if (seals < 0 || (seals & F_SEAL_SHRINK) == 0) return fail(Code::kCorrupt, "packet in a file that isn't sealed");
  std::string text(length, '\0');
  TRY_DO(io::pread_full(memory.get(), std::as_writable_bytes(std::span(text)), 0));
  return text;
}

}  // namespace

Result<Fd> listen(const std::string& path) {
  TRY(Fd fd, new_socket());
  TRY(const Address a, address_of(path));
  (void)::unlink(path.c_str());
  // For the owner alone from the first moment. Not by umask(2), which is the whole process's: a program that another thread
  // starts meanwhile would have it for good. bind(2) takes the socket's own mode (unix_bind_bsd(), net/unix/af_unix.c).
  if (::fchmod(fd.get(), 0600) < 0) return fail_errno(errno, "fchmod of a socket");
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&a.un), sizeof a.un) < 0)
    return fail_errno(errno, "bind " + path);
  if (::listen(fd.get(), kBacklog) < 0) return fail_errno(errno, "listen " + path);
  return fd;
}

Result<Fd> connect(const std::string& path) {
  TRY(Fd fd, new_socket());
  TRY(const Address a, address_of(path));
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&a.un), sizeof a.un) < 0) {
    auto error = Error{Code::kSystem, errno, "connect " + path};
    if (errno == ECONNREFUSED) error.code = Code::kPeer;
    if (errno == ENOENT) error.code = Code::kNotFound;
    return std::unexpected(error);
  }
  return fd;
}

Result<Fd> accept(const Fd& listener) {
  for (;;) {
    const int fd = ::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC);
    if (fd >= 0) return Fd(fd);
    if (errno != EINTR && errno != ECONNABORTED) return fail_errno(errno, "accept");
  }
}

Channel::Channel(Fd socket) : socket_(std::move(socket)) {
  (void)::setsockopt(socket_.get(), SOL_SOCKET, SO_SNDTIMEO, &kSendTimeout, sizeof kSendTimeout);
}

Result<void> Channel::send(const Packet& packet, std::span<const int> fds) {
  std::string text = packet.SerializeAsString();
  if (text.size() > kPacketLimit) return fail(Code::kUsage, "packet of " + std::to_string(text.size()) + " bytes");
  std::vector<int> all(fds.begin(), fds.end());
  Fd memory;
  if (text.size() > kInlineLimit) {
    TRY(memory, spill(text));
    all.push_back(memory.get());
    Packet outer;
    outer.set_spilled(text.size());
    text = outer.SerializeAsString();
  }
  const std::scoped_lock lock(sending_);
  auto sent = io::send_with_fds(socket_.get(), text, all);
  if (!sent) return std::unexpected(sent.error().as(Code::kPeer));
  return {};
}

Result<bool> Channel::try_send(const Packet& packet) {
  pollfd p{socket_.get(), POLLOUT, 0};
  if (::poll(&p, 1, 0) != 1 || (p.revents & POLLOUT) == 0) return false;
  TRY_DO(send(packet));
  return true;
}

Result<std::vector<Fd>> Channel::receive(Packet& packet) {
  auto got = io::receive_with_fds(socket_.get(), kInlineLimit + 1);
  if (!got) {
    Error e = std::move(got).error();
    if (e.code == Code::kSystem) e.code = Code::kPeer;
    return std::unexpected(std::move(e));
  }
  if (got->fds.size() > kMaxFds) return fail(Code::kCorrupt, "packet with too many descriptors");
  if (!packet.ParseFromString(got->message)) return fail(Code::kCorrupt, "not a packet");
  if (packet.body_case() == Packet::kSpilled) {
    if (got->fds.empty()) return fail(Code::kCorrupt, "spilled packet without its file");
    TRY(const std::string text, unspill(got->fds.back(), packet.spilled()));
    got->fds.pop_back();
    if (!packet.ParseFromString(text)) return fail(Code::kCorrupt, "not a packet");
    if (packet.body_case() == Packet::kSpilled) return fail(Code::kCorrupt, "packet spilled twice");
  }
  return std::move(got->fds);
}

}  // namespace godwit::link
