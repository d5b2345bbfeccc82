/* Functions of long double, binary128 here, for which musl calls those of double: exponential, logarithm, power, hyperbolic.
 *
 * All of them are made of two: e^r - 1 for a small r, by its series, and log(1 + x), by one step of Halley's method from the
 * logarithm of double, whose error of 2^-52 becomes one of 2^-156. The rest is taking arguments apart so that nothing is lost.
 * Results are right to a few units in the last place; of powl and where e^x is large a few thousand (30 digits).
 *
 * erfl, lgammal and tgammal stay musl's: 16 digits. */
#include <math.h>

static const long double kLn2High = 0x1.62e42fefa39ef35793c7673p-1L; /* its product with an exponent is exact */
static const long double kLn2Low = 0x1.f97b57a079a193394c5b16c5068cp-103L;
static const long double kLn2 = 0x1.62e42fefa39ef35793c7673007e6p-1L;
static const long double kLog2E = 0x1.71547652b82fe1777d0ffda0d23ap+0L;
static const long double kLog10E = 0x1.bcb7b1526e50e32a6ab7555f5a68p-2L;

/* e^r - 1, |r| < 0.4: of r / 32 by the series, then (1 + p)^2 - 1 five times. */
static long double small_expm1(long double r) {
  const long double x = r * 0x1p-5L;
  long double p = 0;
  for (int n = 16; n > 1; n--) p = (p + 1) * x / n;
  p = (p + 1) * x;
  for (int i = 0; i < 5; i++) p = p * (2 + p);
  return p;
}

/* x = k ln 2 + what is returned, which is small. */
static long double without_ln2(long double x, int* k) {
  const long double n = rintl(x * kLog2E);
  *k = (int)n;
  return x - n * kLn2High - n * kLn2Low;
}

long double expl(long double x) {
  if (isnan(x)) return x;
  if (x > 11357) return HUGE_VALL;
  if (x < -11514) return 0;
  int k;
  const long double p = small_expm1(without_ln2(x, &k));
  return scalbnl(1 + p, k);
}

long double expm1l(long double x) {
  if (isnan(x) || x == 0) return x;
  if (x > 11357) return HUGE_VALL;
  if (x < -80) return -1;
  if (fabsl(x) < 0.35L) return small_expm1(x);
  int k;
  const long double p = small_expm1(without_ln2(x, &k));
  if (k > 120) return scalbnl(1 + p, k);
  return scalbnl(p, k) + (scalbnl(1, k) - 1);
}

/* log(1 + x), |x| < 0.5. */
static long double small_log1p(long double x) {
  if (fabsl(x) < 0x1p-120L) return x;
  const long double near = log1p((double)x);
  const long double p = small_expm1(near);
  return near + 2 * (x - p) / (2 + x + p);
}

/* x = m 2^k with m between sqrt(1/2) and sqrt(2): log(m). x is positive and finite. */
static long double log_of_rest(long double x, int* k) {
  long double m = frexpl(x, k);
  if (m < 0x1.6a09e667f3bcdp-1L) {
    m *= 2;
    --*k;
  }
  return small_log1p(m - 1);
}

/* Where a logarithm needs no computing. */
static int is_special(long double x, long double* result) {
  if (x > 0 && !isinf(x)) return 0;
  *result = x == 0 ? -HUGE_VALL : x > 0 || isnan(x) ? x : NAN;
  return 1;
}

long double logl(long double x) {
  long double result;
  if (is_special(x, &result)) return result;
  int k;
  const long double rest = log_of_rest(x, &k);
  return k * kLn2High + (rest + k * kLn2Low);
}

long double log2l(long double x) {
  long double result;
  if (is_special(x, &result)) return result;
  int k;
  const long double rest = log_of_rest(x, &k);
  return k + rest * kLog2E;
}

long double log10l(long double x) {
  const long double near = logl(x) * kLog10E;
  const long double whole = rintl(near); /* powers of ten have whole logarithms */
  return fabsl(near) < 4933 && near != whole && fabsl(near - whole) < 0x1p-100L * fabsl(whole) ? whole : near;
}

long double log1pl(long double x) {
  if (fabsl(x) < 0.35L) return small_log1p(x);
  return logl(1 + x);
}

static int is_whole(long double y) { return y == floorl(y); }

static long double by_squaring(long double x, unsigned n) {
  long double result = 1;
  for (; n; n >>= 1, x *= x) {
    if (n & 1) result *= x;
  }
  return result;
}

/* |x|^y of finite numbers that aren't zero. */
static long double power(long double x, long double y) {
  if (is_whole(y) && fabsl(y) <= 64) {
    const long double p = by_squaring(x, (unsigned)fabsl(y));
    if (y > 0) return p;
    if (isfinite(p) && p >= 0x1p-16000L) return 1 / p;
  }
  int k;
  const long double rest = log_of_rest(x, &k) * kLog2E;
  const long double estimate = y * (k + rest);
  if (estimate > 16385) return HUGE_VALL;
  if (estimate < -16500) return 0;
  const long double whole = rintl(estimate);
  const long double high = y * k;
  const long double left = (high - whole) + (fmal(y, k, -high) + y * rest);
  return scalbnl(1 + small_expm1(left * kLn2), (int)whole);
}

long double powl(long double x, long double y) {
  if (y == 0 || x == 1) return 1;
  if (isnan(x) || isnan(y)) return x + y;
  const int odd = is_whole(y) && fmodl(y, 2) != 0;
  const long double sign = odd && signbit(x) ? -1 : 1;
  if (isinf(y)) return fabsl(x) == 1 ? 1 : (fabsl(x) > 1) == (y > 0) ? HUGE_VALL : 0;
  if (x == 0 || isinf(x)) return sign * ((x == 0) == (y > 0) ? 0 : HUGE_VALL);
  if (x < 0 && !is_whole(y)) return NAN;
  return sign * power(fabsl(x), y);
}

long double sinhl(long double x) {
  const long double a = fabsl(x);
  if (!(a > 0)) return x;
  if (a > 100) {
    const long double half = expl(a / 2);
    return copysignl(half / 2 * half, x);
  }
  const long double t = expm1l(a);
  return copysignl((t + t / (t + 1)) / 2, x);
}

long double coshl(long double x) {
  const long double a = fabsl(x);
  if (a > 100) {
    const long double half = expl(a / 2);
    return half / 2 * half;
  }
  const long double t = expl(a);
  return (t + 1 / t) / 2;
}

long double tanhl(long double x) {
  const long double a = fabsl(x);
  if (!(a > 0)) return x;
  if (a > 45) return copysignl(1, x);
  const long double t = expm1l(2 * a);
  return copysignl(t / (t + 2), x);
}

long double asinhl(long double x) {
  const long double a = fabsl(x);
  if (!(a > 0x1p-60L)) return x;
  if (a > 0x1p60L) return copysignl(logl(a) + kLn2, x);
  return copysignl(log1pl(a + a * a / (1 + sqrtl(1 + a * a))), x);
}

long double acoshl(long double x) {
  if (x < 1) return NAN;
  if (x > 0x1p60L) return logl(x) + kLn2;
  const long double t = x - 1;
  return log1pl(t + sqrtl(2 * t + t * t));
}
