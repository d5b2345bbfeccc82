// Edges of a picture by Deriche's recursive filter: rows both ways, then columns both ways
#include <math.h>

#include "../kernel.h"

#define W 2000
#define H 1200
#define ROUNDS 6

static int w, h;
static float (*in)[H], (*out)[H], (*forth)[H], (*back)[H];

static void prepare(void) {
  w = scaled(W);
  h = scaled(H);
  in = room(sizeof(float[W][H]));
  out = room(sizeof(float[W][H]));
  forth = room(sizeof(float[W][H]));
  back = room(sizeof(float[W][H]));
}

static void fill(void) {
  for (int i = 0; i < w; ++i)
    for (int j = 0; j < h; ++j) in[i][j] = (float)((313 * i + 991 * j) % 65536) / 65535.0f;
}

static void deriche(int width, int height, float alpha, float from[][H], float to[][H], float one[][H],
                    float two[][H]) {
  const float decay = expf(-alpha);
  const float k = (1 - decay) * (1 - decay) / (1 + 2 * alpha * decay - expf(2 * alpha));
  const float a1 = k, a2 = k * decay * (alpha - 1), a3 = k * decay * (alpha + 1), a4 = -k * expf(-2 * alpha);
  const float b1 = powf(2, -alpha), b2 = -expf(-2 * alpha);
  for (int i = 0; i < width; ++i) {
    float before = 0, last = 0, earlier = 0;
    for (int j = 0; j < height; ++j) {
      one[i][j] = a1 * from[i][j] + a2 * before + b1 * last + b2 * earlier;
      before = from[i][j];
      earlier = last;
      last = one[i][j];
    }
  }
  for (int i = 0; i < width; ++i) {
    float x1 = 0, x2 = 0, last = 0, earlier = 0;
    for (int j = height - 1; j >= 0; --j) {
      two[i][j] = a3 * x1 + a4 * x2 + b1 * last + b2 * earlier;
      x2 = x1;
      x1 = from[i][j];
      earlier = last;
      last = two[i][j];
    }
  }
  for (int i = 0; i < width; ++i)
    for (int j = 0; j < height; ++j) to[i][j] = one[i][j] + two[i][j];
  for (int j = 0; j < height; ++j) {
    float before = 0, last = 0, earlier = 0;
    for (int i = 0; i < width; ++i) {
      one[i][j] = a1 * to[i][j] + a2 * before + b1 * last + b2 * earlier;
      before = to[i][j];
      earlier = last;
      last = one[i][j];
    }
  }
  for (int j = 0; j < height; ++j) {
    float x1 = 0, x2 = 0, last = 0, earlier = 0;
    for (int i = width - 1; i >= 0; --i) {
      two[i][j] = a3 * x1 + a4 * x2 + b1 * last + b2 * earlier;
      x2 = x1;
      x1 = to[i][j];
      earlier = last;
      last = two[i][j];
    }
  }
  for (int i = 0; i < width; ++i)
    for (int j = 0; j < height; ++j) to[i][j] = one[i][j] + two[i][j];
}

static void work(void) {
  for (int round = 0; round < ROUNDS; ++round) deriche(w, h, 0.25f, in, out, forth, back);
}
static double sum(void) {
  double total = 0;
  for (int i = 0; i < w; ++i)
    for (int j = 0; j < h; ++j) total += out[i][j] * (j % 7 + 1);
  return total;
}
