// A loop around a switch: a machine with registers that looks for prime numbers by division.
#include "../kernel.h"

#define LIMIT 30000

enum op { MOVE, ADD, SUB, MUL, REST, LESS, IS_ZERO, JUMP_IF, JUMP_IF_NOT, JUMP, PRINT, END };
struct instruction {
  uint8_t op, a, b, c;
  int32_t value;
};

static int limit;
static int64_t total;

static void prepare(void) { limit = scaled(LIMIT); }
static void fill(void) { total = 0; }

// r0 = number, r1 = divisor, r2 = scratch, r3 = limit, r4 = 1, r5 = 2
static struct instruction program[] = {
    {MOVE, 4, 0, 0, 1},         //  0
    {MOVE, 5, 0, 0, 2},         //  1
    {MOVE, 0, 0, 0, 3},         //  2
    {LESS, 2, 0, 3, 0},         //  3  while number < limit
    {JUMP_IF_NOT, 2, 0, 0, 17}, //  4
    {MOVE, 1, 0, 0, 3},         //  5
    {MUL, 2, 1, 1, 0},          //  6  while divisor * divisor <= number
    {LESS, 2, 0, 2, 0},         //  7
    {JUMP_IF, 2, 0, 0, 13},     //  8
    {REST, 2, 0, 1, 0},         //  9
    {JUMP_IF_NOT, 2, 0, 0, 15}, // 10
    {ADD, 1, 1, 5, 0},          // 11
    {JUMP, 0, 0, 0, 6},         // 12
    {PRINT, 0, 0, 0, 0},        // 13
    {JUMP, 0, 0, 0, 15},        // 14
    {ADD, 0, 0, 5, 0},          // 15
    {JUMP, 0, 0, 0, 3},         // 16
    {END, 0, 0, 0, 0},          // 17
};

static void run(const struct instruction* code, int64_t* r) {
  for (const struct instruction* at = code;;) {
    const struct instruction i = *at++;
    switch (i.op) {
      case MOVE: r[i.a] = i.value; break;
      case ADD: r[i.a] = r[i.b] + r[i.c]; break;
      case SUB: r[i.a] = r[i.b] - r[i.c]; break;
      case MUL: r[i.a] = r[i.b] * r[i.c]; break;
      case REST: r[i.a] = r[i.b] % r[i.c]; break;
      case LESS: r[i.a] = r[i.b] < r[i.c]; break;
      case IS_ZERO: r[i.a] = r[i.b] == 0; break;
      case JUMP_IF:
        if (r[i.a]) at = code + i.value;
        break;
      case JUMP_IF_NOT:
        if (!r[i.a]) at = code + i.value;
        break;
      case JUMP: at = code + i.value; break;
      case PRINT: total += r[i.a]; break;
      case END: return;
    }
  }
}

static void work(void) {
  for (int round = 0; round < 150; ++round) {
    int64_t registers[8] = {0, 0, 0, limit, 0, 0, 0, 0};
    run(program, registers);
  }
}
static double sum(void) { return (double)total; }
