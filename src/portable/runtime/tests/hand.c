/* A neutral program, instrumented by hand: what the pass will make of a program, written out, so that the runtime can be
 * tested without the pass. It is compiled natively for each architecture; all that it can point to has fixed addresses.
 *
 * A function has its variables in a structure, with the number of the call site it is at. BEGIN pops it when the function is
 * re-entered and jumps to the call; CALL makes a call site; what it calls may be __godwit_poll or __godwit_syscall.
 *
 * usage: hand WHAT; each WHAT is a test, its output must not depend on moves.
 */
#include "portable/abi.h"

void* memcpy(void*, const void*, unsigned long);
void* memmove(void*, const void*, unsigned long);
void* memset(void*, int, unsigned long);
int memcmp(const void*, const void*, unsigned long);

#define BEGIN(l)                                                                   \
  char* const base = __godwit_sp;                                                  \
  (void)base;                                                                      \
  if (__godwit_state == GODWIT_RESTORING) memcpy(&(l), __godwit_pop(), sizeof(l)); \
  switch ((l).site) {                                                              \
    case 0:
#define END \
  default:; \
    }
#define ROUND(size) (((size) + 15) / 16 * 16)
#define CALL(l, number, expression)                                                                  \
  (l).site = number;                                                                                 \
  __attribute__((fallthrough));                                                                      \
  case number:                                                                                       \
    expression;                                                                                      \
    if (__godwit_state) {                                                                            \
      if (__godwit_state == GODWIT_SAVING) memcpy(__godwit_push(ROUND(sizeof(l))), &(l), sizeof(l)); \
      __godwit_sp = base;                                                                            \
      return 0;                                                                                      \
    }
#define POLL(l, number) CALL(l, number, __godwit_poll())
#define SYS(n, a, b, c, d) __godwit_syscall(n, (long)(a), (long)(b), (long)(c), (long)(d), 0, 0)

enum { kOpenat = 56, kClose = 57, kLseek = 62, kRead = 63, kWrite = 64, kFutex = 98, kNanosleep = 101, kGettid = 178 };

struct time {
  int64_t seconds, nanoseconds;
};

/* All data of the program, at GODWIT_DATA. */
static struct {
  uint64_t steps;
  uint32_t lock, ready;
  uint64_t shared, turns[8];
  uint32_t done[8];
  uint64_t handled, last_signal;
  struct {
    uint64_t handler, flags, mask;
  } action;
  char name[16], bytes[16];
  char text[256];
  char zeros[65536];
} g __attribute__((section(".godwit.data"), used, aligned(4096))) = {.steps = 1, .name = "hand.tmp"};

extern char __hand_data_start[], __hand_data_end[];
#ifndef HAND_SIGNATURE
#define HAND_SIGNATURE 1
#endif
const struct godwit_program godwit_program = {
    .magic = "GODWITP1",
    .signature = {HAND_SIGNATURE},
    .family = "lp64le",
    .name = "hand",
    .data_start = (uint64_t)__hand_data_start,
    .data_end = (uint64_t)__hand_data_end,
    .arena = GODWIT_ARENA,
    .arena_size = GODWIT_ARENA_SIZE,
};

static uint64_t mix(uint64_t value) {
  value ^= value >> 31;
  value *= UINT64_C(0x9E3779B97F4A7C15);
  return value ^ value >> 29;
}

static uint64_t length(const char* text) {
  uint64_t n = 0;
  while (text[n]) ++n;
  return n;
}

/* ---- Output: "label number\n", made in g.text because the call may be issued again elsewhere. One thread at a time. */
static uint64_t print(const char* label, uint64_t number) {
  struct {
    uint64_t site, size;
  } l = {0};
  BEGIN(l)
  for (; label[l.size]; ++l.size) g.text[l.size] = label[l.size];
  g.text[l.size++] = ' ';
  char digits[20];
  int count = 0;
  do digits[count++] = (char)('0' + number % 10);
  while (number /= 10);
  while (count) g.text[l.size++] = digits[--count];
  g.text[l.size++] = '\n';
  CALL(l, 1, SYS(kWrite, 1, g.text, l.size, 0))
  END return 0;
}

