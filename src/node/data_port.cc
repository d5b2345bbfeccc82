#include "node/data_port.h"  // first, so that the header proves self-contained

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <array>
#include <cerrno>
#include <charconv>

#include "base/io.h"
#include "base/log.h"
#include "base/sys.h"

namespace godwit::node {
namespace {

constexpr int kBacklog = 128;
constexpr int kMaxWaiting = 128;
constexpr timeval kPreambleLimit{5, 0};

Result<sockaddr_in> parse(const std::string& address) {
  const size_t colon = address.rfind(':');
  sockaddr_in out{};
  out.sin_family = AF_INET;
  uint16_t port = 0;
  const char* end = address.data() + address.size();
  if (colon == std::string::npos || ::inet_pton(AF_INET, address.substr(0, colon).c_str(), &out.sin_addr) != 1 ||
      std::from_chars(address.data() + colon + 1, end, port).ptr != end) {
    return fail(Code::kUsage, "not an address like 0.0.0.0:7412: " + address);
  }
  out.sin_port = htons(port);
  return out;
}

}  // namespace

DataPort::~DataPort() {
  stopping_ = true;
  if (!thread_.joinable()) return;
  (void)io::write_full(wake_.get(), std::as_bytes(std::span<const uint64_t>(std::array<uint64_t, 1>{1})));
  thread_.join();
  // Their sockets time out; none of them outlives what it would be delivered to.
  while (waiting_ > 0) (void)::poll(nullptr, 0, 10);
}

Result<void> DataPort::start(const std::string& address) {
  TRY(const sockaddr_in at, parse(address));
  listener_ = Fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!listener_.valid()) return fail_errno(errno, "socket");
  const int on = 1;
  (void)::setsockopt(listener_.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (::bind(listener_.get(), reinterpret_cast<const sockaddr*>(&at), sizeof at) < 0) {
    return fail_errno(errno, "data port " + address);
  }
  if (::listen(listener_.get(), kBacklog) < 0) return fail_errno(errno, "data port " + address);
  sockaddr_in bound{};
  socklen_t length = sizeof bound;
  if (::getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&bound), &length) == 0) port_ = ntohs(bound.sin_port);
  TRY(wake_, sys::eventfd());
  thread_ = std::thread([this] { accept_all(); });
  return {};
}

void DataPort::accept_all() {
  while (!stopping_) {
    pollfd both[] = {{listener_.get(), POLLIN, 0}, {wake_.get(), POLLIN, 0}};
    if (::poll(both, 2, -1) < 0) continue;
    if (both[1].revents != 0) return;
    Fd socket(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!socket.valid()) {
      // Out of descriptors: the connection stays in the queue, so without a pause this would spin.
      if (errno == EMFILE || errno == ENFILE) (void)::poll(nullptr, 0, 100);
      continue;
    }
    if (waiting_ >= kMaxWaiting) continue;
    waiting_++;
    std::thread([this, s = std::move(socket)]() mutable {
      receive(std::move(s));
      waiting_--;
    }).detach();
  }
}

void DataPort::receive(Fd socket) {
  (void)::setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &kPreambleLimit, sizeof kPreambleLimit);
  std::array<std::byte, link::kPreambleSize> bytes;
  if (!io::read_full(socket.get(), bytes)) return;
  const auto preamble = link::decode(bytes);
  if (!preamble) {
    log::warn("data port: {}", preamble.error().message());
    return;
  }
  constexpr timeval kNone{0, 0};
  (void)::setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &kNone, sizeof kNone);
  deliver_(*preamble, std::move(socket));
}

}  // namespace godwit::node
