/* One rounding mode, and no exception flags: they would be a state of the native processor that doesn't travel, and the
 * instrumented program's optimizer doesn't know of them anyway. A program that wants more fails to compile. */
#define FE_ALL_EXCEPT 0
#define FE_TONEAREST 0

typedef unsigned long fexcept_t;

typedef struct {
  unsigned long __unused;
} fenv_t;

#define FE_DFL_ENV ((const fenv_t*)-1)