/* ---- Recursion, with a variable in the arena's stack whose address is passed on. */
static uint64_t recurse(uint64_t depth, uint64_t* above) {
  struct {
    uint64_t site, i, sum, got;
  } l = {0};
  BEGIN(l)
  END uint64_t* const own = (uint64_t*)base;
  __godwit_sp = base + 64;
  switch (l.site) {
    case 0:
      *own = depth;
      for (l.i = 0; l.i < 3; ++l.i) {
        POLL(l, 1)
        *own = mix(*own + l.i);
        *above += *own & 0xff;
        if (depth) {
          CALL(l, 2, l.got = recurse(depth - 1, own))
          l.sum += l.got;
        }
      }
  }
  __godwit_sp = base;
  return mix(l.sum + *own);
}

static uint64_t test_count(void) {
  struct {
    uint64_t site, i, got;
  } l = {0};
  BEGIN(l)
  END uint64_t* const top = (uint64_t*)base;
  __godwit_sp = base + 16;
  switch (l.site) {
    case 0:
      *top = 0;
      for (l.i = 0; l.i < 6; ++l.i) {
        CALL(l, 1, l.got = recurse(l.i, top))
        CALL(l, 2, print("recursion", l.got))
        CALL(l, 3, print("above", *top))
        g.zeros[l.i * 8192] = (char)l.i;
        if (l.i) g.zeros[(l.i - 1) * 8192] = 0;
      }
  }
  __godwit_sp = base;
  return 0;
}

/* ---- A deep stack: frames in more than one chunk. */
static uint64_t deep(uint64_t depth) {
  struct {
    uint64_t site, got;
  } l = {0};
  BEGIN(l)
  POLL(l, 1)
  if (depth) {
    CALL(l, 2, l.got = deep(depth - 1))
  }
  END return mix(l.got + depth);
}

static uint64_t test_deep(void) {
  struct {
    uint64_t site, got;
  } l = {0};
  BEGIN(l)
  CALL(l, 1, l.got = deep(20000))
  CALL(l, 2, print("deep", l.got))
  END return 0;
}

/* ---- Files: offsets go on, also shared ones. */
static uint64_t test_files(void) {
  struct {
    uint64_t site, i, sum;
    int64_t fd, twin, got, device;
  } l = {0};
  char* const byte = g.bytes;
  BEGIN(l)
  CALL(l, 1, l.fd = SYS(kOpenat, -100, g.name, 02 | 0100 | 01000, 0600))
  CALL(l, 2, l.twin = SYS(23, l.fd, 0, 0, 0))
  CALL(l, 9, l.device = SYS(kOpenat, -100, "/dev/zero", 0, 0))
  for (l.i = 0; l.i < 40; ++l.i) {
    POLL(l, 3)
    byte[0] = (char)('a' + l.i % 26);
    CALL(l, 4, l.got = SYS(kWrite, l.i & 1 ? l.fd : l.twin, byte, 1, 0))
    if (l.got != 1) return 1;
  }
  CALL(l, 5, SYS(kLseek, l.twin, 0, 0, 0))
  for (;;) {
    POLL(l, 6)
    CALL(l, 7, l.got = SYS(kRead, l.fd, byte, 1, 0))
    if (l.got != 1) break;
    l.sum = mix(l.sum + (uint64_t)byte[0]);
  }
  CALL(l, 10, l.got = SYS(kRead, l.device, byte, 4, 0))
  CALL(l, 8, print("file", l.sum + (uint64_t)l.got))
  END return 0;
}

/* ---- Memory: mmap, mprotect, mremap, munmap. */
static uint64_t test_memory(void) {
  struct {
    uint64_t site, i, sum;
    int64_t got;
    uint64_t* block[8];
  } l = {0};
  BEGIN(l)
  for (l.i = 0; l.i < 8; ++l.i) {
    CALL(l, 1, l.block[l.i] = (uint64_t*)__godwit_syscall(222, 0, (long)(l.i + 1) * 20000, 3, 0x22, -1, 0))
    l.block[l.i][l.i * 100] = mix(l.i);
    l.block[l.i][0] = l.i;
    POLL(l, 2)
  }
  for (l.i = 0; l.i < 8; l.i += 2) {
    CALL(l, 3, l.got = SYS(226, l.block[l.i], 4096, l.i % 4 ? 0 : 1, 0))
    POLL(l, 4)
    l.sum += (uint64_t)l.got;
    CALL(l, 5, l.got = SYS(215, l.block[l.i + 1], (l.i + 2) * 20000, 0, 0))
    l.sum += (uint64_t)l.got;
  }
  for (l.i = 0; l.i < 8; l.i += 2) {
    CALL(l, 6, l.got = SYS(226, l.block[l.i], 4096, 3, 0))
    CALL(l, 7, l.block[l.i] = (uint64_t*)SYS(216, l.block[l.i], (l.i + 1) * 20000, (l.i + 1) * 60000, 1))
    POLL(l, 8)
    l.sum += mix((uint64_t)l.block[l.i] + l.block[l.i][l.i * 100] + l.block[l.i][0]);
    l.block[l.i][(l.i + 1) * 7000] = 1;
  }
  CALL(l, 9, print("memory", l.sum))
  END return 0;
}

