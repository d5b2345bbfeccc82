/* setjmp and longjmp without registers.
 *
 * The pass (lower_jumps.cc) turns a call of setjmp into two stores: which activation of which function this is, and which of
 * its calls of setjmp. longjmp says where to and sets the state word; each function on the way returns at once, as when a
 * thread is saved, until the one whose activation it is goes on behind its setjmp. So a jmp_buf is ordinary memory and moves. */
/* These do return, to say that there is a jump; the header promises that they don't. */
#define longjmp declared_longjmp
#define _longjmp declared_also_longjmp
#define siglongjmp declared_siglongjmp
#include <setjmp.h>
#undef longjmp
#undef _longjmp
#undef siglongjmp
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "abi.h"

/* Where a jump goes to: the pass reads it. */
_Thread_local struct {
  unsigned long activation, site;
  int value;
} godwit_jump;

/* A number that no other activation has, in this program's whole life; 0 is none's. */
unsigned long __godwit_new_activation(void) {
  static unsigned long last;
  return __atomic_add_fetch(&last, 1, __ATOMIC_RELAXED);
}

/* sigsetjmp's second argument. */
void __godwit_keep_mask(sigjmp_buf buffer, int keep) {
  buffer->__fl = keep != 0;
  if (keep) pthread_sigmask(SIG_SETMASK, 0, (sigset_t*)buffer->__ss);
}

__attribute__((noinline)) void longjmp(jmp_buf buffer, int value) {
  godwit_jump.activation = buffer->__jb[0];
  godwit_jump.site = buffer->__jb[1];
  godwit_jump.value = value ? value : 1;
  __godwit_state = GODWIT_JUMPING;
}

void _longjmp(jmp_buf buffer, int value) { longjmp(buffer, value); }

void siglongjmp(sigjmp_buf buffer, int value) {
  if (buffer->__fl) pthread_sigmask(SIG_SETMASK, (const sigset_t*)buffer->__ss, 0);
  longjmp(buffer, value);
}

static void say(const char* text, size_t size) {
  while (size > 0) {
    ssize_t written = write(2, text, size);
    if (written <= 0) return;
    text += written;
    size -= (size_t)written;
  }
}

/* An exception that nobody catches, in a program without the C++ library: libcxx has the one that calls std::terminate. */
weak void __godwit_uncaught(void) {}

/* Called at the bottom of a thread's stack, where an exception or a jump has come to that nobody wanted. */
void __godwit_left_all(void) {
  static const char text[] = "longjmp to a function that has returned\n";
  uint32_t state = __godwit_state;
  __godwit_state = GODWIT_RUNNING;
  if (state == GODWIT_THROWING)
    __godwit_uncaught();
  else
    say(text, sizeof text - 1);
  abort();
}
