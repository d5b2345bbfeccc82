# musl's vfprintf.c without soft float in printf of a double: see digits.h. `build` counts the lines that are replaced here.
1i #include "libc/digits.h"
s/^\ty = frexpl(y, &e2) \* 2;$/\ty = normal(y, \&e2); \/\/ replaced/
s/^\tif (y) e2--;$/\t\/\/ replaced/
s/^\tif (y) y \*= 0x1p28, e2-=28;$/\tif (!is_zero(y)) e2-=28; \/\/ replaced/
s/^\t\t\*z = y;$/\t\tz = first_digits(y, z); \/\/ replaced/
s/^\t\ty = 1000000000\*(y-\*z++);$/\t\ty = 0; \/\/ replaced/
# Rounding is probed by an addition; it needs an even and an odd number and what is a half to them, in whatever precision.
s/^\t\t\tlong double round = 2\/LDBL_EPSILON;$/\t\t\tdouble round = 2\/DBL_EPSILON; \/\/ replaced/
s/^\t\t\tlong double small;$/\t\t\tdouble small; \/\/ replaced/
