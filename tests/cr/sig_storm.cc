// cr: processes that send each other real-time signals all the time: none is lost, none comes twice, order is kept
#include <sys/mman.h>

#include "util/step.h"

struct Shared {
  volatile int sent, received, stop, wrong_order;
};
static Shared* shared;

static void on_signal(int, siginfo_t* info, void*) {
  if (info->si_value.sival_int != shared->received) shared->wrong_order = 1;
  shared->received = shared->received + 1;
}

int main() {
  shared =
      static_cast<Shared*>(mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  struct sigaction action = {};
  action.sa_sigaction = on_signal;
  action.sa_flags = SA_SIGINFO | SA_RESTART;
  MUST(sigaction(SIGRTMIN + 2, &action, nullptr));
  pid_t self = getpid();
  pid_t sender = spawn([&] {
    while (!get(&shared->stop)) {
      sigval value;
      value.sival_int = shared->sent;
      if (sigqueue(self, SIGRTMIN + 2, value) == 0)
        add(&shared->sent);
      else
        CHECK_EQ(errno, EAGAIN);  // the queue is full
      if (shared->sent % 16 == 0) sleep_ms(1);
    }
    return 0;
  });
  wait_until(&shared->received, 1);
  ready();
  for (int i = 0; i < steps(); i++) {
    int before = get(&shared->received);
    step();
    wait_until(&shared->received, before + 1);
    CHECK_EQ(shared->wrong_order, 0);
    note("round %d", i);
  }
  add(&shared->stop);
  CHECK_EQ(reap(sender), 0);
  wait_until(&shared->received, get(&shared->sent));
  CHECK_EQ(shared->received, shared->sent);
  CHECK_EQ(shared->wrong_order, 0);
  finish();
}
