/* dlopen and its kin fail, and say why: a portable program has no dynamic symbols, and a library on one machine isn't on the next. */
#include <dlfcn.h>

#include "dynlink.h"

static int failed;

hidden void __dl_seterr(const char* format, ...) { failed = 1; }

char* dlerror(void) {
  static char text[] = "a portable program can't load libraries";
  if (!failed) return 0;
  failed = 0;
  return text;
}

hidden int __dl_invalid_handle(void* handle) { return failed = 1; }
