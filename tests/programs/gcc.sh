# what: gcc compiling a large file with optimisation (driver, cc1 and as as a process tree)
# needs: gcc
# files: big.o
setup() {
  awk 'BEGIN { for (i = 0; i < 1300; i++) { printf "int f%d(int x, int *p) { int s = %d; for (int i = 0; i < x; i++) { s = s * 31 + p[i %% 7] * %d; if (s %% %d == 3) s ^= p[i & 3]; switch (s & 7) { case 0: s += 5; break; case 1: s -= p[2]; break; case 5: s *= 3; break; default: s ^= i; } } return s; }\n", i, i * 7, i + 3, i % 13 + 2 } }' > big.c
}
work() {
  gcc -O2 -ftree-vectorize -c big.c -o big.o
  sha256sum big.o
}
