// cr: robust mutexes whose owner dies after the checkpoint, and the robust list of every thread
#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "util/step.h"

struct Shared {
  pthread_mutex_t mutex[4];
  volatile int held, die;
};

static Shared* shared;
static volatile int thread_held, thread_die;

static void* owner_thread(void*) {
  pthread_mutex_lock(&shared->mutex[3]);
  void* list;
  size_t size;
  CHECK_EQ(syscall(SYS_get_robust_list, 0, &list, &size), 0);
  add(&thread_held);
  wait_until(&thread_die, 1);
  void* now;
  CHECK_EQ(syscall(SYS_get_robust_list, 0, &now, &size), 0);
  CHECK(now == list && size == sizeof(robust_list_head));
  return nullptr;  // dies with the mutex
}

int main() {
  shared =
      static_cast<Shared*>(mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  pthread_mutexattr_t attributes;
  pthread_mutexattr_init(&attributes);
  pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
  pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
  for (auto& mutex : shared->mutex) pthread_mutex_init(&mutex, &attributes);
  // A child that holds three and is killed at the end; a thread that holds one and returns.
  pid_t child = spawn([] {
    for (int i = 0; i < 3; i++) pthread_mutex_lock(&shared->mutex[i]);
    add(&shared->held);
    for (;;) pause();
    return 0;
  });
  pthread_t owner = thread(owner_thread);
  wait_until(&shared->held, 1);
  wait_until(&thread_held, 1);
  ready();
  for (int i = 0; i < steps(); i++) {
    for (auto& mutex : shared->mutex) CHECK_EQ(pthread_mutex_trylock(&mutex), EBUSY);
    step();
    note("round %d", i);
  }
  kill(child, SIGKILL);
  int status;
  CHECK_EQ(waitpid(child, &status, 0), child);
  add(&thread_die);
  pthread_join(owner, nullptr);
  for (auto& mutex : shared->mutex) {
    CHECK_EQ(pthread_mutex_lock(&mutex), EOWNERDEAD);
    CHECK_EQ(pthread_mutex_consistent(&mutex), 0);
    CHECK_EQ(pthread_mutex_unlock(&mutex), 0);
  }
  note("four owners died");
  finish();
}
