// What no move can be faster than, on this machine and now: `floor PID BYTES` prints two numbers of milliseconds.
//
//     copy   process_vm_readv of BYTES of the process's largest writable areas into one warm buffer, one thread
//     tls    BYTES from one warm buffer through one TLS 1.3 connection over loopback (AES-256-GCM), read into another
//
// `floor --warm BYTES` writes to so much memory, says "warm", and gives it back when its input ends: what is measured next finds
// pages that the machine below has, too. A virtual machine that returns free memory to its host pays up to 3 s for a GiB
// of others, which is the host's time and nobody's copy.
//
// Both are plain: OpenSSL and the kernel as they come, none of Godwit's own code, so that it isn't compared with itself.
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace {

[[noreturn]] void die(const char* what) {
  std::perror(what);
  std::exit(1);
}

class Watch {
 public:
  double ms() const {
    return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start_).count();
  }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

constexpr size_t kCopyBuffer = 4u << 20;
constexpr size_t kRecord = 16384;

struct Area {
  uint64_t start, end;
};

std::vector<Area> writable_areas(pid_t pid) {
  std::ifstream maps("/proc/" + std::to_string(pid) + "/maps");
  std::vector<Area> areas;
  for (std::string line; std::getline(maps, line);) {
    unsigned long start = 0, end = 0;
    char prot[5] = {};
    if (std::sscanf(line.c_str(), "%lx-%lx %4s", &start, &end, prot) == 3 && prot[0] == 'r' && prot[1] == 'w') {
      areas.push_back({start, end});
    }
  }
  std::ranges::sort(areas, std::greater{}, [](const Area& a) { return a.end - a.start; });
  return areas;
}

double copy_floor(pid_t pid, size_t bytes) {
  std::vector<char> buffer(kCopyBuffer, 1);
  const auto areas = writable_areas(pid);
  const Watch watch;
  size_t left = bytes;
  for (const Area& area : areas) {
    for (uint64_t at = area.start; at < area.end && left > 0;) {
      const size_t want = std::min({buffer.size(), static_cast<size_t>(area.end - at), left});
      iovec local{buffer.data(), want}, remote{reinterpret_cast<void*>(at), want};
      const ssize_t got = ::process_vm_readv(pid, &local, 1, &remote, 1, 0);
      if (got <= 0) die("process_vm_readv");
      at += static_cast<size_t>(got);
      left -= static_cast<size_t>(got);
    }
  }
  return watch.ms();
}

using Context = std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)>;
using Session = std::unique_ptr<SSL, decltype(&SSL_free)>;

Context context(const SSL_METHOD* method, EVP_PKEY* key, X509* certificate) {
  Context out(SSL_CTX_new(method), SSL_CTX_free);
  SSL_CTX_set_min_proto_version(out.get(), TLS1_3_VERSION);
  SSL_CTX_set_ciphersuites(out.get(), "TLS_AES_256_GCM_SHA384");
  if (key != nullptr) {
    SSL_CTX_use_certificate(out.get(), certificate);
    SSL_CTX_use_PrivateKey(out.get(), key);
  }
  return out;
}

double tls_floor(size_t bytes) {
  const std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)> key(EVP_EC_gen("P-256"), EVP_PKEY_free);
  const std::unique_ptr<X509, decltype(&X509_free)> certificate(X509_new(), X509_free);
  X509_gmtime_adj(X509_getm_notBefore(certificate.get()), 0);
  X509_gmtime_adj(X509_getm_notAfter(certificate.get()), 3600);
  X509_set_pubkey(certificate.get(), key.get());
  if (X509_sign(certificate.get(), key.get(), EVP_sha256()) == 0) die("X509_sign");

  const int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  auto* name = reinterpret_cast<sockaddr*>(&address);
  if (::bind(listener, name, length) < 0 || ::listen(listener, 1) < 0 || ::getsockname(listener, name, &length) < 0) {
    die("listen");
  }
  std::jthread receiver([&] {
    const int socket = ::accept(listener, nullptr, nullptr);
    const Context c = context(TLS_server_method(), key.get(), certificate.get());
    const Session tls(SSL_new(c.get()), SSL_free);
    SSL_set_fd(tls.get(), socket);
    if (SSL_accept(tls.get()) != 1) die("SSL_accept");
    std::vector<char> buffer(kRecord, 1);
    for (size_t got = 0; got < bytes;) {
      const int r = SSL_read(tls.get(), buffer.data(), static_cast<int>(buffer.size()));
      if (r <= 0) die("SSL_read");
      got += static_cast<size_t>(r);
    }
    SSL_write(tls.get(), "", 1);
    ::close(socket);
  });
  const int socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (::connect(socket, name, length) < 0) die("connect");
  const int on = 1;
  ::setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  const Context c = context(TLS_client_method(), nullptr, nullptr);
  const Session tls(SSL_new(c.get()), SSL_free);
  SSL_set_fd(tls.get(), socket);
  if (SSL_connect(tls.get()) != 1) die("SSL_connect");
  std::vector<char> record(kRecord);
  std::ranges::generate(record, [n = 0]() mutable { return static_cast<char>(n++ * 131 >> 3); });
  const Watch watch;
  for (size_t sent = 0; sent < bytes;) {
    const int r = SSL_write(tls.get(), record.data(), static_cast<int>(std::min(kRecord, bytes - sent)));
    if (r <= 0) die("SSL_write");
    sent += static_cast<size_t>(r);
  }
  char end = 0;
  SSL_read(tls.get(), &end, 1);  // until all of it has arrived
  const double ms = watch.ms();
  ::close(socket);
  ::close(listener);
  return ms;
}

int warm(size_t bytes) {
  void* memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  if (memory == MAP_FAILED) die("mmap");
  std::puts("warm");
  std::fflush(stdout);
  while (std::getchar() != EOF) {
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  if (std::string_view(argv[1]) == "--warm") return warm(std::strtoull(argv[2], nullptr, 10));
  const auto bytes = std::strtoull(argv[2], nullptr, 10);
  const double copy = copy_floor(static_cast<pid_t>(std::atoi(argv[1])), bytes);
  std::printf("copy %.3f\ntls %.3f\n", copy, tls_floor(bytes));
}
