/* Threads: what musl has in assembly or takes from the ELF program.
 *
 * A thread's block, as abi.h has it:
 *
 *     low                                                            high
 *     | stack of the arena, grows upwards -> | args | slack | thread-local | struct pthread | slack | tsd |
 *     ^ what __godwit_clone gets                                            ^ the thread pointer
 *
 * musl's pthread_create makes it for a stack that grows downwards: it puts the new thread's arguments at the high end and the
 * guard page at the low end. Ours grows upwards from the guard, so an overflow runs into the arguments, the variables and
 * struct pthread instead of the guard. `args` is read before the thread uses its stack at all. TODO(someday): a guard page above
 * the stack needs a pthread_create of our own. */
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>

#include "libc.h"
#include "pthread_impl.h"
#include "syscall.h"
#include "threads.h"

extern hidden volatile int __thread_list_lock;
volatile int __thread_list_lock;

/* What a __cxa_atexit is told that stands in the program itself: there are no other objects. */
hidden void* __dso_handle = &__dso_handle;

/* exit() asks for this after the functions that were registered. Destructors are among those (neutral-flags). */
hidden void __libc_exit_fini(void) {}

/* Enough for struct pthread, and for the thread-local variables. */
static size_t block_align(void) { return godwit_program.tls_align > 16 ? godwit_program.tls_align : 16; }

/* Called for each new thread with libc.tls_size zeroed bytes, which the block's place must be found in. */
void* __copy_tls(unsigned char* memory) {
  size_t mask = block_align() - 1;
  unsigned char* tp = (unsigned char*)(((uintptr_t)memory + godwit_program.tls_size + mask) & ~mask);
  /* No dtv: the pass turns a thread-local variable into the thread pointer and an offset. */
  memcpy(tp - godwit_program.tls_size, (void*)godwit_program.tls_image, godwit_program.tls_size);
  return tp;
}

/* A thread that serves one timer after the other (SIGEV_THREAD) begins each time with fresh variables. */
void __reset_tls(void) {
  memcpy(__godwit_tp - godwit_program.tls_size, (void*)godwit_program.tls_image, godwit_program.tls_size);
}

int __set_thread_area(void* tp) {
  __godwit_tp = tp;
  return 0;
}

void __godwit_first_thread(void) {
  libc.tls_align = block_align();
  libc.tls_size = godwit_program.tls_size + sizeof(struct pthread) + libc.tls_align - 1;
  /* Mapped like every other thread's: in the arena, not among the globals, which have fixed places. */
  long memory = __syscall(SYS_mmap, 0, libc.tls_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if ((unsigned long)memory > -4096UL) a_crash();
  struct pthread* self = __copy_tls((unsigned char*)memory);
  __set_thread_area(self);
  self->self = self->next = self->prev = self;
  self->detach_state = DT_JOINABLE;
  self->tid = __syscall(SYS_set_tid_address, &__thread_list_lock);
  self->locale = &libc.global_locale;
  self->robust_list.head = &self->robust_list.head;
  libc.can_do_threads = 1;
}

/* `stack` is where musl wants a stack that grows downwards to begin. */
int __clone(int (*fn)(void*), void* stack, int flags, void* arg, ...) {
  /* posix_spawn, and with it system() and popen(), wants a child that borrows this memory until it calls exec, and
   * continues on another stack of the same process. A child is a process of the kernel's, outside of this runtime and without
   * a state word; it would have to be a native function. ENOSYS says so; fork() and exec work. */
  if (!(flags & CLONE_THREAD)) return -ENOSYS;
  va_list more;
  va_start(more, arg);
  int* ptid = va_arg(more, int*);
  struct pthread* thread = va_arg(more, void*);
  int* ctid = va_arg(more, int*);
  va_end(more);
  char* low = (char*)(((uintptr_t)thread->stack - thread->stack_size + 15) & ~(uintptr_t)15);
  return (int)__godwit_clone(fn, low, (uint64_t)((char*)stack - low), arg, ptid, thread, ctid);
}

/* A detached thread ends and gives back its own block. Natively this takes assembly, for the stack vanishes under its feet; here
 * only what is address-taken lies there, and nothing from here on is. */
_Noreturn void __unmapself(void* base, size_t size) {
  __syscall(SYS_munmap, base, size);
  for (;;) __syscall(SYS_exit, 0);
}
