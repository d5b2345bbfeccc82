// What follows a descriptor in an image: can it be? No system calls here: the fuzzer has it as it is.
#include "portable/runtime/descriptors.h"

namespace godwit::portable {
namespace {

constexpr uint32_t kUnix = 1, kInet = 2;
constexpr uint32_t kDatagrams = 2;
constexpr uint64_t kFamilySize = 2;

uint64_t most_of(uint32_t domain) {
  if (domain == kUnix) return GODWIT_ADDRESS_MAX_UNIX;
  return domain == kInet ? GODWIT_ADDRESS_MAX_IPV4 : GODWIT_ADDRESS_MAX_IPV6;
}

/// Of the socket's own family, or none.
bool address_fits(bool is_there, uint32_t domain, const uint8_t* address, uint64_t size) {
  if (!is_there) return size == 0;
  return size > kFamilySize && size <= most_of(domain) && (address[0] | address[1] << 8) == static_cast<int>(domain);
}

bool socket_is_sound(const godwit_image_socket& socket) {
  const auto has = [&](uint32_t state) { return (socket.state & state) != 0; };
  constexpr uint32_t kStates =
      GODWIT_SOCKET_BOUND | GODWIT_SOCKET_LISTENS | GODWIT_SOCKET_CONNECTED | GODWIT_SOCKET_NAMED;
  if (!godwit_socket_is_known(socket.domain, socket.type, socket.protocol)) return false;
  if (has(~kStates) || socket.options > GODWIT_IMAGE_OPTIONS_MAX) return false;
  const bool bound = has(GODWIT_SOCKET_BOUND);
  if (!address_fits(bound, socket.domain, socket.address, socket.address_size)) return false;
  if (!address_fits(has(GODWIT_SOCKET_CONNECTED), socket.domain, socket.peer, socket.peer_size)) return false;
  if (has(socket.type == kDatagrams ? GODWIT_SOCKET_LISTENS : GODWIT_SOCKET_CONNECTED)) return false;
  // A path is a name of the file system's always: what is done before one is bound to is done for all of them.
  return has(GODWIT_SOCKET_NAMED) == (bound && socket.domain == kUnix && socket.address[kFamilySize] != 0);
}

/// A pair has no address, and nothing is asked of its file.
bool pair_is_sound(const godwit_image_socket& socket) {
  constexpr uint32_t kStates =
      GODWIT_SOCKET_SECOND | GODWIT_SOCKET_SHUT_READ | GODWIT_SOCKET_SHUT_WRITE | GODWIT_SOCKET_RESET;
  return socket.domain == kUnix && godwit_socket_is_known(socket.domain, socket.type, socket.protocol) &&
         !(socket.state & ~kStates) && !socket.address_size && !socket.peer_size &&
         socket.options <= GODWIT_IMAGE_OPTIONS_MAX;
}

/// Nanoseconds that can be computed with, and a count that such a timer can have.
bool timer_is_sound(const godwit_image_timer& timer) {
  constexpr uint32_t kLastClock = 9, kFlags = 3;
  constexpr uint64_t kMost = INT64_MAX;
  if (timer.clock > kLastClock || timer.flags > kFlags) return false;
  if (timer.due > kMost || timer.interval > kMost || timer.ticks > kMost) return false;
  const bool may_have_more = timer.due && timer.interval;
  return may_have_more || !timer.ticks || (timer.ticks == 1 && !timer.due && !timer.interval);
}

bool object_is_sound(const godwit_image_descriptor& descriptor, const char* detail) {
  const uint64_t size = descriptor.detail_size;
  switch (descriptor.kind) {
    case GODWIT_FD_PIPE: {
      constexpr uint32_t kStates = GODWIT_PIPE_SECOND | GODWIT_PIPE_PACKETS;
      if (size != sizeof(godwit_image_pipe) || descriptor.same_as > GODWIT_IMAGE_FD_MAX) return false;
      const auto& pipe = *reinterpret_cast<const godwit_image_pipe*>(detail);
      return pipe.capacity && pipe.capacity <= INT32_MAX && !(pipe.state & ~kStates);
    }
    case GODWIT_FD_PAIR: {
      if (size < sizeof(godwit_image_socket) || descriptor.same_as > GODWIT_IMAGE_FD_MAX) return false;
      const auto& image = *reinterpret_cast<const SocketImage*>(detail);
      return pair_is_sound(image.socket) && size == size_of(image);
    }
    case GODWIT_FD_EVENT: {
      if (size != sizeof(godwit_image_event)) return false;
      const auto& event = *reinterpret_cast<const godwit_image_event*>(detail);
      return event.count != UINT64_MAX && event.semaphore <= 1;
    }
    default:
      return size == sizeof(godwit_image_timer) && timer_is_sound(*reinterpret_cast<const godwit_image_timer*>(detail));
  }
}

}  // namespace

bool detail_is_sound(const godwit_image_descriptor& descriptor, const char* detail) {
  const uint64_t size = descriptor.detail_size;
  if (size > (descriptor.kind == GODWIT_FD_UNREAD ? GODWIT_IMAGE_UNREAD_MAX : GODWIT_IMAGE_DETAIL_MAX)) return false;
  switch (descriptor.kind) {
    case GODWIT_FD_UNREAD: return true;
    case GODWIT_FD_PIPE:
    case GODWIT_FD_PAIR:
    case GODWIT_FD_EVENT:
    case GODWIT_FD_TIMER: return object_is_sound(descriptor, detail);
    case GODWIT_FD_FILE:
    case GODWIT_FD_DEVICE: return size > 0 && size <= GODWIT_IMAGE_PATH_MAX;
    case GODWIT_FD_INHERITED: return size == 0 && descriptor.fd <= 2;
    case GODWIT_FD_DUPLICATE: return size == 0 && descriptor.same_as <= GODWIT_IMAGE_FD_MAX;
    case GODWIT_FD_EPOLL: return size % sizeof(godwit_image_interest) == 0;
    case GODWIT_FD_SOCKET: {
      if (size < sizeof(godwit_image_socket)) return false;
      const auto& image = *reinterpret_cast<const SocketImage*>(detail);
      return socket_is_sound(image.socket) && size == size_of(image);
    }
    default: return false;
  }
}

}  // namespace godwit::portable
