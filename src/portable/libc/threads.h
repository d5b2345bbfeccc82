/* Between start.c and thread.c. */
#ifndef GODWIT_PORTABLE_LIBC_THREADS_H
#define GODWIT_PORTABLE_LIBC_THREADS_H

#include <features.h>

/* Gives the first thread its struct pthread and its thread-local variables. */
hidden void __godwit_first_thread(void);

#endif