/* ---- Threads: a mutex of one futex word, sleeping in turns. */
static uint64_t lock(uint32_t* word) {
  struct {
    uint64_t site;
  } l = {0};
  BEGIN(l)
  while (__atomic_exchange_n(word, 2, __ATOMIC_SEQ_CST)) {
    CALL(l, 1, SYS(kFutex, word, 0, 2, 0))
  }
  END return 0;
}

static uint64_t unlock(uint32_t* word) {
  struct {
    uint64_t site;
  } l = {0};
  BEGIN(l)
  __atomic_store_n(word, 0, __ATOMIC_SEQ_CST);
  CALL(l, 1, SYS(kFutex, word, 1, 1, 0))
  END return 0;
}

int hand_thread(void* argument) {
  struct {
    uint64_t site, i, number, before;
  } l = {0};
  BEGIN(l)
  END struct time* const pause = (struct time*)base;
  __godwit_sp = base + 16;
  switch (l.site) {
    case 0:
      l.number = (uint64_t)argument;
      for (l.i = 0; l.i < 200; ++l.i) {
        POLL(l, 1)
        CALL(l, 2, lock(&g.lock))
        l.before = g.shared;
        POLL(l, 3)
        g.shared = l.before + l.number;
        CALL(l, 4, unlock(&g.lock))
        if (l.i % 50 == l.number) {
          *pause = (struct time){0, 30000000};
          CALL(l, 5, SYS(kNanosleep, pause, 0, 0, 0))
        }
      }
      CALL(l, 6, l.before = (uint64_t)SYS(kGettid, 0, 0, 0, 0))
      g.turns[l.number] = l.i * 100 + l.before;
  }
  __godwit_sp = base;
  return 0;
}

extern int hand_thread_thunk(void*);

static uint64_t test_threads(void) {
  struct {
    uint64_t site, i;
    int64_t got;
    char* stack;
  } l = {0};
  BEGIN(l)
  CALL(l, 5, print("ready", 0))
  for (l.i = 0; l.i < 4; ++l.i) {
    CALL(l, 1, l.stack = (char*)__godwit_syscall(222, 0, 65536, 3, 0x22, -1, 0))
    g.done[l.i] = 1;
    l.got = __godwit_clone(hand_thread_thunk, l.stack, 65536, (void*)(l.i + 1), 0, l.stack, (int*)&g.done[l.i]);
    if (l.got < 0) return 1;
  }
  for (l.i = 0; l.i < 4; ++l.i) {
    while (__atomic_load_n(&g.done[l.i], __ATOMIC_SEQ_CST)) {
      CALL(l, 2, SYS(kFutex, &g.done[l.i], 0, 1, 0))
    }
    CALL(l, 3, print("turns", g.turns[l.i + 1]))
  }
  CALL(l, 4, print("shared", g.shared))
  END return 0;
}

/* ---- Waiting: on standard input, and in a sleep that is cut into pieces by moves. */
static uint64_t test_wait(void) {
  struct {
    uint64_t site, i, sum;
    int64_t got, begun;
  } l = {0};
  BEGIN(l)
  END struct time* const time = (struct time*)base;
  char* const byte = base + 32;
  __godwit_sp = base + 48;
  switch (l.site) {
    case 0:
      CALL(l, 1, SYS(113, 1, time, 0, 0))
      l.begun = time->seconds * 1000 + time->nanoseconds / 1000000;
      CALL(l, 2, print("ready", 0))
      *time = (struct time){1, 200000000};
      CALL(l, 3, SYS(kNanosleep, time, 0, 0, 0))
      CALL(l, 4, SYS(113, 1, time, 0, 0))
      l.begun = time->seconds * 1000 + time->nanoseconds / 1000000 - l.begun;
      CALL(l, 5, print("slept well", l.begun >= 1200 && l.begun < 2500))
      for (;;) {
        CALL(l, 6, l.got = SYS(kRead, 0, byte, 1, 0))
        if (l.got != 1) break;
        l.sum = mix(l.sum + (uint64_t)*byte);
      }
      CALL(l, 7, print("input", l.sum))
  }
  __godwit_sp = base;
  return 0;
}

