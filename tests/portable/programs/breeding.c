// Threads that make threads all the time: wherever they stop, those that go on first make new ones while others aren't there yet.
// Flags: -pthread
// Every: 40
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "step.h"

enum { kParents = 24, kChildren = 12 };

static atomic_int lived;

static void* child(void* number) {
  step();
  atomic_fetch_add(&lived, 1);
  return number;
}

static void* parent(void* argument) {
  const long number = (long)argument;
  long sum = 0;
  for (long i = 0; i < kChildren; i++) {
    pthread_t thread;
    void* result = NULL;
    if (pthread_create(&thread, NULL, child, (void*)(number * 100 + i))) exit(3);
    step();
    if (pthread_join(thread, &result)) exit(4);
    sum += (long)result;
  }
  return (void*)sum;
}

int main(void) {
  pthread_t threads[kParents];
  for (long i = 0; i < kParents; i++)
    if (pthread_create(&threads[i], NULL, parent, (void*)i)) return 2;
  for (int i = 0; i < kParents; i++) {
    void* sum = NULL;
    pthread_join(threads[i], &sum);
    printf("%d: %ld\n", i, (long)sum);
  }
  printf("%d children\n", atomic_load(&lived));
  return 0;
}
