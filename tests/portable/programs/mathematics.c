// Compared with itself: the digits are the C library's own, and long double has 113 bits.
// All functions of <math.h>, in three precisions, called directly and through a pointer: a direct call may become an instruction or what
// the back end makes of an intrinsic. Both must give the same bits, and the three precisions nearly the same number.
#define _GNU_SOURCE
#include <math.h>
#include <stdio.h>
#include <string.h>

static int wrong;

/* Bits, but for NaNs, whose signs IEEE 754 leaves open. */
static int same(long double a, long double b) { return (isnan(a) && isnan(b)) || (a == b && signbit(a) == signbit(b)); }

/* How far precisions may be apart: where a function is steep, a float's argument alone makes more of a difference. */
static int near(long double a, long double b, long double most) {
  if (same(a, b)) return 1;
  if (!isfinite(a) || !isfinite(b)) return 0;
  return fabsl(a - b) <= most * (1 + fabsl(a) + fabsl(b));
}

static void show(const char* name, float f, double d, long double l, float fp, double dp, long double lp) {
  printf("%s %a %a %La\n", name, isnan(f) ? NAN : f, isnan(d) ? NAN : d, isnan(l) ? (long double)NAN : l);
  if (!same(f, fp) || !same(d, dp) || !same(l, lp)) {
    printf("WRONG %s through a pointer: %a %a %La\n", name, fp, dp, lp);
    wrong++;
  }
  if (fabsl(l) < 1e38L && fabsl(l) > 1e-37L && (!near(d, l, 1e-13L) || !near(f, l, 2e-5L))) {
    printf("WRONG %s: the precisions are apart\n", name);
    wrong++;
  }
}

