/* What is said over sockets between a portable program's runtime and those who save it or let one arrive. The stories are in
 * runtime/request.cc and runtime/arrive.cc; this is what both sides must have alike. Like image.h: plain C, little-endian.
 */
/* NOLINTBEGIN(readability-identifier-naming) */
#ifndef GODWIT_PORTABLE_PROTOCOL_H
#define GODWIT_PORTABLE_PROTOCOL_H

#include "portable/image.h"

/* Saving: what is sent with the descriptor for the image. */
#define GODWIT_REQUEST_VERSION 1
#define GODWIT_REQUEST_SIGNAL 64
enum {
  GODWIT_REQUEST_LEAVE_RUNNING = 1,
  GODWIT_REQUEST_APART = 2, /* without memory */
  GODWIT_REQUEST_HELD = 4 /* stay at rest when the requester vanishes */
};
struct godwit_request {
  godwit_u32 version;
  godwit_u32 flags;
};
/* The last byte: any other means that the image is safe, and the program ends. */
#define GODWIT_REQUEST_GO_ON 2

/* Arriving: orders to a program that waits. */
enum { GODWIT_ARRIVAL_AREAS = 1, GODWIT_ARRIVAL_IMAGE = 2 };
struct godwit_arrival_order {
  godwit_u32 what;
  godwit_u32 rows; /* AREAS: godwit_image_regions that follow */
};

#endif
/* NOLINTEND(readability-identifier-naming) */
