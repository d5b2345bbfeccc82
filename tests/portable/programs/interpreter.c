// Interpreters: one program run by a switch and by labels as values, with code that stops inside of instructions; irreducible
// loops, Duff's device, switches over wide and sparse values.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "step.h"

enum { PUSH, ADD, SUB, MUL, DUP, SWAP, JNZ, CALL, RET, PRINT, STEP, LOAD, STORE, HALT };
static const int program[] = {PUSH,         0,   STORE, 0,    PUSH, 60,  STORE, 1,  // sum = 0; n = 60
                              /* 8 */ LOAD, 0,   LOAD,  1,    CALL, 30,  ADD,   STORE, 0,  // sum += f(n)
                              LOAD,         1,   PUSH,  1,    SUB,  DUP, STORE, 1,     JNZ, 8,
                              LOAD,         0,   PRINT, HALT,  // while (--n)
                              /* 30 */ DUP, MUL, STEP,  ADD,  RET};

struct machine {
  long stack[32], memory[4];
  int returns[16];
};

__attribute__((noinline)) static long by_switch(struct machine* m, const int* code) {
  long* sp = m->stack;
  int *rp = m->returns, pc = 0;
  long executed = 0;
  for (;;) {
    executed++;
    switch (code[pc++]) {
      case PUSH: *sp++ = code[pc++]; break;
      case ADD: sp--, sp[-1] += sp[0]; break;
      case SUB: sp--, sp[-1] -= sp[0]; break;
      case MUL: sp--, sp[-1] *= sp[0]; break;
      case DUP: sp[0] = sp[-1], sp++; break;
      case JNZ: pc = *--sp ? code[pc] : pc + 1; break;
      case CALL: *rp++ = pc + 1, pc = code[pc]; break;
      case RET: pc = *--rp; break;
      case PRINT: printf("switch %ld\n", *--sp); break;
      case STEP: *sp++ = step(); break;
      case LOAD: *sp++ = m->memory[code[pc++]]; break;
      case STORE: m->memory[code[pc++]] = *--sp; break;
      case HALT: return executed;
      default: abort();
    }
  }
}

__attribute__((noinline)) static long by_label(struct machine* m, const int* code) {
  static const void* const labels[] = {&&push, &&add, &&sub,   &&mul,  &&dup,  &&bad,   &&jnz,
                                       &&call, &&ret, &&print, &&stop, &&load, &&store, &&halt};
  static const int distances[] = {&&push - &&push, &&halt - &&push};
  void* last = &&halt;
  long* sp = m->stack;
  int *rp = m->returns, pc = 0;
  long executed = distances[0];
#define NEXT goto* labels[executed++, code[pc++]]
  NEXT;
push:
  *sp++ = code[pc++];
  NEXT;
add:
  sp--, sp[-1] += sp[0];
  NEXT;
sub:
  sp--, sp[-1] -= sp[0];
  NEXT;
mul:
  sp--, sp[-1] *= sp[0];
  NEXT;
dup:
  sp[0] = sp[-1], sp++;
  NEXT;
jnz:
  pc = *--sp ? code[pc] : pc + 1;
  NEXT;
call:
  *rp++ = pc + 1, pc = code[pc];
  NEXT;
ret:
  pc = *--rp;
  NEXT;
print:
  printf("label %ld\n", *--sp);
  NEXT;
stop:
  *sp++ = step();
  NEXT;
load:
  *sp++ = m->memory[code[pc++]];
  NEXT;
store:
  m->memory[code[pc++]] = *--sp;
  NEXT;
bad:
  abort();
halt:
  if (last == NULL || last != labels[HALT]) return -1;
  return executed + (&&push + distances[1] == last);
}

// A loop with two ways in.
__attribute__((noinline)) static int irreducible(int n, int way) {
  int s = 0;
  if (way) goto middle;
top:
  s += n + step();
middle:
  s ^= n * 3;
  if (--n > 0) {
    if (n % 7 == 3) goto top;
    s += step();
    if (s & 1) goto middle;
    goto top;
  }
  return s;
}
__attribute__((noinline)) static unsigned duff(const unsigned char* from, int count) {
  unsigned s = 0;
  int n = (count + 7) / 8;
  switch (count % 8) {
    case 0: do { s = s * 3 + *from++;
        case 7: s = s * 3 + *from++;
        case 6: s = s * 3 + *from++ + (unsigned)step();
        case 5: s = s * 3 + *from++;
        case 4: s = s * 3 + *from++;
        case 3: s = s * 3 + *from++ + (unsigned)step();
        case 2: s = s * 3 + *from++;
        case 1: s = s * 3 + *from++;
      } while (--n > 0);
  }
  return s;
}
__attribute__((noinline)) static int sparse(uint64_t v) {
  switch (v) {
    case 0: return step();
    case 1 ... 9: return 2 + step();
    case 0x123456789abcdef0: return 3;
    case UINT64_MAX: return 4 * step();
    case 1u << 31: return 5;
    case 100: step(); /* fall through */
    case 101: return 6;
    default: return (int)(v % 11) + step();
  }
}

int main(void) {
  static struct machine a, b;
  printf("%ld\n", by_switch(&a, program));
  printf("%ld\n", by_label(&b, program));
  printf("%d %d\n", irreducible(200, 0), irreducible(201, 1));
  unsigned char bytes[100];
  for (int i = 0; i < 100; i++) bytes[i] = (unsigned char)(i * i);
  for (int i = 1; i < 20; i++) printf("%u ", duff(bytes, i * 5));
  static const uint64_t values[] = {0, 5, 9, 10, 0x123456789abcdef0, UINT64_MAX, 1u << 31, 100, 101, 1ull << 40};
  for (unsigned i = 0; i < sizeof values / sizeof *values; i++) printf("%d ", sparse(values[i]));
  printf("\n");
  return 0;
}
