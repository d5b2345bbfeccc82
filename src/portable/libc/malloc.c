/* The allocator of portable programs.
 *
 * Problem: musl's own (mallocng) is made for small footprint and takes one lock for each call; compiled as neutral code it cost
 * 3 to 18 times what glibc's does. Whatever is here must keep all its state in ordinary memory of the arena, so that it
 * moves: no native thread-local storage, no addresses of code.
 *
 * Idea (that of tcmalloc and mimalloc: size classes, a cache for each thread, spans of one class):
 *
 *     segment   4 MiB, aligned to that, from mmap: 64 spans of 64 KiB. The first holds the segment's header.
 *     span      objects of one size class; or a run of spans is one object; its row in the header says which
 *     cache     one a thread and class: a list of free objects, no lock. A miss takes some from the spans, a long list gives
 *               half of them back to theirs: under the one lock that there is.
 *     huge      beyond 2 MiB: a mapping of its own, with a segment's header at its beginning
 *
 * From an object's address follow its segment (the address without its last 22 bits), its span's row and so its size; that is
 * all free() needs, whichever thread calls it. A span whose objects are all free can become another class's.
 *
 * Sizes: 16 to 128 by 16, then four to a doubling up to 16 KiB, so less than a fifth is wasted; above whole spans.
 *
 * Limits: a segment is given back to the kernel when it is empty and another one is; a span's pages never singly. Alignments up to
 * 2 MiB. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "libc.h"
#include "lock.h"
#include "pthread_impl.h"

enum {
  kSegmentShift = 22,
  kSpanShift = 16,
  kSpans = 1 << (kSegmentShift - kSpanShift),
  kSmallMax = 16384,
  kClasses = 8 + 7 * 4,
  kMagic = 0x60d31700,
};
#define SEGMENT ((size_t)1 << kSegmentShift)
#define SPAN ((size_t)1 << kSpanShift)
#define MEDIUM_MAX (SEGMENT / 2)

struct object {
  struct object* next;
};

enum kind { kFree, kObjects, kRun, kInside, kHuge };

struct span {
  struct object* free;     /* objects that came back */
  char* fresh;             /* objects from here on were never given out */
  struct span *next, *prev; /* of its class, while it has something to give */
  uint32_t used, capacity; /* objects; of a run, used is its number of spans */
  uint8_t kind, class, listed;
};

struct segment {
  uint32_t magic, free_spans;
  uint64_t busy; /* a bit a span */
  size_t mapped; /* huge: bytes */
  char* object;  /* huge: where it begins */
  struct segment *next, *prev;
  struct span spans[kSpans];
};

struct cache {
  struct object* list;
  uint32_t count;
};

static volatile int lock[1];
static struct segment* segments;
static unsigned empty_segments;
static struct span* with_room[kClasses];
static _Thread_local struct cache caches[kClasses];

/* ---- Sizes. */

static inline unsigned class_of(size_t size) {
  if (size <= 128) return size ? (unsigned)((size - 1) / 16) : 0;
  const unsigned log = 63 - (unsigned)__builtin_clzl(size - 1); /* 2^log < size <= 2^(log+1) */
  return 8 + (log - 7) * 4 + (unsigned)(((size - 1) >> (log - 2)) & 3);
}

static inline size_t size_of(unsigned class) {
  if (class < 8) return 16 * (class + 1);
  const unsigned log = 7 + (class - 8) / 4;
  return ((size_t)5 + (class - 8) % 4) << (log - 2);
}

/* How many objects go between a cache and the spans at once. */
static inline uint32_t batch_of(unsigned class) {
  const size_t fits = 8192 / size_of(class);
  return fits > 64 ? 64 : fits < 2 ? 2 : (uint32_t)fits;
}

static inline struct segment* segment_of(const void* p) { return (struct segment*)((uintptr_t)p & ~(SEGMENT - 1)); }
static inline struct span* span_of(const void* p) {
  return &segment_of(p)->spans[((uintptr_t)p & (SEGMENT - 1)) >> kSpanShift];
}
static inline char* begin_of(struct span* s) {
  struct segment* g = segment_of(s);
  return (char*)g + ((size_t)(s - g->spans) << kSpanShift);
}

/* ---- Segments. With the lock. */

