/* Multiplication and division of complex numbers, which clang calls when the plain formula has yielded NaN + NaN·i (the product)
 * or always (the quotient). Natively they come from compiler-rt; neutral code has to have them itself, so that all architectures
 * compute the same. The recipes are C11's, annex G.5.1: an infinity with a NaN beside it still counts as infinite.
 *
 * A macro for the three precisions: the functions are equal but for type and suffix. */
#include <math.h>

/* An infinite operand is cut down to a direction of length 1, a NaN beside an infinity to a zero. */
#define BOX(s, x) x = copysign##s(isinf(x) ? 1 : 0, x)
#define UN_NAN(s, x) \
  if (isnan(x)) x = copysign##s(0, x)

#define COMPLEX(T, s, mul, div)                                                         \
  static T _Complex make##s(T re, T im) {                                               \
    T _Complex z;                                                                       \
    __real__ z = re;                                                                    \
    __imag__ z = im;                                                                    \
    return z;                                                                           \
  }                                                                                     \
                                                                                        \
  T _Complex mul(T a, T b, T c, T d) {                                                  \
    T ac = a * c, bd = b * d, ad = a * d, bc = b * c;                                   \
    T re = ac - bd, im = ad + bc;                                                       \
    if (!isnan(re) || !isnan(im)) return make##s(re, im);                               \
    int again = 0;                                                                      \
    if (isinf(a) || isinf(b)) {                                                         \
      BOX(s, a);                                                                        \
      BOX(s, b);                                                                        \
      UN_NAN(s, c);                                                                     \
      UN_NAN(s, d);                                                                     \
      again = 1;                                                                        \
    }                                                                                   \
    if (isinf(c) || isinf(d)) {                                                         \
      BOX(s, c);                                                                        \
      BOX(s, d);                                                                        \
      UN_NAN(s, a);                                                                     \
      UN_NAN(s, b);                                                                     \
      again = 1;                                                                        \
    }                                                                                   \
    if (!again && (isinf(ac) || isinf(bd) || isinf(ad) || isinf(bc))) {                 \
      UN_NAN(s, a);                                                                     \
      UN_NAN(s, b);                                                                     \
      UN_NAN(s, c);                                                                     \
      UN_NAN(s, d);                                                                     \
      again = 1;                                                                        \
    }                                                                                   \
    if (!again) return make##s(re, im);                                                 \
    return make##s((T)INFINITY * (a * c - b * d), (T)INFINITY * (a * d + b * c));       \
  }                                                                                     \
                                                                                        \
  T _Complex div(T a, T b, T c, T d) {                                                  \
    int shift = 0;                                                                      \
    T size = logb##s(fmax##s(fabs##s(c), fabs##s(d)));                                  \
    if (isfinite(size)) {                                                               \
      shift = -(int)size;                                                               \
      c = scalbn##s(c, shift);                                                          \
      d = scalbn##s(d, shift);                                                          \
    }                                                                                   \
    T denominator = c * c + d * d;                                                      \
    T re = scalbn##s((a * c + b * d) / denominator, shift);                             \
    T im = scalbn##s((b * c - a * d) / denominator, shift);                             \
    if (!isnan(re) || !isnan(im)) return make##s(re, im);                               \
    if (denominator == 0 && (!isnan(a) || !isnan(b)))                                   \
      return make##s(copysign##s((T)INFINITY, c) * a, copysign##s((T)INFINITY, c) * b); \
    if ((isinf(a) || isinf(b)) && isfinite(c) && isfinite(d)) {                         \
      BOX(s, a);                                                                        \
      BOX(s, b);                                                                        \
      return make##s((T)INFINITY * (a * c + b * d), (T)INFINITY * (b * c - a * d));     \
    }                                                                                   \
    if (isinf(size) && size > 0 && isfinite(a) && isfinite(b)) {                        \
      BOX(s, c);                                                                        \
      BOX(s, d);                                                                        \
      return make##s(0 * (a * c + b * d), 0 * (b * c - a * d));                         \
    }                                                                                   \
    return make##s(re, im);                                                             \
  }

COMPLEX(float, f, __mulsc3, __divsc3)
COMPLEX(double, , __muldc3, __divdc3)
COMPLEX(long double, l, __multc3, __divtc3)
