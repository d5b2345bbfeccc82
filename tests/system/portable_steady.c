/* portable_steady MARK MEGABYTES: steady.cc as a program for every architecture. Writes the lines of steady.h, one each 3 ms, to
 * standard output and to the file `log` in its directory, until SIGTERM; then it compares the file with what it should hold
 * and ends with 0. A full disk is no reason to end: it waits until there is room. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { kTouched = 64 };
static volatile sig_atomic_t end;
static void on_term(int signal) {
  (void)signal;
  end = 1;
}
static const struct timespec kPause = {0, 3000000};

static uint64_t *words, state = 0x9e3779b97f4a7c15, hash, count;
static size_t size;
static uint64_t next_random(void) {
  state ^= state << 13, state ^= state >> 7, state ^= state << 17;
  return state;
}
static int next_line(char* line, size_t room) {
  for (int i = 0; i < kTouched; i++) {
    uint64_t* w = &words[next_random() % size];
    *w += hash ^ next_random();
    hash = (hash ^ *w) * 0x100000001b3;
  }
  return snprintf(line, room, "%llu %llu\n", (unsigned long long)count++, (unsigned long long)hash);
}

static void write_all(int fd, const char* text, size_t length) {
  while (length > 0) {
    const ssize_t n = write(fd, text, length);
    if (n > 0) text += n, length -= (size_t)n;
    if (n > 0 || errno == EINTR) continue;
    if (errno != ENOSPC) _exit(8);
    nanosleep(&kPause, NULL);
  }
}

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  size = ((size_t)atoi(argv[2]) << 20) / sizeof *words;
  words = malloc(size * sizeof *words);
  for (size_t i = 0; i < size; i++) words[i] = next_random();
  struct sigaction action = {.sa_handler = on_term};
  sigaction(SIGTERM, &action, NULL);
  const int log = open("log", O_RDWR | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0644);
  if (log < 0) return 3;
  char *all = NULL, line[64];
  size_t used = 0, room = 0;
  while (!end) {
    const size_t length = (size_t)next_line(line, sizeof line);
    if (used + length > room) all = realloc(all, room = 2 * room + 4096);
    memcpy(all + used, line, length);
    used += length;
    write_all(1, line, length);
    write_all(log, line, length);
    nanosleep(&kPause, NULL);
  }
  char* found = malloc(used + 1);
  const ssize_t n = pread(log, found, used + 1, 0);
  if (n < 0) return 4;
  return (size_t)n == used && memcmp(found, all, used) == 0 ? 0 : 9;
}
