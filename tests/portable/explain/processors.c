// Code for one processor that never comes to bitcode.
#include <immintrin.h>  // expect: error processor-header
#include <stdio.h>
#ifndef __godwit__
#include <arm_neon.h>
#endif

int counter(void) {
  int low;
  __asm__("rdtsc" : "=a"(low) : : "edx");  // expect: error assembly
  return low;
}

int sum(void) {
  return __builtin_ia32_rdpmc(0);  // expect: error processor-builtin
}

#if defined(__x86_64__) || defined(__aarch64__)  // expect: warning processor-branch
int wide = 1;
#else
int wide = 0;
#endif

#ifdef __godwit__
int vectors = 0;
#elif defined(__AVX2__)  // expect: warning processor-branch
int vectors = 8;
#endif

#ifdef __godwit__
int own = 1;
#else
#ifdef __SSE2__
int own = 2;
#endif
#endif

#if defined(__x86_64__) && !defined(__godwit__)
int guarded;
#endif

/* #ifdef __x86_64__ in a comment */
const char* text =
    "\
#ifdef __x86_64__";
