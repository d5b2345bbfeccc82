// cr: threads and processes that come and go all the time while a checkpoint is taken
#include <sys/mman.h>

#include "util/step.h"

static volatile int stop, threads_run, children_run;

static void* brief(void* argument) {
  add(&threads_run);
  return argument;
}

static void* thread_maker(void*) {
  while (!get(&stop)) {
    pthread_t ids[4];
    for (auto& id : ids) id = thread(brief, &id);
    for (auto& id : ids) {
      void* value;
      CHECK(!pthread_join(id, &value));
      CHECK(value == &id);
    }
  }
  return nullptr;
}

static void* process_maker(void*) {
  for (int i = 0; !get(&stop); i++) {
    pid_t child = spawn([&] { return i % 100; });
    CHECK_EQ(reap(child), i % 100);
    add(&children_run);
  }
  return nullptr;
}

static void* mapper(void*) {
  for (int i = 1; !get(&stop); i++) {
    size_t size = static_cast<size_t>(4096) * (1 + i % 64);
    auto* memory = static_cast<char*>(mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    CHECK(memory != MAP_FAILED);
    memset(memory, i & 127, size);
    sched_yield();
    CHECK(memory[0] == (i & 127) && memory[size - 1] == (i & 127));
    MUST(munmap(memory, size));
  }
  return nullptr;
}

int main() {
  pthread_t makers[] = {thread(thread_maker), thread(process_maker), thread(mapper)};
  wait_until(&threads_run, 4);
  wait_until(&children_run, 1);
  ready();
  for (int i = 0; i < steps(); i++) {
    step();
    note("round %d", i);
  }
  add(&stop);
  for (auto maker : makers) pthread_join(maker, nullptr);
  finish();
}
