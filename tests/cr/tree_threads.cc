// cr: three hundred threads, asleep in futexes and at work, with their TIDs, names and stacks
#include <sys/syscall.h>

#include "util/step.h"

static constexpr int kThreads = 300;
static pthread_barrier_t gate, done;
static uint64_t sums[kThreads];
static thread_local uint64_t mine;

static void* work(void* argument) {
  auto number = reinterpret_cast<intptr_t>(argument);
  pid_t tid = gettid();
  char name[16], found[16];
  snprintf(name, sizeof name, "worker-%ld", static_cast<long>(number));
  pthread_setname_np(pthread_self(), name);
  mine = static_cast<uint64_t>(number);
  volatile uint64_t on_stack[64];
  for (auto& word : on_stack) word = mine;
  for (int i = 0; i < steps(); i++) {
    pthread_barrier_wait(&gate);
    CHECK_EQ(gettid(), tid);
    CHECK_EQ(syscall(SYS_gettid), tid);
    CHECK_EQ(tgkill(getpid(), tid, 0), 0);
    mine = mine * 6364136223846793005u + on_stack[i % 64];
    sums[number] = mine;
    pthread_barrier_wait(&done);
  }
  pthread_getname_np(pthread_self(), found, sizeof found);
  CHECK(!strcmp(found, name));
  return reinterpret_cast<void*>(number + 1);
}

int main() {
  pthread_barrier_init(&gate, nullptr, kThreads + 1);
  pthread_barrier_init(&done, nullptr, kThreads + 1);
  pthread_t ids[kThreads];
  pthread_attr_t small;
  pthread_attr_init(&small);
  pthread_attr_setstacksize(&small, 64 * 1024);
  for (intptr_t t = 0; t < kThreads; t++) CHECK(!pthread_create(&ids[t], &small, work, reinterpret_cast<void*>(t)));
  ready();
  for (int i = 0; i < steps(); i++) {
    pthread_barrier_wait(&gate);
    pthread_barrier_wait(&done);
    mix(sums, sizeof sums);
    note("round %d: %016llx", i, static_cast<unsigned long long>(sums[i % kThreads]));
    step();
  }
  for (intptr_t t = 0; t < kThreads; t++) {
    void* value;
    CHECK(!pthread_join(ids[t], &value));  // the kernel clears the TID and wakes: set_tid_address was restored
    CHECK_EQ(reinterpret_cast<intptr_t>(value), t + 1);
  }
  finish();
}
