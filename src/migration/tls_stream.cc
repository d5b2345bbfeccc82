#include "migration/tls_stream.h"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

#include "base/sys.h"

namespace godwit::migration {
namespace {

// A record holds 16 KiB; without a buffer behind it each would be one write(2) and, on a local network, one wake-up.
constexpr long kWriteBuffer = 256 << 10;
constexpr size_t kRecord = 16u << 10;
constexpr size_t kWakeBytes = 128u << 10;
constexpr size_t kReadBuffer = 256u << 10;
constexpr int kSocketBuffer = 4 << 20;
// The kernel gives a connection up after this long without an acknowledgement, or with a peer that takes nothing in. Long,
// because a destination may be busy; a dead link is noticed sooner, by the heartbeats of stream 0.
constexpr int kDeadLinkMs = 20000;

int left_ms(Nanos deadline) {
  const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - monotonic_now()).count();
  return static_cast<int>(std::clamp<int64_t>(left + 1, 0, 1 << 30));
}

// OpenSSL's socket BIO writes with write(2), which raises SIGPIPE when the peer is gone; signals are the program's own
// business, and a keeper may have to leave them at their default. So the last BIO of the chain is ours.
int fd_of(BIO* b) { return static_cast<int>(reinterpret_cast<intptr_t>(BIO_get_data(b))); }
int bio_write(BIO* b, const char* data, int size) {
  BIO_clear_retry_flags(b);
  for (;;) {
    const ssize_t n = ::send(fd_of(b), data, static_cast<size_t>(size), MSG_NOSIGNAL);
    if (n >= 0) return static_cast<int>(n);
    if (errno == EINTR) continue;
    if (errno == EAGAIN || errno == EWOULDBLOCK) BIO_set_retry_write(b);
    return -1;
  }
}
long bio_ctrl(BIO*, int command, long, void*) { return command == BIO_CTRL_FLUSH || command == BIO_CTRL_DUP ? 1 : 0; }

BIO* quiet_socket_bio(int fd) {
  static BIO_METHOD* const method = [] {
    BIO_METHOD* m = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "socket without SIGPIPE");
    if (m != nullptr) {
      BIO_meth_set_write(m, bio_write);
      BIO_meth_set_ctrl(m, bio_ctrl);
    }
    return m;
  }();
  BIO* const b = method != nullptr ? BIO_new(method) : nullptr;
  if (b != nullptr) {
    BIO_set_data(b, reinterpret_cast<void*>(static_cast<intptr_t>(fd)));
    BIO_set_init(b, 1);
  }
  return b;
}

}  // namespace

TlsStream::TlsStream(Fd socket, SSL* ssl) : socket_(std::move(socket)), ssl_(ssl) {}
TlsStream::~TlsStream() { SSL_free(ssl_); }