static void* map_aligned(size_t size) {
  char* p = mmap(0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (p == MAP_FAILED) return 0;
  if (!((uintptr_t)p & (SEGMENT - 1))) return p;
  munmap(p, size);
  p = mmap(0, size + SEGMENT, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (p == MAP_FAILED) return 0;
  char* start = (char*)(((uintptr_t)p + SEGMENT - 1) & ~(SEGMENT - 1));
  if (start != p) munmap(p, (size_t)(start - p));
  char *end = p + size + SEGMENT, *last = start + ((size + PAGE_SIZE - 1) & -(size_t)PAGE_SIZE);
  if (last < end) munmap(last, (size_t)(end - last));
  return start;
}

static struct segment* new_segment(void) {
  struct segment* g = map_aligned(SEGMENT);
  if (!g) return 0;
  g->magic = kMagic;
  g->busy = 1;
  g->free_spans = kSpans - 1;
  g->next = segments;
  if (segments) segments->prev = g;
  segments = g;
  empty_segments++;
  return g;
}

/* The first of `count` free spans in a row, or 0. */
static unsigned find_run(const struct segment* g, unsigned count) {
  uint64_t free = ~g->busy, runs = free;
  for (unsigned have = 1; have < count && runs;) {
    const unsigned more = have < count - have ? have : count - have;
    runs &= runs >> more;
    have += more;
  }
  return runs ? (unsigned)__builtin_ctzl(runs) : 0;
}

static struct span* take_spans(unsigned count) {
  struct segment* g = segments;
  unsigned at = 0;
  for (; g; g = g->next)
    if (g->free_spans >= count && (at = find_run(g, count))) break;
  if (!g) {
    if (!(g = new_segment())) return 0;
    at = 1;
  }
  if (g->free_spans == kSpans - 1) empty_segments--;
  g->busy |= (count == 64 ? ~0ul : (1ul << count) - 1) << at;
  g->free_spans -= count;
  struct span* s = &g->spans[at];
  for (unsigned i = 1; i < count; i++) s[i].kind = kInside;
  return s;
}

static void give_spans(struct span* s, unsigned count) {
  struct segment* g = segment_of(s);
  const unsigned at = (unsigned)(s - g->spans);
  for (unsigned i = 0; i < count; i++) s[i] = (struct span){0};
  g->busy &= ~(((1ul << count) - 1) << at);
  g->free_spans += count;
  if (g->free_spans < kSpans - 1) return;
  if (empty_segments == 0) {
    empty_segments = 1;
    return;
  }
  if (g->next) g->next->prev = g->prev;
  if (g->prev)
    g->prev->next = g->next;
  else
    segments = g->next;
  munmap(g, SEGMENT);
}

/* ---- Objects of a class. With the lock. */

static void list_span(struct span* s) {
  struct span** head = &with_room[s->class];
  s->listed = 1;
  s->prev = 0;
  s->next = *head;
  if (*head) (*head)->prev = s;
  *head = s;
}

static void unlist_span(struct span* s) {
  s->listed = 0;
  if (s->next) s->next->prev = s->prev;
  if (s->prev)
    s->prev->next = s->next;
  else
    with_room[s->class] = s->next;
}

static struct span* new_span(unsigned class) {
  struct span* s = take_spans(1);
  if (!s) return 0;
  *s = (struct span){
      .fresh = begin_of(s), .capacity = (uint32_t)(SPAN / size_of(class)), .kind = kObjects, .class = (uint8_t)class};
  list_span(s);
  return s;
}

/* Fills this thread's cache; gives one object more to the caller. */
static void* refill(unsigned class) {
  const size_t size = size_of(class);
  const uint32_t want = batch_of(class);
  struct cache* c = &caches[class];
  void* result = 0;
  LOCK(lock);
  for (uint32_t got = 0; got <= want;) {
    struct span* s = with_room[class];
    if (!s && (got || !(s = new_span(class)))) break;
    for (; got <= want && s->used < s->capacity; got++, s->used++) {
      struct object* o = s->free;
      if (o) {
        s->free = o->next;
      } else {
        o = (struct object*)s->fresh;
        s->fresh += size;
      }
      if (!got) {
        result = o;
      } else {
        o->next = c->list;
        c->list = o;
        c->count++;
      }
    }
    if (s->used == s->capacity) unlist_span(s);
  }
  UNLOCK(lock);
  return result;
}

static void give_back(struct cache* c, uint32_t count) {
  LOCK(lock);
  for (; count && c->list; count--, c->count--) {
    struct object* o = c->list;
    c->list = o->next;
    struct span* s = span_of(o);
    o->next = s->free;
    s->free = o;
    if (!s->listed) list_span(s);
    if (--s->used == 0) {
      unlist_span(s);
      give_spans(s, 1);
    }
  }
  UNLOCK(lock);
}

/* pthread_exit calls this at the thread's very end, before its thread-local variables go. */
void __dl_thread_cleanup(void) {
  for (unsigned i = 0; i < kClasses; i++)
    if (caches[i].list) give_back(&caches[i], caches[i].count);
}

/* fork() holds the lock across itself, so that the child has whole lists. */
void __malloc_atfork(int who) {
  if (who < 0)
    LOCK(lock);
  else if (!who)
    UNLOCK(lock);
  else
    lock[0] = 0;
}

/* ---- Larger ones. */

static void* run_of(size_t size) {
  const unsigned count = (unsigned)((size + SPAN - 1) >> kSpanShift);
  LOCK(lock);
  struct span* s = take_spans(count);
  if (s) *s = (struct span){.used = count, .kind = kRun};
  UNLOCK(lock);
  return s ? begin_of(s) : 0;
}

/* `align` beyond a span's size leaves room before the object; its segment's header still is at the 4 MiB boundary below. */
static void* huge_of(size_t size, size_t align) {
  const size_t before = align > SPAN ? align : SPAN;
  if (size > PTRDIFF_MAX - before - SEGMENT) return 0;
  struct segment* g = map_aligned(before + size);
  if (!g) return 0;
  g->magic = kMagic;
  g->mapped = (before + size + PAGE_SIZE - 1) & -(size_t)PAGE_SIZE;
  g->object = (char*)g + before;
  span_of(g->object)->kind = kHuge;
  return g->object;
}

static size_t usable(const void* p, const struct span* s) {
  switch (s->kind) {
    case kObjects: return size_of(s->class);
    case kRun: return (size_t)s->used << kSpanShift;
    case kHuge: return segment_of(p)->mapped - (size_t)((char*)p - (char*)segment_of(p));
    default: return 0;
  }
}

static void* no_memory(void) {
  errno = ENOMEM;
  return 0;
}

/* What wasn't made here, or was freed already: nothing good can follow. */
static void not_ours(void) { a_crash(); }

static __attribute__((noinline)) void* slow_malloc(size_t size, unsigned class) {
  void* p = size <= kSmallMax ? refill(class) : size <= MEDIUM_MAX ? run_of(size) : huge_of(size, 0);
  return p ? p : no_memory();
}

static __attribute__((noinline)) void slow_free(void* p, struct span* s) {
  struct segment* g = segment_of(p);
  if (g->magic != kMagic) not_ours();
  if (s->kind == kHuge && p == g->object) {
    munmap(g, g->mapped);
  } else if (s->kind == kRun && p == begin_of(s)) {
    LOCK(lock);
    give_spans(s, s->used);
    UNLOCK(lock);
  } else {
    not_ours();
  }
}

/* ---- The interface. */

void* malloc(size_t size) {
  if (size > kSmallMax) return slow_malloc(size, 0);
  const unsigned class = class_of(size);
  struct cache* c = &caches[class];
  struct object* o = c->list;
  if (!o) return slow_malloc(size, class);
  c->list = o->next;
  c->count--;
  return o;
}

void free(void* p) {
  if (!p) return;
  struct span* s = span_of(p);
  if (s->kind != kObjects) {
    const int saved = errno;
    slow_free(p, s);
    errno = saved;
    return;
  }
  struct cache* c = &caches[s->class];
  struct object* o = p;
  o->next = c->list;
  c->list = o;
  if (++c->count >= 2 * batch_of(s->class) + 2) give_back(c, c->count / 2);
}

void* calloc(size_t count, size_t size) {
  size_t bytes;
  if (__builtin_mul_overflow(count, size, &bytes)) return no_memory();
  void* p = malloc(bytes);
  if (!p || span_of(p)->kind == kHuge) return p; /* fresh from the kernel */
  return memset(p, 0, bytes);
}

size_t malloc_usable_size(void* p) { return p ? usable(p, span_of(p)) : 0; }

void* realloc(void* old, size_t size) {
  if (!old) return malloc(size);
  const size_t had = usable(old, span_of(old));
  /* In place, unless more than half of it would be wasted. */
  if (size <= had && (size > had / 2 || had <= 64)) return old;
  void* fresh = malloc(size);
  if (!fresh) return 0;
  memcpy(fresh, old, had < size ? had : size);
  free(old);
  return fresh;
}

void* aligned_alloc(size_t align, size_t size) {
  if (!align || (align & (align - 1))) return errno = EINVAL, (void*)0;
  if (align <= 16) return malloc(size);
  if (align > SEGMENT / 2 || size > PTRDIFF_MAX - align) return no_memory();
  /* An object of a class whose size is a power of two is aligned to its size. */
  if (align <= kSmallMax && size <= kSmallMax) {
    size_t power = align;
    while (power < size) power *= 2;
    return malloc(power);
  }
  if (align <= SPAN && size <= MEDIUM_MAX) return malloc(size > kSmallMax ? size : kSmallMax + 1);
  void* p = huge_of(size, align);
  return p ? p : no_memory();
}

void* memalign(size_t align, size_t size) { return aligned_alloc(align, size); }

int posix_memalign(void** result, size_t align, size_t size) {
  if (align < sizeof(void*)) return EINVAL;
  const int saved = errno;
  void* p = aligned_alloc(align, size);
  const int trouble = errno;
  errno = saved;
  if (!p) return trouble;
  *result = p;
  return 0;
}

/* The names by which musl calls it inside, so that a program may bring an allocator of its own. */
weak_alias(malloc, __libc_malloc);
weak_alias(calloc, __libc_calloc);
weak_alias(realloc, __libc_realloc);
weak_alias(free, __libc_free);
