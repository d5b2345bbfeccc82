// Numerical kernels whose last digit must agree: n-body, FFT, conjugate gradients, a Mandelbrot set, a sieve.
#include <complex.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

struct body {
  double p[3], v[3], m;
};
static void advance(struct body* b, int n, double dt) {
  for (int i = 0; i < n; i++)
    for (int j = i + 1; j < n; j++) {
      double d[3], q = 0;
      for (int k = 0; k < 3; k++) d[k] = b[i].p[k] - b[j].p[k], q += d[k] * d[k];
      const double mag = dt / (q * sqrt(q));
      for (int k = 0; k < 3; k++) b[i].v[k] -= d[k] * b[j].m * mag, b[j].v[k] += d[k] * b[i].m * mag;
    }
  for (int i = 0; i < n; i++)
    for (int k = 0; k < 3; k++) b[i].p[k] += dt * b[i].v[k];
}
static void fft(double complex* a, int n, int sign) {
  if (n == 1) return;
  double complex* t = malloc((size_t)n * sizeof *t);
  for (int i = 0; i < n / 2; i++) t[i] = a[2 * i], t[n / 2 + i] = a[2 * i + 1];
  fft(t, n / 2, sign);
  fft(t + n / 2, n / 2, sign);
  for (int i = 0; i < n / 2; i++) {
    const double complex w = cexp(sign * 2 * M_PI * I * i / n) * t[n / 2 + i];
    a[i] = t[i] + w;
    a[n / 2 + i] = t[i] - w;
  }
  free(t);
}
static double conjugate_gradients(int n) {
  double *x = calloc((size_t)n, 8), *r = malloc((size_t)n * 8), *p = malloc((size_t)n * 8), *q = malloc((size_t)n * 8),
         rr = 0;
  for (int i = 0; i < n; i++) r[i] = p[i] = sin(i), rr += r[i] * r[i];
  for (int it = 0; it < 50 && rr > 1e-20; it++) {
    double pq = 0, next = 0;
    for (int i = 0; i < n; i++) {
      q[i] = 4 * p[i] - (i ? p[i - 1] : 0) - (i + 1 < n ? p[i + 1] : 0);
      pq += p[i] * q[i];
    }
    const double alpha = rr / pq;
    for (int i = 0; i < n; i++) x[i] += alpha * p[i], r[i] -= alpha * q[i], next += r[i] * r[i];
    for (int i = 0; i < n; i++) p[i] = r[i] + next / rr * p[i];
    rr = next;
  }
  double s = 0;
  for (int i = 0; i < n; i++) s += x[i];
  free(x), free(r), free(p), free(q);
  return s;
}
static long mandelbrot(int w) {
  long inside = 0;
  for (int y = 0; y < w; y++)
    for (int x = 0; x < w; x++) {
      double zr = 0, zi = 0;
      const double cr = 3.0 * x / w - 2, ci = 2.0 * y / w - 1;
      int k = 0;
      while (k < 60 && zr * zr + zi * zi < 4) {
        const double t = zr * zr - zi * zi + cr;
        zi = 2 * zr * zi + ci;
        zr = t;
        k++;
      }
      inside += k;
    }
  return inside;
}
static int primes(int n) {
  char* composite = calloc((size_t)n + 1, 1);
  int count = 0;
  for (int i = 2; i <= n; i++) {
    if (composite[i]) continue;
    count++;
    for (long j = (long)i * i; j <= n; j += i) composite[j] = 1;
  }
  free(composite);
  return count;
}
int main(void) {
  struct body b[5];
  for (int i = 0; i < 5; i++)
    b[i] =
        (struct body){{cos(i) * (i + 1), sin(i) * (i + 1), i * 0.1}, {-sin(i) * 0.3, cos(i) * 0.3, 0}, 1.0 / (1 + i)};
  for (int round = 0; round < 6; round++) {
    for (int s = 0; s < 100; s++) advance(b, 5, 0.001);
    printf("bodies %.15g %.15g\n", b[0].p[0], b[4].v[1]);
    enum { N = 256 };
    double complex a[N];
    for (int i = 0; i < N; i++) a[i] = sin(i * 0.1 * (round + 1)) + I * cos(i);
    fft(a, N, 1);
    printf("fft %.12g %.12g\n", creal(a[3]), cimag(a[200]));
    printf("cg %.12g\n", conjugate_gradients(200 + round));
    printf("mandelbrot %ld primes %d\n", mandelbrot(40 + round), primes(3000 + round * 100));
  }
  return 0;
}
