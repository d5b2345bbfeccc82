// Macros, templates and wrappers are seen through: what counts is what is called in the end.
#include <sys/mman.h>
#include <sys/socket.h>

#include <thread>

#define CONNECT() ::socket(AF_INET, SOCK_STREAM, 0)

template <int Domain>
struct Endpoint {
  int fd = socket(Domain, SOCK_DGRAM, 0);  // expect: warning socket
};

static void* map(int protection) {
  return mmap(nullptr, 4096, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);  // expect: warning machine-code
}

int main(int argc, char**) {
  Endpoint<AF_UNIX> endpoint;
  void* data = map(PROT_READ | PROT_WRITE);
  void* code = argc > 1 ? map(PROT_READ | PROT_EXEC) : nullptr;
  const unsigned processors = std::thread::hardware_concurrency();  // expect: remark machine-fact
  return CONNECT() + endpoint.fd + static_cast<int>(processors) + (data == code);  // expect: warning socket
}
