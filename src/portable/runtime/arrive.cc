// A unit arrives: its memory is put into place from outside, page by page, while this program waits.
//
// Started with GODWIT_RESTORE_FROM=NAME, the runtime connects to the abstract UNIX stream socket NAME, whose owner must be of this
// user, or root, and makes room:
//
//     runtime    "waiting\n": the data is all zero, the arena's header is mapped. From here on it touches neither
//     starter    {u32 1, u32 n}, little-endian, n rows as in an image's REGIONS: these areas, and no others, are to be mapped; repeated at will
//     runtime    "mapped\n"
//     starter    puts pages into data, header and areas by itself (/proc/PID/mem)
//     starter    {u32 2, u32 0}, an image without memory
//     runtime    "restored\n": all is rebuilt, nothing runs
//     starter    one byte: the commit
//
// So pages that are sent while the unit still runs at its source lie in their final place when it stops there, and nothing is
// copied twice. Only then come the image's few records, and the table of regions in it has the last word about what is mapped.
// When something is wrong, the runtime says it on the socket instead, and ends; when the socket closes, it ends, too.
#include <asm/errno.h>
#include <linux/fcntl.h>

#include "portable/protocol.h"
#include "portable/runtime/runtime.h"

namespace godwit::portable {
namespace {

bool arriving;
Region areas[kMaxRegions];

bool read_whole(int fd, void* to, uint64_t length) {
  auto* at = static_cast<char*>(to);
  while (length) {
    const long got = sys(__NR_read, fd, at, length);
    if (got == -EINTR) continue;
    if (failed(got) || got == 0) return false;
    at += got;
    length -= static_cast<uint64_t>(got);
  }
  return true;
}

/// Pages that were never touched are zero, and stay so; those of the program's initial data aren't.
void clear_data() {
  for (uint64_t at = godwit_program.data_start; at < godwit_program.data_end; at = page_down(at) + GODWIT_PAGE) {
    const uint64_t next = page_down(at) + GODWIT_PAGE;
    const uint64_t end = next < godwit_program.data_end ? next : +godwit_program.data_end;
    const auto* bytes = as_pointer<const char*>(at);
    uint64_t zeros = 0;
    while (zeros < end - at && !bytes[zeros]) ++zeros;
    if (zeros < end - at) memset(as_pointer<void*>(at), 0, end - at);
  }
}

void say(int socket, const char* text) { sys(__NR_write, socket, text, length_of(text)); }

}  // namespace

bool arrives() { return arriving; }

int await_arrival(const char* name) {
  const int socket = connect_to(name);
  if (socket < 0) fatal("nobody is there to say what shall arrive: ", name);
  arriving = true;
  say_to(socket);
  map_header();
  clear_data();
  say(socket, "waiting\n");
  for (;;) {
    godwit_arrival_order order = {};
    if (!read_whole(socket, &order, sizeof order)) fatal("nobody says any more what shall arrive");
    if (order.what == GODWIT_ARRIVAL_IMAGE) return socket;
    if (order.what != GODWIT_ARRIVAL_AREAS || order.rows > kMaxRegions)
      fatal("it was compiled by another version of Godwit, and doesn't know what it is told (", +order.what,
            "): compile it anew, or update the node");
    if (!read_whole(socket, areas, order.rows * sizeof(Region))) fatal("nobody says any more what shall arrive");
    if (!arena_rows_are_sound(areas, order.rows)) fatal("the areas that shall be mapped make no sense");
    if (!arena_map_again(areas, order.rows)) fatal("the areas that shall be mapped can't be mapped here");
    say(socket, "mapped\n");
  }
}

}  // namespace godwit::portable
