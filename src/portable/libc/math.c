/* Functions of the math library that are one instruction on every processor we lower for, and whose results IEEE 754 fixes to
 * the last bit. Only those: `floor` or `fma` as an intrinsic becomes a call of a native library function where the processor
 * lacks the instruction, so musl's portable code computes them.
 *
 * Compiled with -fno-math-errno, else __builtin_sqrt would be a call of sqrt, which is this function. */
#include <math.h>

double roundeven(double);
float roundevenf(float);
long double roundevenl(long double);

double sqrt(double x) { return __builtin_sqrt(x); }

float sqrtf(float x) { return __builtin_sqrtf(x); }

double fabs(double x) { return __builtin_fabs(x); }

float fabsf(float x) { return __builtin_fabsf(x); }

double copysign(double x, double y) { return __builtin_copysign(x, y); }

float copysignf(float x, float y) { return __builtin_copysignf(x, y); }

/* There is one rounding mode, and it rounds ties to even numbers. musl doesn't have these; compilers have them as builtins. */
double roundeven(double x) { return rint(x); }

float roundevenf(float x) { return rintf(x); }

long double roundevenl(long double x) { return rintl(x); }
