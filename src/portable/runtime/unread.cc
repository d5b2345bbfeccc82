// What wasn't read yet of a pipe or a socketpair, when they are made again: it is written to the other end.
//
// Its records follow that of the end they belong to. Where the other end was closed it is open for that long only.
#include <asm/errno.h>

#include "portable/runtime/descriptors.h"
#include "portable/runtime/kernel_message.h"

namespace godwit::portable {
namespace {

constexpr int kSocketLevel = 1, kSendBuffer = 7, kSendBufferForced = 32;

Filling filling;
uint32_t send_buffer;  ///< of the end that is written to, before; 0: it is as it was

/// Forced, if this process may: as the program then may have done.
void set_send_buffer(int fd, uint32_t bytes) {
  const uint32_t half = bytes / 2;  // the kernel doubles what it is told
  if (failed(sys(__NR_setsockopt, fd, kSocketLevel, kSendBufferForced, &half, sizeof half))) {
    sys(__NR_setsockopt, fd, kSocketLevel, kSendBuffer, &half, sizeof half);
  }
}

/// All of them; -EAGAIN: there is no room.
long put(const char* bytes, uint64_t size) {
  uint64_t done = 0;
  do {
    const long put = filling.is_socket
                         ? sys(__NR_sendto, filling.through, bytes + done, size - done, kNoSignal | kAtOnce, nullptr, 0)
                         : sys(__NR_write, filling.through, bytes + done, size - done);
    if (put == -EINTR) continue;
    if (failed(put)) return put;
    done += static_cast<uint64_t>(put);
  } while (done < size);
  return 0;
}

}  // namespace

uint32_t send_buffer_of(int fd) {
  uint32_t bytes = 0, size = sizeof bytes;
  return failed(sys(__NR_getsockopt, fd, kSocketLevel, kSendBuffer, &bytes, &size)) ? 0 : bytes;
}

uint32_t enlarge_send_buffer(int fd) {
  constexpr uint32_t kLarge = 1u << 26;  // the kernel takes as much of it as it allows
  const uint32_t before = send_buffer_of(fd);
  if (before) set_send_buffer(fd, kLarge > before ? kLarge : before);
  return before;
}

void put_send_buffer_back(int fd, uint32_t before) {
  if (before) set_send_buffer(fd, before);
}

void begin_filling(const Filling& now) {
  end_filling();
  filling = now;
}

bool put_unread(const godwit_image_descriptor& descriptor, const char* bytes, Line& why) {
  why << "descriptor " << descriptor.fd << " ";
  if (filling.through < 0 || filling.fd != static_cast<int>(descriptor.fd)) {
    why << "can't have something unread";
    return false;
  }
  if (filling.is_socket && !send_buffer) send_buffer = enlarge_send_buffer(filling.through);
  const long error = put(bytes, descriptor.detail_size);
  if (!failed(error)) return true;
  why << "has " << descriptor.detail_size << " unread bytes, for which there is no room here (error " << -error << ")";
  return false;
}

void end_filling() {
  if (filling.through >= 0 && filling.is_socket) put_send_buffer_back(filling.through, send_buffer);
  send_buffer = 0;
  const bool spoils = filling.through >= 0 && filling.closes && filling.resets;
  if (spoils) sys(__NR_sendto, filling.fd, "", 1, kNoSignal | kAtOnce, nullptr, 0);
  if (filling.through >= 0 && filling.closes) sys(__NR_close, filling.through);
  filling = {};
}

bool place_ends(int (&ends)[2], const godwit_image_descriptor& descriptor) {
  const int own = static_cast<int>(descriptor.fd), other = static_cast<int>(descriptor.same_as);
  if (ends[1] == own) {
    const long moved = sys(__NR_fcntl, ends[1], 0 /* F_DUPFD */, 0);
    if (failed(moved)) return false;
    ends[1] = static_cast<int>(moved);
  }
  if (!place(ends[0], descriptor)) return false;
  ends[0] = own;
  if (other == own) {
    ends[1] = put_aside(ends[1]);
  } else if (ends[1] != other) {
    if (failed(sys(__NR_dup3, ends[1], other, 0))) return false;
    sys(__NR_close, ends[1]);
    ends[1] = other;
  }
  return true;
}

bool claim_end(const godwit_image_descriptor& descriptor) {
  return descriptor.same_as != descriptor.fd &&
         !failed(sys(__NR_fcntl, +descriptor.fd, 2 /* F_SETFD */, descriptor.close_on_exec ? 1 : 0));
}

}  // namespace godwit::portable
