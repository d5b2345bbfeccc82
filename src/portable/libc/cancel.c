/* pthread_cancel, instead of musl's.
 *
 * The problem: a thread that is cancelled has to leave a blocking system call, but not one that has already had an effect. musl
 * compares the program counter of the interrupted thread with two labels around the system call instruction. Neutral code has
 * neither labels nor a program counter.
 *
 * The idea: the signal's handler does nothing, and isn't SA_RESTART. A call that was blocked returns EINTR, which by itself says
 * that there was no effect; the wrapper of cancellation points then looks at the flag. A thread that has disabled cancellation
 * isn't signalled, so it sees no EINTR of ours.
 *
 * The limit: a cancellation that arrives after the look at the flag and before the kernel has put the thread to sleep is
 * noticed only at the next cancellation point, or when the call returns. musl closes that gap with its labels; here the runtime could, which
 * knows whether it has entered the kernel. TODO(someday) */
#include <errno.h>
#include <string.h>

#include "pthread_impl.h"
#include "syscall.h"

long __cancel(void);
long __syscall_cp_c(syscall_arg_t n, syscall_arg_t a, syscall_arg_t b, syscall_arg_t c, syscall_arg_t d,
                    syscall_arg_t e, syscall_arg_t f);

hidden long __cancel(void) {
  struct pthread* self = __pthread_self();
  if (self->canceldisable == PTHREAD_CANCEL_ENABLE || self->cancelasync) pthread_exit(PTHREAD_CANCELED);
  /* PTHREAD_CANCEL_MASKED, musl's own: the call fails, once. */
  self->canceldisable = PTHREAD_CANCEL_DISABLE;
  return -ECANCELED;
}

/* A system call that is a cancellation point. close() never is cancelled once it was begun: its descriptor is gone even when it
 * says EINTR. */
hidden long __syscall_cp_c(syscall_arg_t n, syscall_arg_t a, syscall_arg_t b, syscall_arg_t c, syscall_arg_t d,
                           syscall_arg_t e, syscall_arg_t f) {
  struct pthread* self = __pthread_self();
  int disabled = self->canceldisable;
  if (disabled && (disabled == PTHREAD_CANCEL_DISABLE || n == SYS_close)) return __syscall(n, a, b, c, d, e, f);
  if (self->cancel) return __cancel();
  long result = __syscall(n, a, b, c, d, e, f);
  if (result == -EINTR && n != SYS_close && self->cancel && self->canceldisable != PTHREAD_CANCEL_DISABLE)
    return __cancel();
  return result;
}

void __testcancel(void) {
  struct pthread* self = __pthread_self();
  if (self->cancel && !self->canceldisable) __cancel();
}

static void handle(int signal) {
  struct pthread* self = __pthread_self();
  (void)signal;
  a_barrier();
  if (self->cancel && self->cancelasync && self->canceldisable != PTHREAD_CANCEL_DISABLE) __cancel();
}

int pthread_cancel(pthread_t thread) {
  static volatile int handled;
  if (!handled) {
    struct sigaction action = {.sa_handler = handle};
    memset(&action.sa_mask, -1, _NSIG / 8);
    __libc_sigaction(SIGCANCEL, &action, 0);
    handled = 1;
  }
  a_store(&thread->cancel, 1);
  if (thread->canceldisable == PTHREAD_CANCEL_DISABLE) return 0;
  if (thread != __pthread_self()) return pthread_kill(thread, SIGCANCEL);
  if (thread->canceldisable == PTHREAD_CANCEL_ENABLE && thread->cancelasync) pthread_exit(PTHREAD_CANCELED);
  return 0;
}