/* Arguments of which each is a float, so that all precisions get the same. */
#define ONE(name, x)                                                                                               \
  show(#name, name##f(x), name((double)(x)), name##l((long double)(x)), VIA2(name##f)(x), VIA2(name)((double)(x)), \
       VIA2(name##l)((long double)(x)))
#define TWO(name, x, y)                                                                                   \
  show(#name, name##f(x, y), name((double)(x), (double)(y)), name##l((long double)(x), (long double)(y)), \
       VIA2(name##f)(x, y), VIA2(name)((double)(x), (double)(y)), VIA2(name##l)((long double)(x), (long double)(y)))
#define WITH_INT(name, x, n)                                                                          \
  show(#name, name##f(x, n), name((double)(x), n), name##l((long double)(x), n), VIA2(name##f)(x, n), \
       VIA2(name)((double)(x), n), VIA2(name##l)((long double)(x), n))
#define VIA2(f)                          \
  ({                                     \
    __typeof__(f)* volatile pointer = f; \
    pointer;                             \
  })

/* What is exact, with what it has to be. */
static void is(const char* text, long double found, long double wanted) {
  if (same(found, wanted)) return;
  printf("WRONG %s: %La\n", text, found);
  wrong++;
}
#define IS(expression, wanted) is(#expression, expression, wanted)

static volatile float inputs[] = {0.0f,  -0.0f,      0.5f,       -0.5f,    1.0f,      -1.0f,  1.5f,   2.5f,
                                  -2.5f, 3.5f,       0.1f,       -0.3f,    7.25f,     -13.5f, 100.0f, 1e-20f,
                                  1e20f, 8388609.0f, 4194304.5f, INFINITY, -INFINITY, NAN};
enum { kInputs = sizeof inputs / sizeof inputs[0] };

static void of_one(float x) {
  printf("x = %a\n", isnan(x) ? NAN : x);
  ONE(acos, x), ONE(acosh, x), ONE(asin, x), ONE(asinh, x), ONE(atan, x), ONE(atanh, x), ONE(cbrt, x), ONE(ceil, x);
  ONE(cos, x), ONE(cosh, x), ONE(erf, x), ONE(erfc, x), ONE(exp, x), ONE(exp2, x), ONE(expm1, x), ONE(fabs, x);
  ONE(floor, x), ONE(lgamma, x), ONE(log, x), ONE(log10, x), ONE(log1p, x), ONE(log2, x), ONE(logb, x),
      ONE(nearbyint, x);
  ONE(rint, x), ONE(round, x), ONE(sin, x), ONE(sinh, x), ONE(sqrt, x), ONE(tan, x), ONE(tanh, x), ONE(tgamma, x);
  ONE(trunc, x), ONE(exp10, x);
#ifdef __godwit__
  ONE(pow10, x);
#endif
  show("roundeven", __builtin_roundevenf(x), __builtin_roundeven(x), __builtin_roundevenl(x), rintf(x), rint(x),
       rintl(x));
}

static void to_integers(float x) {
  if (!(fabsf(x) < 1e9f)) return;
  const double d = x;
  const long double l = x;
  printf("%d %d %d", ilogbf(x), ilogb(d), ilogbl(l));
  printf(" %ld %ld %ld %ld %ld %ld", lrintf(x), lrint(d), lrintl(l), lroundf(x), lround(d), lroundl(l));
  printf(" %lld %lld %lld %lld %lld %lld\n", llrintf(x), llrint(d), llrintl(l), llroundf(x), llround(d), llroundl(l));
  IS(lrintl(l), rintl(l) + 0.0L), IS(lroundl(l), roundl(l) + 0.0L), IS(lrint(d), rint(d) + 0.0),
      IS(llroundf(x), roundf(x) + 0.0f);
  int exponents[3], signs[3], quotients[3];
  float whole_f;
  double whole_d;
  long double whole_l;
  show("frexp", frexpf(x, exponents), frexp(d, exponents + 1), frexpl(l, exponents + 2), frexpf(x, exponents),
       frexp(d, exponents + 1), frexpl(l, exponents + 2));
  IS(ldexpl(frexpl(l, exponents), exponents[0]), l), IS(ldexp(frexp(d, exponents), exponents[0]), d);
  show("modf", modff(x, &whole_f), modf(d, &whole_d), modfl(l, &whole_l), modff(x, &whole_f), modf(d, &whole_d),
       modfl(l, &whole_l));
  IS(whole_f, truncf(x)), IS(whole_d, trunc(d)), IS(whole_l, truncl(l));
  show("remquo", remquof(x, 0.7f, quotients), remquo(d, 0.7f, quotients + 1), remquol(l, 0.7f, quotients + 2),
       remquof(x, 0.7f, quotients), remquo(d, 0.7f, quotients + 1), remquol(l, 0.7f, quotients + 2));
  show("lgamma_r", lgammaf_r(x, signs), lgamma_r(d, signs + 1), lgammal_r(l, signs + 2), lgammaf_r(x, signs),
       lgamma_r(d, signs + 1), lgammal_r(l, signs + 2));
  printf("%d %d %d %d %d %d\n", signs[0], signs[1], signs[2], quotients[0] & 7, quotients[1] & 7, quotients[2] & 7);
  float sine_f, cosine_f;
  double sine, cosine;
  long double sine_l, cosine_l;
  sincosf(x, &sine_f, &cosine_f), sincos(d, &sine, &cosine), sincosl(l, &sine_l, &cosine_l);
  IS(sine_f, sinf(x)), IS(cosine, cos(d)), IS(sine_l, sinl(l)), IS(cosine_l, cosl(l));
}

static void of_two(float x, float y) {
  TWO(atan2, x, y), TWO(copysign, x, y), TWO(fdim, x, y), TWO(fmax, x, y), TWO(fmin, x, y), TWO(fmod, x, y);
  TWO(hypot, x, y), TWO(pow, x, y), TWO(remainder, x, y);
  printf("%a %a %La %a %a\n", nextafterf(x, y), nextafter(x, y), nextafterl(x, y), nexttowardf(x, y), nexttoward(x, y));
  show("fma", fmaf(x, y, 0.25f), fma(x, y, 0.25), fmal(x, y, 0.25L), VIA2(fmaf)(x, y, 0.25f), VIA2(fma)(x, y, 0.25),
       VIA2(fmal)(x, y, 0.25L));
  printf("%d%d%d%d%d%d\n", isgreater(x, y), isgreaterequal(x, y), isless(x, y), islessequal(x, y), islessgreater(x, y),
         isunordered(x, y));
}

static void of_the_rest(float x) {
  const double d = x;
  const long double l = x;
  for (int n = -3; n < 4; n += 3) {
    WITH_INT(ldexp, x, n), WITH_INT(scalbn, x, n), WITH_INT(scalbln, x, n);
    printf("%a %a %a %a\n", jn(n, d), fabsf(x) < 50 ? jnf(n, x) : 0, x > 0 ? yn(n, d) : 0,
           x > 0 && x < 50 ? ynf(n, x) : 0);
  }
  printf("%a %a %a %a\n", j0(d), j0f(x), j1(d), j1f(x));
  if (x > 0) printf("%a %a %a %a\n", y0(d), y0f(x), y1(d), y1f(x));
  if (isfinite(x)) printf("%a %a\n", drem(d, 3), dremf(x, 3));
  if (!isnan(x)) printf("%a %a %a %a\n", scalb(d, 2), scalbf(x, 2), significand(d), significandf(x));
  printf("%d %d %d %d %d %d %d %d\n", fpclassify(x), fpclassify(d), fpclassify(l), isnormal(x), isfinite(l),
         isinf(l) != 0, isnan(d) != 0, finite(d) + finitef(x));
}

static void exact(void) {
  volatile long double half = 0.5L, big = 9007199254740993.0L, third = 1 / 3.0L, tie = 2.5L;
  volatile double d = 2.5, e = 2251799813685249.5;
  IS(floorl(tie), 2), IS(floorl(-tie), -3), IS(ceill(tie), 3), IS(ceill(-tie), -2), IS(truncl(-tie), -2),
      IS(roundl(tie), 3);
  IS(roundl(-tie), -3), IS(rintl(tie), 2), IS(nearbyintl(-tie), -2), IS(__builtin_roundevenl(tie + 1), 4);
  IS(floorl(big + half), big), IS(ceill(big + half), big + 1), IS(rintl(big + half), big + 1),
      IS(truncl(-big - half), -big);
  IS(floor(d), 2), IS(ceil(-d), -2), IS(trunc(-d), -2), IS(round(d), 3), IS(rint(d), 2), IS(nearbyint(-d), -2);
  IS(__builtin_roundeven(d), 2), IS(floor(e), 2251799813685249.0), IS(rint(e), 2251799813685250.0);
  IS(ceill(-half), -0.0L), IS(truncl(-half), -0.0L), IS(roundl(-half), -1), IS(rintl(-half), -0.0L);
  IS(fmal(third, 3, -1) != 0, 1), IS(sqrtl(tie * tie), tie), IS(fmaxl(-0.0L, 0.0L), 0.0L),
      IS(fminl(0.0L, -0.0L), -0.0L);
  IS(fmodl(7.5L * half, tie), 1.25L), IS(remainderl(tie * 2, half * 6), -1), IS(copysignl(tie, -0.0L), -2.5L);
  IS(nan("1") == nan("1") || nanf("") == nanf("") || nanl("") == nanl(""), 0);
  IS(powl(2, 100), 0x1p100L), IS(cbrtl(27), 3), IS(hypotl(3, 4), 5), IS(exp2l(-16000), 0x1p-16000L);
#ifdef __godwit__ /* more digits than x87's have */
  volatile long double euler = 2.71828182845904523536028747135266249775724709369995L, two = 2, ten = 10, tiny = 1e-30L;
  IS(fabsl(expl(1) - euler) < 0x1p-109L, 1), IS(fabsl(logl(euler) - 1) < 0x1p-110L, 1),
      IS(fabsl(expl(logl(ten)) - 10) < 0x1p-106L, 1);
  IS(fabsl(logl(two) - 0.693147180559945309417232121458176568075500134360255254L) < 0x1p-111L, 1);
  IS(log2l(0x1p-16400L), -16400), IS(log10l(1e100L), 100), IS(powl(ten, 30), 1e30L), IS(powl(two, -16400), 0x1p-16400L);
  IS(fabsl(powl(two, 0.5L) - sqrtl(two)) < 0x1p-110L, 1), IS(powl(-two, 3), -8), IS(powl(-two, -INFINITY), 0);
  IS(fabsl(expm1l(tiny) / tiny - 1) < 0x1p-99L, 1), IS(fabsl(log1pl(tiny) / tiny - 1) < 0x1p-99L, 1);
  IS(fabsl(sinhl(ten) - (expl(ten) - expl(-ten)) / 2) < 0x1p-95L, 1), IS(fabsl(asinhl(sinhl(two)) - 2) < 0x1p-108L, 1);
  IS(fabsl(acoshl(coshl(two)) - 2) < 0x1p-107L, 1), IS(fabsl(atanhl(tanhl(0.5L)) - 0.5L) < 0x1p-108L, 1);
#endif
  IS(ilogbl(0x1p-16400L), -16400), IS(logbl(0x1.8p9L), 9), IS(scalblnl(1, 16000), 0x1p16000L),
      IS(llrintl(0x1p62L + 1), (1LL << 62) + 1);
}

int main(void) {
  exact();
  for (int i = 0; i < kInputs; i++) {
    of_one(inputs[i]);
    to_integers(inputs[i]);
    of_the_rest(inputs[i]);
    for (int k = i % 3; k < kInputs; k += 3) of_two(inputs[i], inputs[k]);
  }
  printf("%d wrong, signgam %d\n", wrong, signgam);
  return wrong != 0;
}
