/* The image of a portable program: a stream of records, written and read without seeking.
 *
 * Shared by the runtime (freestanding, writes and restores) and by the engine (hosted, carries and inspects); plain C,
 * without any other include but <stdint.h> and little.h. The byte tables, and what a reader must check, are docs/formats/portable-image.md.
 *
 * All numbers are little-endian, all structures have their fields at their natural alignment and no hidden padding.
 *
 *     godwit_image_header
 *     record PROCESS, CWD, DESCRIPTOR*, REGIONS, MEMORY*, END     in this order; each a godwit_image_record, then its payload
 */
/* NOLINTBEGIN(readability-identifier-naming): a C header. */
#ifndef GODWIT_PORTABLE_IMAGE_H
#define GODWIT_PORTABLE_IMAGE_H

#include <stdint.h>

#include "little.h"

#define GODWIT_IMAGE_MAGIC "GODWITPI"
#define GODWIT_IMAGE_VERSION 4

/* How a runtime ends that couldn't restore, and one that a test told to stop. */
#define GODWIT_EXIT_REFUSED 3
#define GODWIT_EXIT_STOPPED 42

struct godwit_image_header {
  char magic[8];
  godwit_u32 version;
  godwit_u32 bytes; /* of this structure */
  char family[16];
  uint8_t signature[32]; /* of godwit_program: an image fits the very build that wrote it, on any architecture */
  char name[64];
  godwit_u64 data_start;
  godwit_u64 data_end;
  godwit_u64 arena;
  godwit_u64 arena_size;
  char machine[16]; /* where it was written, for people: "x86_64" */
  godwit_u64 digest;  /* XXH64 of all bytes before */
};

enum {
  GODWIT_IMAGE_PROCESS = 1,
  GODWIT_IMAGE_CWD = 2,
  GODWIT_IMAGE_DESCRIPTOR = 3,
  GODWIT_IMAGE_REGIONS = 4,
  GODWIT_IMAGE_MEMORY = 5,
  GODWIT_IMAGE_END = 6
};

struct godwit_image_record {
  godwit_u32 type;
  godwit_u32 flags;   /* zero */
  godwit_u64 address; /* MEMORY: where its bytes lie; END: how many records came before; else zero */
  godwit_u64 length;  /* of the payload that follows */
  godwit_u64
      digest; /* XXH64 of the payload, seed 0; END: XXH64 over the headers of all records before, one after the other,
                       each with the digest of those before it as its seed (the first: the file header's digest) */
};

/* The first bytes of the arena, by which a running portable program is known from outside (/proc/PID/mem), and where its
 * other memory is. */
#define GODWIT_ARENA_MAGIC "GODWITAR"
struct godwit_arena_head {
  char magic[8];
  godwit_u64 data_start; /* neutral globals: [data_start, data_end) */
  godwit_u64 data_end;
  godwit_u64 arena_size;
};

/* Limits that a reader checks before it takes room for anything. */
#define GODWIT_IMAGE_MEMORY_MAX (1u << 20)
#define GODWIT_IMAGE_REGIONS_MAX 65536u
#define GODWIT_IMAGE_PATH_MAX 4096u
#define GODWIT_IMAGE_DESCRIPTORS_MAX 65536u
#define GODWIT_IMAGE_DETAIL_MAX 65536u /* what follows a descriptor, but for UNREAD: */
#define GODWIT_IMAGE_UNREAD_MAX (1u << 24)
#define GODWIT_IMAGE_FD_MAX (1u << 20)

struct godwit_image_process {
  godwit_u32 pid; /* the unit's own */
  godwit_u32 threads;
  godwit_u32 umask;
  godwit_u32 flags; /* GODWIT_IMAGE_APART */
  godwit_u64 saved_at; /* CLOCK_REALTIME, nanoseconds */
};

/* It has no MEMORY: that goes another way, into a program that waits for it (runtime/arrive.cc). */
#define GODWIT_IMAGE_APART 1u

enum {
  GODWIT_FD_FILE = 1, /* regular file or directory: opened again by its path */
  GODWIT_FD_DEVICE = 2, /* null, zero, full, random, urandom, tty: likewise */
  GODWIT_FD_INHERITED = 3, /* one of 0, 1, 2 that isn't a file: the restoring process's own */
  GODWIT_FD_DUPLICATE = 4, /* the same open file as a descriptor before it */
  GODWIT_FD_SOCKET = 5, /* one without a connection: made again, bound, listening */
  GODWIT_FD_EPOLL = 6, /* what it watches is told to it again when all others are there */
  GODWIT_FD_PIPE = 7, /* one end: made again, with the other */
  GODWIT_FD_PAIR = 8, /* one end of a socketpair, likewise */
  GODWIT_FD_UNREAD =
      9, /* no descriptor: what wasn't read yet of the PIPE or PAIR before it, a message or as many bytes as there are */
  GODWIT_FD_EVENT = 10, /* eventfd */
  GODWIT_FD_TIMER = 11 /* timerfd */
};

struct godwit_image_descriptor {
  godwit_u32 fd;
  godwit_u32 kind;
  godwit_u32 flags; /* O_ flags of the neutral family, those of opening (O_CREAT and the like) left out */
  godwit_u32 close_on_exec;
  godwit_u64 offset;
  godwit_u32 same_as; /* DUPLICATE: which descriptor; PIPE, PAIR: the other end, or this one when that is closed */
  godwit_u32 detail_size; /* bytes that follow. FILE, DEVICE: a path, without a zero at the end */
};