Result<std::unique_ptr<TlsStream>> TlsStream::handshake(Fd socket, SSL_CTX* context, pki::Side side,
                                                        const std::string& peer, Nanos timeout) {
  const int flags = ::fcntl(socket.get(), F_GETFL);
  if (flags < 0 || ::fcntl(socket.get(), F_SETFL, flags | O_NONBLOCK) < 0)
    return fail_errno(errno, "fcntl(O_NONBLOCK)");
  tune(socket);
  SSL* const ssl = SSL_new(context);
  if (ssl == nullptr) return fail(Code::kFailed, "TLS connection: " + pki::tls_error());
  std::unique_ptr<TlsStream> stream(new TlsStream(std::move(socket), ssl));
  BIO* const in = BIO_new_socket(stream->socket_.get(), BIO_NOCLOSE);
  BIO* const out = quiet_socket_bio(stream->socket_.get());
  BIO* const buffer = BIO_new(BIO_f_buffer());
  if (in == nullptr || out == nullptr || buffer == nullptr) return fail(Code::kFailed, "TLS connection: out of memory");
  BIO_set_write_buffer_size(buffer, kWriteBuffer);
  SSL_set_bio(ssl, in, BIO_push(buffer, out));
  SSL_set_default_read_buffer_len(ssl, kReadBuffer);
  SSL_set_read_ahead(ssl, 1);
  SSL_set_mode(ssl, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_clear_mode(ssl, SSL_MODE_AUTO_RETRY | SSL_MODE_RELEASE_BUFFERS);
  TRY_IN("TLS handshake with " + peer, stream->shake(side, timeout));
  TRY(const std::string name, pki::peer_name(ssl));
  if (name != peer) return fail(Code::kPeer, "the peer's certificate names '" + name + "', expected '" + peer + "'");
  return stream;
}

Result<void> TlsStream::shake(pki::Side side, Nanos timeout) {
  const Nanos deadline = monotonic_now() + timeout;
  for (;;) {
    short events = 0;
    {
      const std::scoped_lock lock(ssl_mutex_);
      ERR_clear_error();
      const int r = side == pki::Side::kServer ? SSL_accept(ssl_) : SSL_connect(ssl_);
      if (r == 1) break;
      TRY(events, wanted(r, "handshake"));
    }
    TRY_DO(flush(timeout));
    if (monotonic_now() >= deadline) return fail(Code::kPeer, "timed out");
    TRY_DO(wait(events, deadline - monotonic_now(), "handshake"));
  }
  return flush(timeout);
}

Result<short> TlsStream::wanted(int result, const char* doing) {
  const int saved = errno;
  if (cancelled_) return fail(Code::kPeer, std::string(doing) + " broken off");
  switch (SSL_get_error(ssl_, result)) {
    case SSL_ERROR_WANT_READ: return POLLIN;
    case SSL_ERROR_WANT_WRITE: return POLLOUT;
    case SSL_ERROR_ZERO_RETURN: return fail(Code::kPeer, "the peer closed the stream");
    case SSL_ERROR_SYSCALL:
      if (saved != 0) return std::unexpected(Error{Code::kPeer, saved, doing});
      return fail(Code::kPeer, "the peer closed the stream");
    default: {
      const std::string why = pki::tls_error();
      return fail(Code::kPeer, std::string(doing) + ": " + why);
    }
  }
}

Result<void> TlsStream::wait(short events, Nanos timeout, const char* doing) {
  const Nanos deadline = monotonic_now() + timeout;
  for (;;) {
    if (cancelled_) return fail(Code::kPeer, std::string(doing) + " broken off");
    pollfd p{socket_.get(), events, 0};
    const int n = ::poll(&p, 1, timeout.count() == 0 ? -1 : left_ms(deadline));
    if (n > 0) return {};
    if (n == 0)
      return fail(Code::kPeer,
                  std::string("nothing to ") + doing + " for " +
                      std::to_string(std::chrono::duration_cast<std::chrono::milliseconds>(timeout).count()) + " ms");
    if (errno != EINTR) return fail_errno(errno, "poll");
  }
}

Result<void> TlsStream::write(std::span<const std::byte> data, Nanos stall) { return write({data}, stall); }

Result<void> TlsStream::write(std::initializer_list<std::span<const std::byte>> parts, Nanos stall) {
  const std::scoped_lock lock(write_mutex_);
  for (const auto& part : parts) TRY_DO(write_piece(part, stall));
  return flush(stall);
}

Result<void> TlsStream::write_piece(std::span<const std::byte> data, Nanos stall) {
  while (!data.empty()) {
    short events = 0;
    {
      const std::scoped_lock lock(ssl_mutex_);
      size_t n = 0;
      ERR_clear_error();
      if (SSL_write_ex(ssl_, data.data(), data.size(), &n) == 1) {
        data = data.subspan(n);
        written_.fetch_add(n, std::memory_order_relaxed);
        continue;
      }
      TRY(events, wanted(0, "write"));
    }
    TRY_DO(wait(events, stall, "write"));
  }
  return {};
}

Result<void> TlsStream::flush(Nanos stall) {
  for (;;) {
    {
      const std::scoped_lock lock(ssl_mutex_);
      BIO* const out = SSL_get_wbio(ssl_);
      ERR_clear_error();
      if (BIO_flush(out) == 1) return {};
      if (cancelled_ || !BIO_should_retry(out)) return std::unexpected(Error{Code::kPeer, errno, "write"});
    }
    TRY_DO(wait(POLLOUT, stall, "write"));
  }
}

Result<void> TlsStream::read(std::span<std::byte> buffer, Nanos silence) {
  while (!buffer.empty()) {
    short events = 0;
    {
      const std::scoped_lock lock(ssl_mutex_);
      size_t n = 0;
      ERR_clear_error();
      errno = 0;
      if (SSL_read_ex(ssl_, buffer.data(), buffer.size(), &n) == 1) {
        buffer = buffer.subspan(n);
        read_.fetch_add(n, std::memory_order_relaxed);
        continue;
      }
      TRY(events, wanted(0, "read"));
    }
    wake_at(buffer.size());
    TRY_DO(wait(events, silence, "read"));
  }
  return {};
}

// A reader that is woken for each packet spends its time waking up. When much is still wanted, poll() shall return only
// when much of it is there; what OpenSSL has already taken in is less than a record, so this never waits for too much.
void TlsStream::wake_at(size_t wanted_bytes) {
  const int low = wanted_bytes > kWakeBytes + 2 * kRecord ? static_cast<int>(kWakeBytes) : 1;
  if (low == low_water_) return;
  if (::setsockopt(socket_.get(), SOL_SOCKET, SO_RCVLOWAT, &low, sizeof low) == 0) low_water_ = low;
}

void TlsStream::cancel() {
  cancelled_ = true;
  ::shutdown(socket_.get(), SHUT_RDWR);  // wakes every poll
}

void tune(const Fd& socket) {
  const auto set = [&](int level, int name, int value) {
    ::setsockopt(socket.get(), level, name, &value, sizeof value);
  };
  set(SOL_SOCKET, SO_SNDBUF, kSocketBuffer);
  set(SOL_SOCKET, SO_RCVBUF, kSocketBuffer);
  set(SOL_SOCKET, SO_KEEPALIVE, 1);
  set(IPPROTO_TCP, TCP_NODELAY, 1);
  set(IPPROTO_TCP, TCP_KEEPIDLE, 1);
  set(IPPROTO_TCP, TCP_KEEPINTVL, 1);
  set(IPPROTO_TCP, TCP_KEEPCNT, 4);
  set(IPPROTO_TCP, TCP_USER_TIMEOUT, kDeadLinkMs);
}

Result<Fd> dial(const std::string& endpoint, Nanos timeout) {
  const size_t colon = endpoint.rfind(':');
  if (colon == std::string::npos) return fail(Code::kUsage, "endpoint without a port: " + endpoint);
  std::string host = endpoint.substr(0, colon);
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* list = nullptr;
  if (const int r = ::getaddrinfo(host.c_str(), endpoint.c_str() + colon + 1, &hints, &list); r != 0) {
    return fail(Code::kPeer, "no address for " + endpoint + ": " + ::gai_strerror(r));
  }
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owned(list, &::freeaddrinfo);
  Error last{Code::kPeer, 0, "connect to " + endpoint};
  for (const addrinfo* a = list; a != nullptr; a = a->ai_next) {
    Fd fd(::socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, a->ai_protocol));
    if (!fd.valid()) continue;
    tune(fd);  // before connecting: the window's scale is agreed on in the first packets
    if (::connect(fd.get(), a->ai_addr, a->ai_addrlen) == 0) return fd;
    last.errnum = errno;
    if (errno != EINPROGRESS) continue;
    pollfd p{fd.get(), POLLOUT, 0};
    if (::poll(&p, 1, left_ms(monotonic_now() + timeout)) <= 0) {
      last.errnum = ETIMEDOUT;
      continue;
    }
    int error = 0;
    socklen_t size = sizeof error;
    ::getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &error, &size);
    if (error == 0) return fd;
    last.errnum = error;
  }
  return std::unexpected(last);
}

}  // namespace godwit::migration
