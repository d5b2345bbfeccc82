// For tests: certificates, a listener that plays the destination's daemon, and a store.
#pragma once

#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>

#include <netinet/in.h>

#include <atomic>
#include <functional>
#include <thread>

#include "base/base.h"
#include "base/pki.h"
#include "link/link.h"
#include "migration/migration.h"

namespace godwit::migration::kit {

struct Certificates {
  pki::Identity authority = *pki::make_authority("test");
  pki::Identity a = *pki::issue(authority, "node-a");
  pki::Identity b = *pki::issue(authority, "node-b");
  pki::TlsContext client = *pki::tls_context(pki::Side::kClient, a, authority.certificate);
  pki::TlsContext server = *pki::tls_context(pki::Side::kServer, b, authority.certificate);
};
inline Certificates& certificates() {
  static Certificates all;
  return all;
}

inline Plan plan(const std::string& peer) {
  Plan p;
  p.migration = "0123456789abcdef";
  p.unit = "u1";
  p.epoch = 5;
  p.peer = peer;
  p.token = "secret-of-this-move";
  return p;
}

/// Listens on a loopback port, reads each connection's preamble, and hands the socket on.
class Daemon {
 public:
  Daemon() {
    listener_ = Fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    GODWIT_CHECK(::bind(listener_.get(), reinterpret_cast<sockaddr*>(&at), sizeof at) == 0);
    GODWIT_CHECK(::listen(listener_.get(), 64) == 0);
    socklen_t size = sizeof at;
    GODWIT_CHECK(::getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&at), &size) == 0);
    endpoint_ = "127.0.0.1:" + std::to_string(ntohs(at.sin_port));
  }
  ~Daemon() { stop(); }
  void serve(std::function<void(const link::Preamble&, Fd)> on_stream) {
    thread_ = std::jthread([this, f = std::move(on_stream)] {
      for (;;) {
        Fd s(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
        if (!s.valid()) return;
        std::array<std::byte, link::kPreambleSize> bytes;
        if (!io::read_full(s.get(), bytes)) continue;
        if (auto p = link::decode(bytes)) f(*p, std::move(s));
      }
    });
  }
  void stop() {
    ::shutdown(listener_.get(), SHUT_RDWR);
    if (thread_.joinable()) thread_.join();
  }
  [[nodiscard]] const std::string& endpoint() const { return endpoint_; }

 private:
  Fd listener_;
  std::string endpoint_;
  std::jthread thread_;
};

/// The one commit point: the first question decides.
class Store {
 public:
  Answer commit() { return decide(true); }
  Answer resolve() { return decide(false); }
  [[nodiscard]] bool committed() const { return state_ == 1; }
  [[nodiscard]] bool decided() const { return state_ != 0; }

 private:
  Answer decide(bool commit) {
    int expected = 0;
    state_.compare_exchange_strong(expected, commit ? 1 : 2);
    return {committed(), 6, "commit-token", "aborted by the store"};
  }
  std::atomic<int> state_{0};
};

}  // namespace godwit::migration::kit
