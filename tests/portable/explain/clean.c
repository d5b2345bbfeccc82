// Nothing hinders it.
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

static void* work(void* argument) { return argument; }
static int compare(const void* a, const void* b) { return *(const int*)a - *(const int*)b; }
static void handler(int signal) { (void)signal; }

int main(int argc, char** argv) {
  pthread_t thread;
  int numbers[3] = {3, 1, argc};
  pthread_create(&thread, 0, work, argv);
  pthread_join(thread, 0);
  signal(SIGUSR1, handler);
  qsort(numbers, 3, sizeof *numbers, compare);
  printf("%d %ld %p\n", numbers[0], (long)time(0), mmap(0, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  FILE* file = fopen(argv[0], "r");
  if (file) fclose(file);
  return 0;
}