/* ---- Signals: a handler, itself at adaptation points. */
void hand_handler(int signal, void* info, void* context);
static uint64_t handle(uint64_t signal, uint32_t* info) {
  struct {
    uint64_t site, i;
  } l = {0};
  BEGIN(l)
  for (l.i = 0; l.i < 5; ++l.i) {
    POLL(l, 1)
    g.handled = mix(g.handled + signal + info[0]);
  }
  END return 0;
}
void hand_handler(int signal, void* info, void* context) {
  (void)context;
  handle((uint64_t)signal, info);
}
extern void hand_handler_thunk(int, void*, void*);

static uint64_t test_signals(void) {
  struct {
    uint64_t site, i;
    int64_t got, me;
  } l = {0};
  BEGIN(l)
  g.action.handler = (uint64_t)hand_handler_thunk;
  g.action.flags = 4;
  CALL(l, 1, l.got = SYS(134, 10, &g.action, 0, 8))
  CALL(l, 2, l.got += SYS(134, 12, &g.action, 0, 8))
  for (l.i = 0; l.i < 10; ++l.i) {
    CALL(l, 3, l.me = SYS(172, 0, 0, 0, 0))
    CALL(l, 4, l.got += SYS(129, l.me, l.i & 1 ? 10 : 12, 0, 0))
    POLL(l, 5)
  }
  CALL(l, 6, print("handled", g.handled + (uint64_t)l.got))
  END return 0;
}

/* ---- The first thread ends, the second goes on. */
int hand_survivor(void* argument) {
  struct {
    uint64_t site, i, sum;
  } l = {0};
  BEGIN(l)
  for (l.i = 0; l.i < 50; ++l.i) {
    POLL(l, 1)
    l.sum = mix(l.sum + l.i + (uint64_t)argument);
    CALL(l, 2, lock(&g.lock))
    CALL(l, 3, unlock(&g.lock))
  }
  CALL(l, 4, print("survivor", l.sum))
  CALL(l, 5, SYS(93, 0, 0, 0, 0))
  END return 0;
}
extern int hand_survivor_thunk(void*);

static uint64_t test_leader(void) {
  struct {
    uint64_t site;
    char* stack;
    int64_t got;
  } l = {0};
  BEGIN(l)
  CALL(l, 1, l.stack = (char*)__godwit_syscall(222, 0, 65536, 3, 0x22, -1, 0))
  l.got = __godwit_clone(hand_survivor_thunk, l.stack, 65536, (void*)7, 0, l.stack, (int*)&g.done[0]);
  if (l.got < 0) return 1;
  POLL(l, 2)
  CALL(l, 3, SYS(93, 0, 0, 0, 0))
  END return 1;
}

/* ---- A child process; and a thread that doesn't listen. */
static uint64_t test_fork(void) {
  struct {
    uint64_t site;
    int64_t got, parent, pid;
  } l = {0};
  BEGIN(l)
  CALL(l, 1, l.parent = SYS(172, 0, 0, 0, 0))
  CALL(l, 2, l.got = SYS(220, 17, 0, 0, 0))
  if (!l.got) {
    CALL(l, 3, l.pid = SYS(172, 0, 0, 0, 0))
    CALL(l, 4, l.got = SYS(173, 0, 0, 0, 0))
    CALL(l, 5, print("child", l.pid != l.parent && l.got == l.parent))
    CALL(l, 6, SYS(kRead, 0, g.bytes, 1, 0))
    CALL(l, 7, SYS(94, 7, 0, 0, 0))
  }
  CALL(l, 8, l.got = __godwit_syscall(260, l.got, (long)g.bytes, 0, 0, 0, 0))
  CALL(l, 9, print("status", (uint64_t)g.bytes[1]))
  END return 0;
}

static uint64_t test_deaf(void) {
  struct {
    uint64_t site, i;
  } l = {0};
  BEGIN(l)
  CALL(l, 1, print("ready", 0))
  while (!__atomic_load_n(&g.ready, __ATOMIC_SEQ_CST)) {
  }
  END return 0;
}

