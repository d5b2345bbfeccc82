/* The thread pointer points to struct pthread; the thread-local variables lie below it (abi.h). musl calls this the
 * variant without TLS_ABOVE_TP. */
#include "abi.h"

static inline uintptr_t __get_tp(void) { return (uintptr_t)__godwit_tp; }

/* MC_PC isn't defined: nothing neutral may look at a program counter. See cancel.c. */
