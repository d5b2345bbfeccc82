// Bodies that attract each other.
#include <math.h>

#include "../kernel.h"

#define BODIES 5
#define STEPS 8000000

struct body {
  double x, y, z, vx, vy, vz, mass;
};

static int steps;
static struct body bodies[BODIES];

static void prepare(void) { steps = scaled(STEPS); }

static void fill(void) {
  for (int i = 0; i < BODIES; ++i)
    bodies[i] = (struct body){i * 3.1, i * 1.7 - 2, i * 0.3, 0.1 * i, 0.3 - 0.1 * i, 0.01 * i, i ? 0.01 * i : 40};
}

static void advance(struct body* all, double dt) {
  for (int i = 0; i < BODIES; ++i) {
    struct body* a = &all[i];
    for (int j = i + 1; j < BODIES; ++j) {
      struct body* b = &all[j];
      const double dx = a->x - b->x, dy = a->y - b->y, dz = a->z - b->z;
      const double square = dx * dx + dy * dy + dz * dz;
      const double pull = dt / (square * sqrt(square));
      a->vx -= dx * b->mass * pull;
      a->vy -= dy * b->mass * pull;
      a->vz -= dz * b->mass * pull;
      b->vx += dx * a->mass * pull;
      b->vy += dy * a->mass * pull;
      b->vz += dz * a->mass * pull;
    }
  }
  for (int i = 0; i < BODIES; ++i) {
    all[i].x += dt * all[i].vx;
    all[i].y += dt * all[i].vy;
    all[i].z += dt * all[i].vz;
  }
}

static void work(void) {
  for (int step = 0; step < steps; ++step) advance(bodies, 0.001);
}

static double sum(void) {
  double total = 0;
  for (int i = 0; i < BODIES; ++i) total += bodies[i].x + 2 * bodies[i].y + 3 * bodies[i].vz;
  return total;
}
