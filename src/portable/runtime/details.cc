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

}  // namespace

bool detail_is_sound(const godwit_image_descriptor& descriptor, const char* detail) {
  const uint64_t size = descriptor.detail_size;
  switch (descriptor.kind) {
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
