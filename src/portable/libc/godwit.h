/* What a program may say to Godwit: to godwit cc, and to rescheduling. godwit_progress() is for every program. The rest is nothing
 * for other compilers than godwit cc, so a program can be compiled by both: #include <godwit.h> where __godwit__ is defined, or
 * with a copy of this file beside it. There is no library to link. */
#ifndef GODWIT_H
#define GODWIT_H

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A place where a thread may stop for a move, besides those that godwit cc finds: in a long stretch of code without loops, or in a
 * loop that has no point (-fgodwit-report tells which). Costs a look at one word. */
#ifdef __godwit__
void __godwit_adaptation_point(void) __attribute__((__nothrow__)); /* NOLINT(bugprone-reserved-identifier) */
static inline __attribute__((__always_inline__, __unused__)) void godwit_adaptation_point(void) {
  __godwit_adaptation_point();
}
#else
static inline void godwit_adaptation_point(void) {}
#endif

/* Before a function: leave it as it is, inline assembly and all. No thread is ever stopped in it, so it may call only what
 * can't stop: no system calls, nothing with an adaptation point, nothing through a pointer. Its assembly must be right for each
 * target that the program is compiled for (--targets). */
#ifdef __godwit__
#define GODWIT_ALLOW __attribute__((annotate("godwit::allow")))
#else
#define GODWIT_ALLOW
#endif

/* How far the program is: `done` of `total`, in whatever measure it likes. Rescheduling reads it (godwit run --progress file:PATH,
 * which puts PATH into GODWIT_PROGRESS); without that variable the call does nothing. Call it as often as you like: of the calls
 * within 10 ms of the last one that was written only an end (done >= total) is written, the others cost a look at the clock.
 * Any thread may call it, one writes while the others go on; not for signal handlers.
 *
 * The file is replaced by rename(), so a reader and a move see the old words or the new ones, never half of them. It is opened
 * anew each time: a descriptor that is kept could be another file's after a program closed all it had. Numbers are written as
 * integers, because a locale may write fractions with a comma. */
static __inline__ __attribute__((__unused__)) void godwit_progress(double done, double total) {
  static int off, writer; /* writer: the process that is at it; one forked meanwhile is another */
  static unsigned long last_ms; /* wraps, which the difference doesn't mind */
  unsigned long ms = 0;
  const char* path;
  char temporary[4096];
  FILE* file;
  int self, before = 0, length;
  if (__atomic_load_n(&off, __ATOMIC_RELAXED)) return;
  if (!(total > 0) || !(done >= 0) || !(total - total == 0)) return; /* not numbers, or infinite */
  if (done > total) done = total;
#ifdef TIME_UTC /* C11, C++17; before them every call is written */
  struct timespec now;
  if (timespec_get(&now, TIME_UTC)) ms = (unsigned long)now.tv_sec * 1000 + (unsigned long)now.tv_nsec / 1000000;
  if (done < total && ms - __atomic_load_n(&last_ms, __ATOMIC_RELAXED) < 10) return;
#endif
  path = getenv("GODWIT_PROGRESS");
  if (!path || !*path) {
    __atomic_store_n(&off, 1, __ATOMIC_RELAXED);
    return;
  }
  self = (int)getpid();
  if (!__atomic_compare_exchange_n(&writer, &before, self, 0, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED) &&
      (before == self || !__atomic_compare_exchange_n(&writer, &before, self, 0, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)))
    return;
  /* One name for each process and each file that includes this: they don't know of each other. */
  length = snprintf(temporary, sizeof temporary, "%s.%d.%lx", path, self, (unsigned long)(size_t)&writer);
  file = length > 0 && (size_t)length < sizeof temporary ? fopen(temporary, "we") : NULL;
  if (file) {
    const int whole = total < 9e15 && done == (double)(long long)done && total == (double)(long long)total;
    int good = whole ? fprintf(file, "%lld %lld\n", (long long)done, (long long)total) > 0
                     : fprintf(file, "%lld 1000000000\n", (long long)(done / total * 1e9)) > 0;
    good = fclose(file) == 0 && good; /* a full disk shows here */
    if (!good || rename(temporary, path) != 0) (void)remove(temporary);
  }
  __atomic_store_n(&last_ms, ms, __ATOMIC_RELAXED);
  __atomic_store_n(&writer, 0, __ATOMIC_RELEASE);
}

#ifdef __cplusplus
}
#endif
#endif
