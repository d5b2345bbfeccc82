// cr: System V segments (attached, shared with a child, read-only, removed), semaphores with SEM_UNDO, message queues
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>

#include "util/step.h"

namespace {
struct Message {
  long type;
  char text[32];
};

template <typename T>
T* attach(int id, int flags = 0) {
  void* memory = shmat(id, nullptr, flags);
  CHECK(memory != reinterpret_cast<void*>(-1));
  return static_cast<T*>(memory);
}
}  // namespace

int main() {
  const key_t key = 0x67640000 + getpid();
  int shared = MUST(shmget(key, 3 * 4096 + 100, 0600 | IPC_CREAT | IPC_EXCL));
  int removed = MUST(shmget(IPC_PRIVATE, 8192, 0600 | IPC_CREAT));
  auto* memory = attach<int>(shared);
  auto* again = attach<const int>(shared, SHM_RDONLY);
  auto* ghost = attach<int>(removed);
  MUST(shmctl(removed, IPC_RMID, nullptr));
  ghost[2000] = 4711;

  int semaphores = MUST(semget(IPC_PRIVATE, 3, 0600 | IPC_CREAT));
  unsigned short values[] = {6, 0, 2};
  MUST(semctl(semaphores, 0, SETALL, values));
  sembuf take = {0, -2, SEM_UNDO}, one_up = {1, 1, 0}, one_down = {1, -1, 0};
  MUST(semop(semaphores, &take, 1));

  int queue = MUST(msgget(IPC_PRIVATE, 0600 | IPC_CREAT));
  for (long type : {5L, 2L, 5L}) {
    Message m = {type, "stays"};
    MUST(msgsnd(queue, &m, 5, 0));
  }

  // The child waits on a semaphore, counts in the segment, and holds an adjustment of its own.
  pid_t child = spawn([&] {
    sembuf hold = {2, -1, SEM_UNDO};
    if (semop(semaphores, &hold, 1)) return 1;
    for (int i = 0; i < steps(); i++) {
      while (semop(semaphores, &one_down, 1)) {
        if (errno != EINTR) return 2;
      }
      __atomic_add_fetch(memory + 10, 1, __ATOMIC_SEQ_CST);
      Message m = {9, "done"};
      if (msgsnd(queue, &m, 4, 0)) return 3;
    }
    return 0;
  });
  while (semctl(semaphores, 2, GETVAL) != 1) sleep_ms(1);
  ready();
  for (int i = 0; i < steps(); i++) {
    memory[3000] = i * 7;
    CHECK_EQ(again[3000], i * 7);
    step();
    CHECK_EQ(memory[3000], i * 7);
    MUST(semop(semaphores, &one_up, 1));
    Message m = {};
    ssize_t n;
    do n = msgrcv(queue, &m, sizeof m.text, 9, 0);
    while (n < 0 && errno == EINTR);
    CHECK_EQ(n, 4);
    CHECK_EQ(again[10], i + 1);
    CHECK_EQ(semctl(semaphores, 0, GETVAL), 4);
    note("round %d", i);
  }
  CHECK_EQ(reap(child), 0);
  CHECK_EQ(semctl(semaphores, 2, GETVAL), 2);  // the child's adjustment came with its end
  CHECK_EQ(ghost[2000], 4711);
  CHECK_EQ(shmget(key, 0, 0), shared);
  shmid_ds ds;
  MUST(shmctl(shared, IPC_STAT, &ds));
  CHECK_EQ(ds.shm_nattch, 2);
  CHECK_EQ(ds.shm_segsz, 3 * 4096 + 100);
  MUST(shmdt(again));
  MUST(shmctl(shared, IPC_STAT, &ds));
  CHECK_EQ(ds.shm_nattch, 1);
  for (long type : {5L, 2L, 5L}) {
    Message m = {};
    CHECK_EQ(msgrcv(queue, &m, sizeof m.text, 0, IPC_NOWAIT), 5);
    CHECK_EQ(m.type, type);
  }
  MUST(semctl(semaphores, 0, IPC_RMID));
  MUST(msgctl(queue, IPC_RMID, nullptr));
  MUST(shmctl(shared, IPC_RMID, nullptr));
  finish();
}
