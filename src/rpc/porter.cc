#include "rpc/porter.h"  // first, so that the header proves self-contained

#include <fcntl.h>
#include <linux/tcp.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/io.h"
#include "base/sys.h"

namespace godwit::rpc {
namespace {

constexpr int kBacklog = 256;
constexpr std::chrono::seconds kToSpeak{5};
constexpr std::chrono::seconds kToShakeHands{8};  // as the server's: rpc.cc
constexpr auto kMaxOfOne = static_cast<std::ptrdiff_t>(Porter::kRows / 2);
constexpr int kUserTimeoutMs = 5000;  // as gRPC does for its own listeners, from the keep-alive's
// A TLS record: its kind (22: handshake), version (3.x), length of what follows (RFC 8446, 5.1).
constexpr size_t kRecordHead = 5;
constexpr uint8_t kHandshake = 22, kMajor = 3;
constexpr size_t kMaxRecord = 1u << 14;
// A client's second flight has at least its certificate, its signature and its Finished.
constexpr uint64_t kSecondFlight = 512;

struct Parts {
  std::string host, port;
};
Result<Parts> split(const std::string& address) {
  const size_t colon = address.rfind(':');
  if (colon == std::string::npos || colon + 1 == address.size())
    return fail(Code::kUsage, "not an address like 0.0.0.0:7411: " + address);
  std::string host = address.substr(0, colon);
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  return Parts{host, address.substr(colon + 1)};
}

int port_of(const Fd& socket) {
  sockaddr_storage at{};
  socklen_t length = sizeof at;
  if (::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&at), &length) < 0) return 0;
  return ntohs(at.ss_family == AF_INET6 ? reinterpret_cast<const sockaddr_in6&>(at).sin6_port
                                        : reinterpret_cast<const sockaddr_in&>(at).sin_port);
}

/// The bytes of an address without its port: who is one and the same.
std::string origin(const sockaddr_storage& from) {
  if (from.ss_family == AF_INET6) {
    const auto& a = reinterpret_cast<const sockaddr_in6&>(from).sin6_addr;
    return {reinterpret_cast<const char*>(&a), sizeof a};
  }
  const auto& a = reinterpret_cast<const sockaddr_in&>(from).sin_addr;
  return {reinterpret_cast<const char*>(&a), sizeof a};
}

Result<Fd> listener_at(const addrinfo& a, int port) {
  Fd fd(::socket(a.ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid()) return fail_errno(errno, "socket");
  const int on = 1;
  (void)::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  // Its connections inherit these.
  (void)::setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  (void)::setsockopt(fd.get(), IPPROTO_TCP, TCP_USER_TIMEOUT, &kUserTimeoutMs, sizeof kUserTimeoutMs);
  sockaddr_storage at{};
  std::memcpy(&at, a.ai_addr, a.ai_addrlen);
  auto& number = a.ai_family == AF_INET6 ? reinterpret_cast<sockaddr_in6&>(at).sin6_port
                                         : reinterpret_cast<sockaddr_in&>(at).sin_port;
  if (port != 0) number = htons(static_cast<uint16_t>(port));
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&at), a.ai_addrlen) < 0) return fail_errno(errno, "bind");
  if (::listen(fd.get(), kBacklog) < 0) return fail_errno(errno, "listen");
  return fd;
}

/// Whether its handshake has gone on: its client's second answer has come.
bool has_answered(const Fd& socket, size_t first) {
  tcp_info info{};
  socklen_t length = sizeof info;
  if (::getsockopt(socket.get(), IPPROTO_TCP, TCP_INFO, &info, &length) < 0) return false;
  return info.tcpi_bytes_received > first + kSecondFlight;
}

}  // namespace

Result<std::unique_ptr<Porter>> Porter::listen(grpc::ServerBuilder& builder, const std::string& address,
                                               std::shared_ptr<grpc::ServerCredentials> credentials) {
  std::unique_ptr<Porter> out(new Porter());
  TRY_DO(out->bind(address));
  TRY(out->wake_, sys::eventfd());
  out->acceptor_ = builder.experimental().AddExternalConnectionAcceptor(
      grpc::ServerBuilder::experimental_type::ExternalConnectionType::FROM_FD, std::move(credentials));
  return out;
}

Result<void> Porter::bind(const std::string& address) {
  TRY(const Parts parts, split(address));
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE;
  addrinfo* found = nullptr;
  if (const int bad = ::getaddrinfo(parts.host.c_str(), parts.port.c_str(), &hints, &found))
    return fail(Code::kUsage, "no address of " + address + ": " + ::gai_strerror(bad));
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> list(found, ::freeaddrinfo);
  Error why{Code::kSystem, 0, "no address"};
  for (const addrinfo* a = found; a != nullptr; a = a->ai_next) {
    auto listener = listener_at(*a, port_);
    if (!listener) {
      why = listener.error();
      continue;
    }
    port_ = port_of(*listener);
    listeners_.push_back(std::move(*listener));
  }
  if (listeners_.empty()) return std::unexpected(why.in(address));
  return {};
}

void Porter::start() {
  thread_ = std::thread([this] { work(); });
}

Porter::~Porter() {
  stopping_ = true;
  if (!thread_.joinable()) return;
  (void)io::write_full(wake_.get(), std::as_bytes(std::span<const uint64_t>(std::array<uint64_t, 1>{1})));
  thread_.join();
}

