// cr: threads in futex waits: without end, with relative and absolute time-outs, in condition variables and semaphores
#include <linux/futex.h>
#include <semaphore.h>
#include <sys/syscall.h>

#include "util/step.h"

static uint32_t words[4];
static volatile int waiting, stop;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
static int condition_value;
static sem_t semaphore;

static long futex(uint32_t* word, int op, uint32_t value, const timespec* time, uint32_t bits = 0) {
  return syscall(SYS_futex, word, op, value, time, nullptr, bits);
}

static void* endless(void*) {
  add(&waiting);
  while (__atomic_load_n(&words[0], __ATOMIC_ACQUIRE) == 0) {
    long result = futex(&words[0], FUTEX_WAIT_PRIVATE, 0, nullptr);
    CHECK(result == 0 || errno == EAGAIN);  // EINTR would be the engine's doing
  }
  return nullptr;
}

// Waits that time out: not before their time, and never with EINTR.
static void* relative(void*) {
  add(&waiting);
  while (!get(&stop)) {
    timespec length = {0, 120000000};
    int64_t start = nanoseconds(CLOCK_MONOTONIC);
    CHECK(futex(&words[1], FUTEX_WAIT_PRIVATE, 0, &length) == -1);
    CHECK_EQ(errno, ETIMEDOUT);
    CHECK(nanoseconds(CLOCK_MONOTONIC) - start >= 120000000);
  }
  return nullptr;
}

static void* absolute(void*) {
  add(&waiting);
  while (!get(&stop)) {
    int64_t end = nanoseconds(CLOCK_MONOTONIC) + 90000000;
    timespec time = {end / 1000000000, end % 1000000000};
    CHECK(futex(&words[2], FUTEX_WAIT_BITSET_PRIVATE, 0, &time, FUTEX_BITSET_MATCH_ANY) == -1);
    CHECK_EQ(errno, ETIMEDOUT);
    CHECK(nanoseconds(CLOCK_MONOTONIC) >= end);
  }
  return nullptr;
}

static void* conditional(void*) {
  add(&waiting);
  for (int i = 1; i <= steps(); i++) {
    pthread_mutex_lock(&mutex);
    while (condition_value < i) {
      timespec end;
      clock_gettime(CLOCK_REALTIME, &end);
      end.tv_sec += 1;
      int result = i % 2 ? pthread_cond_wait(&condition, &mutex) : pthread_cond_timedwait(&condition, &mutex, &end);
      CHECK(result == 0 || result == ETIMEDOUT);
    }
    pthread_mutex_unlock(&mutex);
  }
  return nullptr;
}

static void* semaphore_waiter(void*) {
  add(&waiting);
  for (int i = 0; i < steps(); i++) CHECK_EQ(sem_wait(&semaphore), 0);
  return nullptr;
}

int main() {
  sem_init(&semaphore, 0, 0);
  pthread_t ids[] = {thread(endless),  thread(endless),     thread(relative),        thread(relative),
                     thread(absolute), thread(conditional), thread(semaphore_waiter)};
  wait_until(&waiting, 7);
  ready();
  for (int i = 1; i <= steps(); i++) {
    step();
    pthread_mutex_lock(&mutex);
    condition_value = i;
    pthread_cond_broadcast(&condition);
    pthread_mutex_unlock(&mutex);
    sem_post(&semaphore);
    note("round %d", i);
  }
  __atomic_store_n(&words[0], 1, __ATOMIC_RELEASE);
  futex(&words[0], FUTEX_WAKE_PRIVATE, INT_MAX, nullptr);
  add(&stop);
  for (auto id : ids) pthread_join(id, nullptr);
  finish();
}
