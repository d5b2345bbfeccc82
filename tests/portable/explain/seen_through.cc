// Macros, templates and wrappers are seen through: what counts is what is called in the end.
#include <sys/mman.h>
#include <sys/socket.h>

#include <thread>

#define CONNECT() ::connect(3, nullptr, 0)

template <int Domain>
struct Endpoint {
  int fd = accept(Domain, nullptr, nullptr);  // expect: warning connection
};

static void* map(int protection) {
  return mmap(nullptr, 4096, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);  // expect: warning machine-code
}

int main(int argc, char**) {
  Endpoint<3> endpoint;
  void* data = map(PROT_READ | PROT_WRITE);
  void* code = argc > 1 ? map(PROT_READ | PROT_EXEC) : nullptr;
  const unsigned processors = std::thread::hardware_concurrency();  // expect: remark machine-fact
  return CONNECT() + endpoint.fd + static_cast<int>(processors) + (data == code);  // expect: warning connection
}
