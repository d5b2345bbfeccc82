// cr: threads in semop, semtimedop, msgrcv and msgsnd
// refused: leave restore restore2 restore3 move move3: sysv-undo
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>

#include "util/step.h"

static int semaphores, queue;
static volatile int stop;

static void* in_semop(void*) {
  for (int i = 0; i < steps(); i++) {
    sembuf take = {0, -1, 0};
    CHECK_EQ(semop(semaphores, &take, 1), 0);
  }
  return nullptr;
}
static void* in_semtimedop(void*) {
  while (!get(&stop)) {
    sembuf take = {1, -1, 0};
    timespec length = {0, 75000000};
    int64_t start = nanoseconds(CLOCK_MONOTONIC);
    CHECK(semtimedop(semaphores, &take, 1, &length) == -1);
    CHECK_EQ(errno, EAGAIN);
    // Its clock is in jiffies: up to two of them short of the time asked for.
    CHECK(nanoseconds(CLOCK_MONOTONIC) - start >= 75000000 - 20000000);
  }
  return nullptr;
}
struct Message {
  long type;
  char text[16];
};
static void* in_msgrcv(void*) {
  for (int i = 0; i < steps(); i++) {
    Message message;
    CHECK_EQ(msgrcv(queue, &message, sizeof message.text, 7, 0), 6);
    CHECK(!memcmp(message.text, "seven", 6));
  }
  return nullptr;
}

int main() {
  semaphores = MUST(semget(IPC_PRIVATE, 2, 0600));
  queue = MUST(msgget(IPC_PRIVATE, 0600));
  pthread_t ids[] = {thread(in_semop), thread(in_semtimedop), thread(in_msgrcv)};
  Message other = {3, "three"};
  CHECK_EQ(msgsnd(queue, &other, 6, 0), 0);  // stays unread
  ready();
  for (int i = 0; i < steps(); i++) {
    step();
    sembuf give = {0, 1, 0};
    CHECK_EQ(semop(semaphores, &give, 1), 0);
    Message seven = {7, "seven"};
    CHECK_EQ(msgsnd(queue, &seven, 6, 0), 0);
    note("round %d", i);
  }
  add(&stop);
  for (auto id : ids) pthread_join(id, nullptr);
  Message left;
  CHECK_EQ(msgrcv(queue, &left, sizeof left.text, 0, IPC_NOWAIT), 6);
  CHECK_EQ(left.type, 3);
  MUST(semctl(semaphores, 0, IPC_RMID));
  MUST(msgctl(queue, IPC_RMID, nullptr));
  finish();
}