void Porter::work() {
  std::vector<pollfd> all(kRows + 1 + listeners_.size());
  while (!stopping_) {
    for (size_t i = 0; i < kRows; ++i)  // poll() passes over negative ones
      all[i] = {rows_[i].socket.valid() ? rows_[i].socket.get() : -1,
                static_cast<short>(rows_[i].inside ? 0 : POLLIN | POLLRDHUP), 0};
    all[kRows] = {wake_.get(), POLLIN, 0};
    for (size_t i = 0; i < listeners_.size(); ++i) all[kRows + 1 + i] = {listeners_[i].get(), POLLIN, 0};
    const int ready = ::poll(all.data(), all.size(), timeout());
    if (all[kRows].revents != 0) return;
    if (ready > 0)
      for (size_t i = 0; i < kRows; ++i)
        if (all[i].revents != 0) look_at(rows_[i], all[i].revents);
    drop_late();
    if (ready > 0)
      for (size_t i = 0; i < listeners_.size(); ++i)
        if (all[kRows + 1 + i].revents != 0) accept_from(listeners_[i]);
  }
}

int Porter::timeout() const {
  auto first = Clock::time_point::max();
  for (const auto& r : rows_)
    if (r.socket.valid()) first = std::min(first, r.until);
  if (first == Clock::time_point::max()) return -1;
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(first - Clock::now());
  return static_cast<int>(std::max<int64_t>(0, left.count()));
}

// One that was let in isn't looked at any longer: gRPC has ended the handshakes of its age by itself.
void Porter::drop_late() {
  const auto now = Clock::now();
  for (auto& r : rows_)
    if (r.socket.valid() && r.until <= now) r.socket.reset();
}

void Porter::look_at(Row& row, short events) {
  if (row.inside) return row.socket.reset();  // hung up
  if ((events & (POLLERR | POLLHUP | POLLRDHUP)) != 0) return row.socket.reset();
  std::array<uint8_t, kRecordHead> head{};
  const ssize_t got = ::recv(row.socket.get(), head.data(), head.size(), MSG_PEEK | MSG_DONTWAIT);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (got <= 0) return row.socket.reset();
  if (row.wanted != 0) return let_in(row);
  const bool tls = head[0] == kHandshake && (got < 2 || head[1] == kMajor);
  if (!tls) return row.socket.reset();
  // poll(2) comes back when so many bytes are there, and not for each of them (tcp(7), socket(7)).
  int enough = kRecordHead;
  if (got == static_cast<ssize_t>(kRecordHead)) {
    const size_t length = static_cast<size_t>(head[3]) << 8 | head[4];
    if (length == 0 || length > kMaxRecord) return row.socket.reset();
    row.wanted = kRecordHead + length;
    enough = static_cast<int>(row.wanted);
  }
  if (::setsockopt(row.socket.get(), SOL_SOCKET, SO_RCVLOWAT, &enough, sizeof enough) < 0) row.socket.reset();
}

void Porter::let_in(Row& row) {
  const int one = 1;
  (void)::setsockopt(row.socket.get(), SOL_SOCKET, SO_RCVLOWAT, &one, sizeof one);
  Fd watched(::fcntl(row.socket.get(), F_DUPFD_CLOEXEC, 0));
  if (!watched.valid()) return row.socket.reset();
  grpc::experimental::ExternalConnectionAcceptor::NewConnectionParameters connection;
  connection.listener_fd = listeners_.front().get();
  connection.fd = row.socket.release();
  acceptor_->HandleNewConnection(&connection);
  row.socket = std::move(watched);
  row.inside = true;
  row.until = Clock::now() + kToShakeHands;
}

void Porter::turn_out(Row& row) const {
  if (row.inside) (void)::shutdown(row.socket.get(), SHUT_RDWR);  // gRPC closes its own
  row.socket.reset();
}

Porter::Row* Porter::room_for(const std::string& address) {
  const bool greedy =
      std::ranges::count_if(rows_, [&](const Row& r) { return r.socket.valid() && r.address == address; }) >= kMaxOfOne;
  Row* silent = nullptr;
  Row* slow = nullptr;
  for (auto& r : rows_) {
    if (!r.socket.valid() && !greedy) return &r;
    if (!r.socket.valid() || (greedy && r.address != address)) continue;
    Row*& oldest = r.inside ? slow : silent;
    if (r.inside && has_answered(r.socket, r.wanted)) continue;
    if (oldest == nullptr || r.until < oldest->until) oldest = &r;
  }
  Row* const victim = silent != nullptr ? silent : slow;
  if (victim != nullptr) turn_out(*victim);
  return victim;
}

void Porter::accept_from(const Fd& listener) {
  sockaddr_storage from{};
  socklen_t length = sizeof from;
  Fd socket(::accept4(listener.get(), reinterpret_cast<sockaddr*>(&from), &length, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!socket.valid()) {
    // Out of descriptors: the connection stays in the queue, so without a pause this would spin.
    if (errno == EMFILE || errno == ENFILE) (void)::poll(nullptr, 0, 100);
    return;
  }
  const std::string address = origin(from);
  Row* const row = room_for(address);
  if (row == nullptr) return;  // all of them are in the middle of a good handshake: this one comes again
  *row = Row{std::move(socket), address, 0, false, Clock::now() + kToSpeak};
}

}  // namespace godwit::rpc
