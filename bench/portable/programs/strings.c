// What programs do with text: strlen, strcmp, strchr, memcpy, strtol, snprintf, of short and of longer texts.
#include "../kernel.h"

#define N 4800000

static int n;
static uint64_t total;
static char text[4096];
static char copy[4096];

static void prepare(void) { n = scaled(N); }

static void fill(void) {
  total = 0;
  for (size_t i = 0; i < sizeof text - 1; ++i) text[i] = (char)('a' + i % 26);
}

static void work(void) {
  uint64_t state = 3;
  char line[128];
  for (int i = 0; i < n; ++i) {
    const uint32_t r = next_random(&state);
    const size_t length = r % 64 + 1;
    memcpy(copy + (r >> 8) % 1024, text + (r >> 16) % 1024, length);
    total += strlen(text + sizeof text - 1 - r % 200);
    total += (uint64_t)(strcmp(text + r % 26, text + 26 * (1 + r % 9)) < 0);
    const char* at = strchr(text + (r >> 8) % 26, 'z');
    if (at) total += (uint64_t)(at - text);
    if (i % 8 == 0) {
      snprintf(line, sizeof line, "%d %s %u %.3f", i, i % 16 ? "even" : "uneven", r % 1000, r / 7.0);
      total += strlen(line) + (uint64_t)strtol(line, 0, 10);
    }
    if (i % 64 == 0) memcpy(copy, text, sizeof text);
  }
}
static double sum(void) { return (double)total + copy[77]; }
