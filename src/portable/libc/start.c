/* How a portable program begins: what musl's crt1.o, __libc_start_main and __init_tls do for a native one.
 *
 * Nothing of an ELF program is there: no auxiliary vector, no program headers, no init_array. What musl would learn from them
 * is known beforehand (the page size), described by the link step (`godwit_program`: the thread-local variables) or its
 * business (`__godwit_constructors`).
 *
 * This is ordinary neutral code and is instrumented like the rest. A thread that is moved comes back into __godwit_main or
 * __godwit_thread with kRestoring and is led to the call it was in; nothing here is done twice.
 *
 * start.c is a module of its own, start.bc: the link takes of libc.bc only what is referred to, and to these two functions
 * only the runtime refers. */
#include <elf.h>
#include <stdlib.h>
#include <unistd.h>

#include "libc.h"
#include "pthread_impl.h"
#include "syscall.h"
#include "threads.h"

int main(int, char**, char**);

/* Runs the constructors of C and C++ in their order. Defined by the link step, from llvm.global_ctors. */
void __godwit_constructors(void);

/* What getauxval() and the allocator may ask for. The kernel's own vector says where the native program lies. */
static size_t auxv[] = {AT_PAGESZ, GODWIT_PAGE, AT_CLKTCK, 100, AT_SECURE, 0, AT_EXECFN, 0, AT_RANDOM, 0, AT_NULL, 0};
enum { kExecfn = 7, kRandomTag = 8, kRandom = 9 };
static unsigned char random_bytes[16];

static void name_program(char* path) {
  __progname = __progname_full = path;
  for (char* p = path; *p; p++) {
    if (*p == '/') __progname = p + 1;
  }
}

static void set_up(char** argv, char** envp) {
  static char nameless[] = "";
  char* path = argv[0] ? argv[0] : nameless;
  __environ = envp;
  name_program(path);
  auxv[kExecfn] = (size_t)path;
  auxv[kRandom] = (size_t)random_bytes;
  /* Without random numbers there is no AT_RANDOM; musl then makes do with an address. */
  if (__syscall(SYS_getrandom, random_bytes, sizeof random_bytes, 0) != sizeof random_bytes) auxv[kRandomTag] = AT_NULL;
  libc.auxv = auxv;
  libc.page_size = GODWIT_PAGE;
  __godwit_first_thread();
  __init_ssp(auxv[kRandomTag] == AT_NULL ? 0 : random_bytes);
}

int __godwit_main(int argc, char** argv, char** envp) {
  set_up(argv, envp);
  __godwit_constructors();
  exit(main(argc, argv, envp));
}

void __godwit_thread(int (*fn)(void*), void* arg) {
  /* musl's thread functions don't return, they end in pthread_exit; but this is the place to be sure. */
  int status = fn(arg);
  for (;;) __syscall(SYS_exit, status);
}
