/* What a program may say to godwit cc. For any other compiler everything here is nothing, so a program can be compiled by both:
 * #include <godwit.h> where __godwit__ is defined, or with a copy of this file beside it. */
#ifndef GODWIT_H
#define GODWIT_H

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

#ifdef __cplusplus
}
#endif
#endif
