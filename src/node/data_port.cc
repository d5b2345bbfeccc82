#include "node/data_port.h"  // first, so that the header proves self-contained

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>

#include "base/io.h"
#include "base/log.h"
#include "base/sys.h"

namespace godwit::node {
namespace {

constexpr int kBacklog = 128;
constexpr std::chrono::seconds kPreambleLimit{5};
constexpr auto kMaxOfOne = static_cast<std::ptrdiff_t>(DataPort::kMaxWaiting / 2);  // a move has up to 64 streams

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
  // None of them outlives what it is delivered to.
  while (delivering_ > 0) (void)::poll(nullptr, 0, 10);
}

Result<void> DataPort::start(const std::string& address) {
  TRY(const sockaddr_in at, parse(address));
  listener_ = Fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
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
  std::array<pollfd, kMaxWaiting + 2> all{};
  while (!stopping_) {
    all[0] = {listener_.get(), POLLIN, 0};
    all[1] = {wake_.get(), POLLIN, 0};
    for (size_t i = 0; i < kMaxWaiting; ++i)  // poll() passes over negative ones
      all[i + 2] = {waiting_[i].socket.valid() ? waiting_[i].socket.get() : -1, POLLIN, 0};
    const int ready = ::poll(all.data(), all.size(), timeout());
    if (all[1].revents != 0) return;
    if (ready > 0)
      for (size_t i = 0; i < kMaxWaiting; ++i)
        if (all[i + 2].revents != 0 && read_from(waiting_[i])) waiting_[i].socket.reset();
    drop_late();
    if (ready > 0 && all[0].revents != 0) accept_one();
  }
}

int DataPort::timeout() const {
  auto first = Clock::time_point::max();
  for (const auto& w : waiting_)
    if (w.socket.valid()) first = std::min(first, w.until);
  if (first == Clock::time_point::max()) return -1;
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(first - Clock::now());
  return static_cast<int>(std::max<int64_t>(0, left.count()));
}

void DataPort::drop_late() {
  const auto now = Clock::now();
  for (auto& w : waiting_)
    if (w.socket.valid() && w.until <= now) w.socket.reset();
}

void DataPort::accept_one() {
  sockaddr_in from{};
  socklen_t length = sizeof from;
  Fd socket(::accept4(listener_.get(), reinterpret_cast<sockaddr*>(&from), &length, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!socket.valid()) {
    // Out of descriptors: the connection stays in the queue, so without a pause this would spin.
    if (errno == EMFILE || errno == ENFILE) (void)::poll(nullptr, 0, 100);
    return;
  }
  const uint32_t address = from.sin_addr.s_addr;
  const bool greedy = std::ranges::count_if(waiting_, [&](const Waiting& w) {
                        return w.socket.valid() && w.address == address;
                      }) >= kMaxOfOne;
  // A free row, else the one that was silent longest: of that address when it has its half, of all otherwise.
  Waiting* row = nullptr;
  for (auto& w : waiting_) {
    if (greedy && (!w.socket.valid() || w.address != address)) continue;
    if (!w.socket.valid()) {
      row = &w;
      break;
    }
    if (row == nullptr || w.until < row->until) row = &w;
  }
  if (row == nullptr) return;  // the table has rows, and who is greedy has some of them
  row->socket = std::move(socket);
  row->have = 0;
  row->address = address;
  row->until = Clock::now() + kPreambleLimit;
}

bool DataPort::read_from(Waiting& w) {
  const ssize_t got = ::recv(w.socket.get(), w.bytes.data() + w.have, w.bytes.size() - w.have, 0);
  if (got < 0) return errno != EAGAIN && errno != EINTR;
  if (got == 0) return true;
  w.have += static_cast<size_t>(got);
  if (w.have < w.bytes.size()) return false;
  pass_on(w);
  return true;
}

void DataPort::pass_on(Waiting& w) {
  const auto preamble = link::decode(w.bytes);
  if (!preamble || !wanted_(*preamble)) {
    log::debug("data port: a connection that no move waits for");
    return;
  }
  const int flags = ::fcntl(w.socket.get(), F_GETFL);
  if (flags < 0 || ::fcntl(w.socket.get(), F_SETFL, flags & ~O_NONBLOCK) < 0) return;
  delivering_++;
  std::thread([this, p = *preamble, s = std::move(w.socket)]() mutable {
    deliver_(p, std::move(s));
    delivering_--;
  }).detach();
}

}  // namespace godwit::node
