/* The outer planets and the Sun for some thousand years, by a symplectic integrator. Floating point to the last digit: a move to a
 * CPU of another architecture must not change one bit of it.
 *
 * usage: planets REPORTS        a line each 20000 steps of two hours
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { kBodies = 5, kStepsPerReport = 20000 };

struct body {
  const char* name;
  double mass, x[3], v[3]; /* solar masses times 4 pi squared; astronomical units; per year */
};

#define YEAR 365.24
#define SUN (4 * 3.141592653589793 * 3.141592653589793)
static struct body bodies[kBodies] = {
    {"Sun", SUN, {0}, {0}},
    {"Jupiter",
     9.54791938424326609e-04 * SUN,
     {4.84143144246472090e+00, -1.16032004402742839e+00, -1.03622044471123109e-01},
     {1.66007664274403694e-03 * YEAR, 7.69901118419740425e-03 * YEAR, -6.90460016972063023e-05 * YEAR}},
    {"Saturn",
     2.85885980666130812e-04 * SUN,
     {8.34336671824457987e+00, 4.12479856412430479e+00, -4.03523417114321381e-01},
     {-2.76742510726411e-03 * YEAR, 4.99852801234917238e-03 * YEAR, 2.30417297573763929e-05 * YEAR}},
    {"Uranus",
     4.36624404335156298e-05 * SUN,
     {1.28943695621391310e+01, -1.51111514016986312e+01, -2.23307578892655734e-01},
     {2.96460137564761618e-03 * YEAR, 2.37847173959480950e-03 * YEAR, -2.96589568540237556e-05 * YEAR}},
    {"Neptune",
     5.15138902046611451e-05 * SUN,
     {1.53796971148509165e+01, -2.59193146099879641e+01, 1.79258772950371181e-01},
     {2.68067772490389322e-03 * YEAR, 1.62824170038242295e-03 * YEAR, -9.51592254519715870e-05 * YEAR}},
};

static void pull(struct body* a, struct body* b, double dt) {
  double d[3], square = 0;
  for (int k = 0; k < 3; k++) d[k] = a->x[k] - b->x[k], square += d[k] * d[k];
  const double strength = dt / (square * sqrt(square));
  for (int k = 0; k < 3; k++) {
    a->v[k] -= d[k] * b->mass * strength;
    b->v[k] += d[k] * a->mass * strength;
  }
}

static void step(double dt) {
  for (int i = 0; i < kBodies; i++)
    for (int j = i + 1; j < kBodies; j++) pull(&bodies[i], &bodies[j], dt);
  for (int i = 0; i < kBodies; i++)
    for (int k = 0; k < 3; k++) bodies[i].x[k] += dt * bodies[i].v[k];
}

static double energy(void) {
  double sum = 0;
  for (int i = 0; i < kBodies; i++) {
    for (int k = 0; k < 3; k++) sum += 0.5 * bodies[i].mass * bodies[i].v[k] * bodies[i].v[k];
    for (int j = i + 1; j < kBodies; j++) {
      double square = 0;
      for (int k = 0; k < 3; k++) square += (bodies[i].x[k] - bodies[j].x[k]) * (bodies[i].x[k] - bodies[j].x[k]);
      sum -= bodies[i].mass * bodies[j].mass / sqrt(square);
    }
  }
  return sum;
}

int main(int argc, char** argv) {
  const int reports = argc > 1 ? atoi(argv[1]) : 10;
  const double dt = 2 / 24.0 / YEAR;
  for (int k = 0; k < 3; k++) { /* the whole stands still */
    double momentum = 0;
    for (int i = 1; i < kBodies; i++) momentum += bodies[i].v[k] * bodies[i].mass;
    bodies[0].v[k] = -momentum / bodies[0].mass;
  }
  for (int n = 1; n <= reports; n++) {
    for (int i = 0; i < kStepsPerReport; i++) step(dt);
    const struct body* b = &bodies[1 + n % (kBodies - 1)];
    printf("year %.1f: energy %.17g; %s at %.17g %.17g %.17g\n", n * kStepsPerReport * dt, energy(), b->name, b->x[0],
           b->x[1], b->x[2]);
    fflush(stdout);
  }
  return 0;
}
