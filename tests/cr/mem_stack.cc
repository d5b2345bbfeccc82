// cr: stacks that grow: the main one by recursion, a MAP_GROWSDOWN one, and guard pages below threads' stacks
#include <setjmp.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <ucontext.h>

#include "util/step.h"

static sigjmp_buf back;
static char* faulted_at;

static void on_fault(int, siginfo_t* info, void*) {
  faulted_at = static_cast<char*>(info->si_addr);
  siglongjmp(back, 1);
}

__attribute__((noinline)) static uint64_t recurse(int depth, uint64_t value) {
  volatile uint64_t frame[500];
  for (auto& word : frame) word = value + static_cast<uint64_t>(depth);
  if (depth == 0) {
    step();  // a checkpoint may come at the deepest place
    return value;
  }
  uint64_t below = recurse(depth - 1, value * 31 + 7);
  for (auto& word : frame)
    if (word != value + static_cast<uint64_t>(depth))
      wrong(__FILE__, __LINE__, "a frame was changed at depth %d", depth);
  return below + frame[17];
}

static bool faults(char* address) {
  if (sigsetjmp(back, 1)) {
    CHECK(faulted_at == address);
    return true;
  }
  *reinterpret_cast<volatile char*>(address) = 1;
  return false;
}

static char* guard;
static volatile int stop, known;

static void* guarded(void*) {
  pthread_attr_t attributes;
  void* base;
  size_t size;
  pthread_getattr_np(pthread_self(), &attributes);
  pthread_attr_getstack(&attributes, &base, &size);
  guard = static_cast<char*>(base) - 100;
  add(&known);
  wait_until(&stop, 1);
  return nullptr;
}

int main() {
  rlimit limit = {64 << 20, 64 << 20};
  setrlimit(RLIMIT_STACK, &limit);
  static char alternative[64 * 1024];
  stack_t stack = {alternative, 0, sizeof alternative};
  sigaltstack(&stack, nullptr);
  struct sigaction action = {};
  action.sa_sigaction = on_fault;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  sigaction(SIGSEGV, &action, nullptr);

  pthread_t helper = thread(guarded);
  wait_until(&known, 1);

  // A hole of 64 MiB with a growing area at its top.
  constexpr size_t kHole = 64 << 20;
  auto* hole = static_cast<char*>(mmap(nullptr, kHole, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
  MUST(munmap(hole, kHole));
  auto* top = static_cast<char*>(mmap(hole + kHole - 8192, 8192, PROT_READ | PROT_WRITE,
                                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_GROWSDOWN | MAP_FIXED_NOREPLACE, -1, 0));
  CHECK(top != MAP_FAILED);
  auto* low = static_cast<char*>(top);
  ready();
  for (int i = 0; i < steps(); i++) {
    note("round %d: %016llx", i, static_cast<unsigned long long>(recurse(20 + i * 8, static_cast<uint64_t>(i))));
    low -= 4096;  // grows by one page
    *reinterpret_cast<volatile char*>(low) = static_cast<char>(i);
    for (int p = 0; p <= i; p++) CHECK_EQ(top[-4096 * (p + 1)], static_cast<char>(p));
    CHECK(faults(guard));
  }
  add(&stop);
  pthread_join(helper, nullptr);
  finish();
}
