// What godwit cc refuses.
#include <setjmp.h>
#include <ucontext.h>
#include <unistd.h>

#define BARRIER() __asm__ volatile("" ::: "memory")
#define PAUSE() __asm__ volatile("pause")

void spin(volatile int* flag) {
  while (*flag) PAUSE();  // expect: error assembly
}

void wait_for(volatile int* flag) {
  BARRIER();
  *flag = 0;
}

int start(void) { return vfork(); }  // expect: error vfork

void change(ucontext_t* to) {
  setcontext(to);  // expect: error contexts
}

static int (*next)(int);
__attribute__((noinline)) int tail(int n) {
  __attribute__((musttail)) return next(n - 1);  // expect: error tail-call
}
__attribute__((noinline)) int last(int n) { return n ? tail(n) + last(n - 2) : 0; }

int main(int argc, char** argv) {
  next = argv[0] ? last : tail;
  return last(argc);
}
