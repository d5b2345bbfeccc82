// The program that bench/migration moves. Knows nothing of Godwit; linked with libc only.
//
//     load BYTES RATE_MB_PER_S PROCESSES [MARK]       (MARK: a word by which the runner finds it)
//
// It fills BYTES with random words, writes to RATE MB of random pages a second (one word a page), has PROCESSES - 1
// children that sleep, and looks at two clocks every 50 µs. The largest step of a clock between two looks is the time
// for which it was stopped, as it sees it itself. "ready" is printed when all of it is set up. SIGUSR1 makes it print
//
//     gap REALTIME_MS MONOTONIC_MS CPU_SECONDS PAGES_WRITTEN
//
// and start a new maximum. REALTIME is the host's and can't be moved; MONOTONIC must hide the stop from nobody either.
// CPU_SECONDS counts on over a restore, where the kernel's own count begins again.
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

namespace {

volatile sig_atomic_t asked = 0;
void on_signal(int) { asked = 1; }

double seconds(clockid_t clock) {
  timespec t{};
  clock_gettime(clock, &t);
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) * 1e-9;
}

uint64_t random_state = 88172645463325252u;
uint64_t next_random() {
  random_state ^= random_state << 13;
  random_state ^= random_state >> 7;
  random_state ^= random_state << 17;
  return random_state;
}

void print(const char* text) {
  if (write(1, text, strlen(text)) < 0) _exit(3);
}

struct Gap {
  clockid_t clock;
  double last = 0, largest = 0;
  void look() {
    const double now = seconds(clock);
    if (last != 0 && now - last > largest) largest = now - last;
    last = now;
  }
};

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4) return 2;
  const size_t bytes = strtoull(argv[1], nullptr, 10) & ~size_t{4095};
  const double rate = atof(argv[2]) * 1e6 / 4096;  // pages a second
  const int processes = atoi(argv[3]);

  uint64_t* memory = nullptr;
  if (bytes != 0) {
    void* area = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (area == MAP_FAILED) return 3;
    memory = static_cast<uint64_t*>(area);
    for (size_t i = 0; i < bytes / 8; i++) memory[i] = next_random();
  }
  for (int i = 1; i < processes; i++) {
    if (fork() == 0) {
      for (;;) pause();
    }
  }
  struct sigaction action{};
  action.sa_handler = on_signal;
  sigaction(SIGUSR1, &action, nullptr);
  print("ready\n");

  Gap realtime{CLOCK_REALTIME}, monotonic{CLOCK_MONOTONIC};
  double cpu_before = 0, cpu_last = 0, written = 0, due = 0, then = seconds(CLOCK_MONOTONIC);
  for (;;) {
    const timespec pause{0, 50'000};
    nanosleep(&pause, nullptr);
    realtime.look();
    monotonic.look();
    const double cpu = seconds(CLOCK_PROCESS_CPUTIME_ID);
    if (cpu < cpu_last) cpu_before += cpu_last;
    cpu_last = cpu;
    if (asked) {
      asked = 0;
      char line[160];
      snprintf(line, sizeof line, "gap %.3f %.3f %.4f %.0f\n", realtime.largest * 1e3, monotonic.largest * 1e3,
               cpu_before + cpu_last, written);
      print(line);
      realtime.largest = monotonic.largest = 0;
    }
    if (rate > 0 && memory != nullptr) {
      // What a stop kept it from writing isn't made up for: the rate is that of a running program.
      due += rate * (monotonic.last - then < 0.002 ? monotonic.last - then : 0.002);
      then = monotonic.last;
      for (; due >= 1; due -= 1, written += 1) memory[next_random() % (bytes / 4096) * 512] = next_random();
    }
  }
}
