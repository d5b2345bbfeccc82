// A port of the test's own that leads into the network of a grid's node: what connects there is connected from within it.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>

#include <array>
#include <atomic>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/fd.h"
#include "base/io.h"
#include "base/sys.h"

namespace godwit::test {

class Tunnel {
 public:
  /// From the network of process `pid` to ADDRESS (a dotted quad) and PORT.
  Tunnel(int pid, std::string address, int port) : pid_(pid), address_(std::move(address)), to_(port) {
    listener_ = Fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in here{};
    here.sin_family = AF_INET;
    here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof here;
    (void)::bind(listener_.get(), reinterpret_cast<const sockaddr*>(&here), size);
    (void)::listen(listener_.get(), 16);
    (void)::getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&here), &size);
    local_ = "127.0.0.1:" + std::to_string(ntohs(here.sin_port));
    thread_ = std::thread([this] { accept_all(); });
  }
  ~Tunnel() {
    stopping_ = true;
    thread_.join();
    for (auto& t : carriers_) t.join();
  }
  Tunnel(const Tunnel&) = delete;
  Tunnel& operator=(const Tunnel&) = delete;
  /// What to connect to.
  [[nodiscard]] const std::string& local() const { return local_; }

 private:
  static constexpr int kLook = 50;

  void accept_all() {
    while (!stopping_) {
      pollfd p{listener_.get(), POLLIN, 0};
      if (::poll(&p, 1, kLook) != 1) continue;
      Fd near(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
      carriers_.emplace_back([this, s = std::move(near)] { carry(s); });
    }
  }
  /// The network namespace is this thread's alone.
  void carry(const Fd& near) const {
    const auto net = sys::open("/proc/" + std::to_string(pid_) + "/ns/net", O_RDONLY);
    if (!net || ::setns(net->get(), CLONE_NEWNET) != 0) return;
    const Fd far(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(static_cast<uint16_t>(to_));
    ::inet_pton(AF_INET, address_.c_str(), &to.sin_addr);
    if (::connect(far.get(), reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0) return;
    std::array<std::byte, 16384> buffer;
    while (!stopping_) {
      pollfd p[2] = {{near.get(), POLLIN, 0}, {far.get(), POLLIN, 0}};
      if (::poll(p, 2, kLook) <= 0) continue;
      for (int i = 0; i < 2; ++i) {
        if (p[i].revents == 0) continue;
        const ssize_t got = ::recv(p[i].fd, buffer.data(), buffer.size(), 0);
        if (got <= 0 || !io::write_full(p[1 - i].fd, std::span(buffer).first(static_cast<size_t>(got)))) return;
      }
    }
  }

  const int pid_;
  const std::string address_;
  const int to_;
  std::string local_;
  Fd listener_;
  std::atomic<bool> stopping_ = false;
  std::thread thread_;
  std::vector<std::thread> carriers_;
};

}  // namespace godwit::test
