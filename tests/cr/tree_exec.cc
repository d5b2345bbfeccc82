// cr: children that fork and exec themselves over and over, and chains of exec that keep their pid
#include <sys/prctl.h>

#include "util/step.h"

// A link of the chain: execs itself `left` more times, then exits with a number that depends on all links.
static int link_of_chain(char** argv) {
  int left = atoi(argv[2]), sum = atoi(argv[3]), pid = atoi(argv[4]);
  if (getpid() != pid) return 255;
  if (left == 0) return sum % 251;
  char next_left[16], next_sum[16];
  snprintf(next_left, sizeof next_left, "%d", left - 1);
  snprintf(next_sum, sizeof next_sum, "%d", (sum * 3 + left) % 100000);
  char* const next[] = {argv[0], argv[1], next_left, next_sum, argv[4], nullptr};
  execv("/proc/self/exe", next);
  return 254;
}

static pid_t start_chain(char* self, int links, int seed) {
  return spawn([&] {
    char left[16], sum[16], pid[16], word[] = "chain";
    snprintf(left, sizeof left, "%d", links);
    snprintf(sum, sizeof sum, "%d", seed);
    snprintf(pid, sizeof pid, "%d", getpid());
    char* const next[] = {self, word, left, sum, pid, nullptr};
    execv("/proc/self/exe", next);
    return 253;
  });
}

static int expected(int links, int sum) {
  for (; links > 0; links--) sum = (sum * 3 + links) % 100000;
  return sum % 251;
}

int main(int argc, char** argv) {
  if (argc == 5 && !strcmp(argv[1], "chain")) return link_of_chain(argv);
  ready();
  for (int i = 0; i < steps(); i++) {
    pid_t children[3];
    for (int c = 0; c < 3; c++) children[c] = start_chain(argv[0], 4 + c, i * 10 + c);
    step();
    for (int c = 0; c < 3; c++) CHECK_EQ(reap(children[c]), expected(4 + c, i * 10 + c));
    note("round %d: three chains", i);
  }
  finish();
}