/* ---- Mapped files, shared memory, and what is asked of a C library's memcpy and its kin. */
static uint64_t test_maps(void) {
  struct {
    uint64_t site, sum;
    int64_t fd, got;
    char *copy, *shared;
  } l = {0};
  BEGIN(l)
  CALL(l, 1, l.fd = SYS(kOpenat, -100, g.name, 02 | 0100 | 01000, 0600))
  CALL(l, 2, SYS(kWrite, l.fd, "0123456789abcdefghij", 20, 0))
  CALL(l, 3, l.copy = (char*)__godwit_syscall(222, 0, 5000, 1, 2, l.fd, 0))
  CALL(l, 4, l.got = __godwit_syscall(222, 0, 5000, 3, 1, l.fd, 0)) /* writable and shared: refused */
  l.sum = (uint64_t)-l.got;
  CALL(l, 5, l.shared = (char*)__godwit_syscall(222, 0, 5000, 3, 0x21, -1, 0))
  l.shared[4999] = 'x';
  POLL(l, 6)
  CALL(l, 7, SYS(kClose, l.fd, 0, 0, 0))
  POLL(l, 8)
  l.sum += mix((uint64_t)l.copy[19]) + mix((uint64_t)l.copy[20]) + mix((uint64_t)l.shared[4999]);
  CALL(l, 9, print("maps", l.sum))
  END return 0;
}

static int wrong_bytes(uint64_t size, uint64_t from, uint64_t to) {
  static unsigned char one[9000], other[9000], wanted[9000];
  for (uint64_t i = 0; i < sizeof one; ++i) one[i] = wanted[i] = (unsigned char)mix(i + size), other[i] = 0;
  memcpy(other + to, one + from, size);
  for (uint64_t i = 0; i < sizeof one; ++i) {
    if (other[i] != (i >= to && i < to + size ? one[from + i - to] : 0)) return 1;
  }
  if (memcmp(other + to, one + from, size)) return 2;
  memmove(one + to, one + from, size);
  if (memcmp(one + to, wanted + from, size)) return 3;
  for (uint64_t i = 0; i < sizeof one; ++i) {
    if ((i < to || i >= to + size) && one[i] != wanted[i]) return 4;
  }
  memset(one + to, (int)size | 0x100, size);
  for (uint64_t i = 0; i < sizeof one; ++i) {
    if (one[i] != (i >= to && i < to + size ? (size & 0xff) : wanted[i])) return 5;
  }
  if (size) {
    other[to + size - 1] ^= 1;
    if ((memcmp(other + to, wanted + from, size) < 0) != (other[to + size - 1] < wanted[from + size - 1])) return 6;
  }
  return 0;
}

static uint64_t test_bytes(void) {
  struct {
    uint64_t site, wrong;
  } l = {0};
  BEGIN(l)
  for (uint64_t size = 0; size < 4000; size += size < 200 ? 1 : 211) {
    for (uint64_t shift = 0; shift < 40; shift += 3) {
      l.wrong += (uint64_t)wrong_bytes(size, 64, 64 + shift) + (uint64_t)wrong_bytes(size, 64 + shift, 64 + shift / 4);
    }
  }
  CALL(l, 1, print("wrong", l.wrong))
  END return 0;
}

static uint64_t run(int argc, char** argv) {
  struct {
    uint64_t site, what;
    int64_t got;
  } l = {0};
  static const struct {
    const char* name;
    uint64_t (*test)(void);
  } tests[] = {{"count", test_count},     {"deep", test_deep}, {"files", test_files},     {"memory", test_memory},
               {"threads", test_threads}, {"wait", test_wait}, {"signals", test_signals}, {"leader", test_leader},
               {"fork", test_fork},       {"deaf", test_deaf}, {"maps", test_maps},       {"bytes", test_bytes}};
  BEGIN(l)
  if (argc != 2) return 2;
  for (l.what = 0; l.what < sizeof tests / sizeof *tests; ++l.what) {
    const char* a = tests[l.what].name;
    const char* b = argv[1];
    while (*a && *a == *b) ++a, ++b;
    if (*a == *b) break;
  }
  if (l.what == sizeof tests / sizeof *tests) return 2;
  CALL(l, 1, l.got = (int64_t)tests[l.what].test())
  CALL(l, 2, print(argv[1], length(argv[0])))
  END return (uint64_t)l.got;
}

int __godwit_main(int argc, char** argv, char** envp) {
  for (; *envp; ++envp) {
    const char* a = *envp;
    const char* b = "GODWIT_TEST";
    while (*b && *a == *b) ++a, ++b;
    if (!*b) return 9;
  }
  return (int)run(argc, argv);
}

void __godwit_thread(int (*fn)(void*), void* argument) { fn(argument); }