/* SOCKET: this, then its options. Numbers of families, types and options are Linux's, the same on all architectures; addresses are
 * the kernel's, but their family is little-endian, as is the scope of IPv6. */
enum {
  GODWIT_SOCKET_BOUND = 1,
  GODWIT_SOCKET_LISTENS = 2,
  GODWIT_SOCKET_CONNECTED = 4, /* of datagrams: where they go to */
  GODWIT_SOCKET_NAMED = 8, /* UNIX: its address is a path, which leads to it */
  GODWIT_SOCKET_SECOND = 16, /* PAIR, and these: the other end came before it */
  GODWIT_SOCKET_SHUT_READ = 32, /* nothing more will come */
  GODWIT_SOCKET_SHUT_WRITE = 64, /* of datagrams: nothing can be sent; others see it at the other end */
  GODWIT_SOCKET_RESET = 128 /* the other end was closed with something unread in it, which this one wasn't told yet */
};
struct godwit_image_socket {
  godwit_u32 domain; /* 1 UNIX, 2 IPv4, 10 IPv6 */
  godwit_u32 type; /* 1 stream, 2 datagrams, 5 messages of a connection */
  godwit_u32 protocol; /* 0, 6 TCP, 17 UDP */
  godwit_u32 state; /* GODWIT_SOCKET_ */
  godwit_u32 backlog; /* LISTENS */
  godwit_u32 mode; /* NAMED: of its file, of which also: */
  godwit_u64 dev;
  godwit_u64 ino;
  godwit_u32 address_size; /* BOUND */
  godwit_u32 peer_size; /* CONNECTED */
  godwit_u32 options; /* how many follow */
  godwit_u32 reserved;
  uint8_t address[128];
  uint8_t peer[128];
};
/* Bytes of an address of each family: with the family, and a path or a name of UNIX sockets without a zero behind its 108 bytes. */
#define GODWIT_ADDRESS_MAX_UNIX 110u
#define GODWIT_ADDRESS_MAX_IPV4 16u
#define GODWIT_ADDRESS_MAX_IPV6 28u
/* The kinds of sockets of which all is known that must move. */
static inline int godwit_socket_is_known(uint32_t domain, uint32_t type, uint32_t protocol) {
  const uint32_t kUnix = 1, kIpv4 = 2, kIpv6 = 10, kStream = 1, kDatagrams = 2, kMessages = 5, kTcp = 6, kUdp = 17;
  if (domain == kUnix) return type == kStream || type == kDatagrams || type == kMessages;
  if (domain != kIpv4 && domain != kIpv6) return 0;
  return (type == kStream && protocol == kTcp) || (type == kDatagrams && protocol == kUdp);
}
/* One that a new socket has otherwise. */
struct godwit_image_option {
  godwit_u32 level;
  godwit_u32 name;
  godwit_u64 value; /* a number; of times the seconds, of SO_LINGER whether */
  godwit_u64 more; /* of times the microseconds, of SO_LINGER the seconds */
};
#define GODWIT_IMAGE_OPTIONS_MAX 64u

/* EPOLL: any number of these. */
struct godwit_image_interest {
  godwit_u32 fd;
  godwit_u32 events;
  godwit_u64 data;
};

/* PIPE */
enum {
  GODWIT_PIPE_SECOND = 1, /* the other end came before it */
  GODWIT_PIPE_PACKETS = 2 /* O_DIRECT: each UNREAD is a packet */
};
struct godwit_image_pipe {
  godwit_u32 capacity; /* bytes, F_GETPIPE_SZ */
  godwit_u32 state; /* GODWIT_PIPE_ */
};

/* EVENT */
struct godwit_image_event {
  godwit_u64 count;
  godwit_u64 semaphore; /* 0, 1 */
};

/* TIMER. Nanoseconds. */
struct godwit_image_timer {
  godwit_u32 clock; /* CLOCK_ */
  godwit_u32 flags; /* of the last timerfd_settime: 1 absolute, 2 cancelled by clock_settime */
  godwit_u64
      due; /* next expiration, 0: never. Of an absolute one of CLOCK_REALTIME on that clock, else on the unit's MONOTONIC */
  godwit_u64 interval;
  godwit_u64 ticks; /* expirations that weren't read yet */
};

/* REGIONS: what of the arena is in use, in ascending order and without overlap; the header of the arena isn't among them. */
enum {
  GODWIT_REGION_MAPPED = 1, /* the program's mmap, private */
  GODWIT_REGION_SHARED = 2, /* likewise, shared with children */
  GODWIT_REGION_FILE = 3, /* likewise, a file's content as it was */
  GODWIT_REGION_STACK = 4, /* the first thread's stack */
  GODWIT_REGION_SHADOW = 5, /* frames */
  GODWIT_REGION_ARGUMENTS = 6, /* argv, envp, their strings */
  GODWIT_REGION_GUARD = 7
};

struct godwit_image_region {
  godwit_u64 start;
  godwit_u64 length;
  godwit_u32 protection; /* PROT_ */
  godwit_u32 kind;
};

#endif
/* NOLINTEND(readability-identifier-naming) */
