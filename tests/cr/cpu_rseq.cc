// cr: restartable sequences: the registration, and per-CPU counters that lose no count
#include <sched.h>
#include <sys/rseq.h>

#include "util/step.h"

static constexpr int kCpus = 1024, kThreads = 3, kCounts = 200000;
struct alignas(64) Counter {
  intptr_t value;
};
static Counter counters[kCpus];
static volatile int turn, done;

static struct rseq* area() {
  char* base;
  asm("mov %%fs:0, %0" : "=r"(base));
  return reinterpret_cast<struct rseq*>(base + __rseq_offset);
}

// Adds one to the counter of this CPU; false when the sequence was cut by a preemption, a signal or a checkpoint.
__attribute__((noinline)) static bool add_one() {
  auto* self = area();
  uint32_t cpu = __atomic_load_n(&self->cpu_id_start, __ATOMIC_RELAXED);
  intptr_t* counter = &counters[cpu % kCpus].value;
  asm goto(
      ".pushsection __rseq_cs, \"aw\"\n .balign 32\n 3:\n .long 0, 0\n .quad 1f, 2f - 1f, 4f\n .popsection\n"
      "leaq 3b(%%rip), %%rax\n movq %%rax, %[cs]\n"
      "1:\n cmpl %[cpu], %[now]\n jnz 4f\n"
      "addq $1, (%[counter])\n"
      "2:\n jmp %l[done_]\n"
      ".pushsection .text.rseq_abort, \"ax\"\n .byte 0x0f, 0xb9, 0x3d\n .long 0x53053053\n 4:\n jmp %l[cut]\n "
      ".popsection\n"
      :
      : [cs] "m"(self->rseq_cs), [now] "m"(self->cpu_id), [cpu] "r"(cpu), [counter] "r"(counter)
      : "memory", "cc", "rax"
      : done_, cut);
done_:
  return true;
cut:
  return false;
}

static void* work(void*) {
  for (int i = 1; i <= steps(); i++) {
    wait_until(&turn, i);
    CHECK(static_cast<int32_t>(area()->cpu_id) >= 0);  // still registered
    for (int n = 0; n < kCounts; n++)
      while (!add_one()) {
      }
    // The kernel keeps the number up to date only while the registration holds.
    cpu_set_t all, one;
    CHECK(!sched_getaffinity(0, sizeof all, &all));
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
      if (!CPU_ISSET(cpu, &all)) continue;
      CPU_ZERO(&one);
      CPU_SET(cpu, &one);
      // Another machine may have fewer CPUs, or a checkpoint may come between the two calls.
      if (sched_setaffinity(0, sizeof one, &one)) continue;
      unsigned now = 0;
      getcpu(&now, nullptr);
      if (static_cast<int>(now) == cpu) CHECK_EQ(area()->cpu_id, now);
    }
    sched_setaffinity(0, sizeof all, &all);
    add(&done);
  }
  return nullptr;
}

int main() {
  if (__rseq_size == 0) skip("the C library registers no rseq area");
  pthread_t ids[kThreads];
  for (auto& id : ids) id = thread(work);
  ready();
  for (int i = 1; i <= steps(); i++) {
    add(&turn);
    step();
    wait_until(&done, kThreads * i);
    intptr_t sum = 0;
    for (auto& counter : counters) sum += counter.value;
    CHECK_EQ(sum, static_cast<intptr_t>(i) * kThreads * kCounts);
    note("round %d: %ld", i, static_cast<long>(sum));
  }
  for (auto id : ids) pthread_join(id, nullptr);
  finish();
}
