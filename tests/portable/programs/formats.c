// Numbers as text: printf of floating-point numbers, all conversions and precisions, against what glibc writes. Halves that are rounded
// to even, the largest and the smallest numbers, powers of two and of ten and their neighbours, random bits.
#include <float.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t seed = 88172645463325252u, hash = 14695981039346656037u;
static uint64_t next(void) {
  seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
  return seed;
}
static void add(const char* text) {
  for (; *text; text++) hash = (hash ^ (unsigned char)*text) * 1099511628211u;
}

static void all_ways(double x) {
  static const char* const formats[] = {"%f",   "%.0f",  "%.1f",  "%.2f",    "%.3f",     "%.10f", "%.40f",
                                        "%e",   "%.0e",  "%.3e",  "%.15e",   "%g",       "%.17g", "%.3g",
                                        "%#g",  "%+.1f", "% e",   "%010.2f", "%-14.3fx", "%G",    "%.1e",
                                        "%.9f", "%.18f", "%#.0f", "%.25e",   "%E",       "%F"};
  char text[512];
  for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
    snprintf(text, sizeof text, formats[i], x);
    add(text);
    snprintf(text, sizeof text, formats[i], -x);
    add(text);
  }
  add("\n");
}

int main(void) {
  static const double some[] = {0,
                                1,
                                0.5,
                                1.5,
                                2.5,
                                0.125,
                                0.375,
                                1e9,
                                999999999.5,
                                9.5,
                                0.05,
                                1e-5,
                                123456,
                                9.9995,
                                DBL_MAX,
                                DBL_MIN,
                                DBL_EPSILON,
                                4.9406564584124654e-324,
                                1e100,
                                1e-100,
                                5e-324,
                                1.0 / 3,
                                100000,
                                0.0001,
                                0.00001234,
                                1e15,
                                1e16,
                                1e17,
                                1e22,
                                1e23,
                                4503599627370496.5,
                                9007199254740993.0,
                                INFINITY,
                                NAN};
  for (size_t i = 0; i < sizeof some / sizeof *some; i++) {
    all_ways(fabs(some[i]));
    printf("%.3f %g %.17g %e %a\n", some[i], some[i], some[i], some[i], isfinite(some[i]) ? 1.0 : some[i]);
  }
  for (int exponent = -1074; exponent < 1024; exponent += 7) {
    const double power = ldexp(1, exponent);
    all_ways(power), all_ways(nextafter(power, 0)), all_ways(nextafter(power, INFINITY));
    if (exponent % 49 == 0) printf("%.30g\n", power);
  }
  for (int i = 0; i < 400; i++) {
    const uint64_t bits = next() >> 1;
    double x;
    memcpy(&x, &bits, sizeof x);
    if (isfinite(x)) all_ways(x);
    all_ways((double)(next() % 100000000) / 1000);
    all_ways((double)(next() % 2000) / 16);
  }
  printf("%016llx\n", (unsigned long long)hash);
  // A long double has other bits here than there, but a number that a double holds too is written alike.
  printf("%Lf %.3Le %Lg %.0Lf\n", 2.5L, 1e10L, 1e-7L * 0 + 0.375L, 1e18L);
  return 0;
}
