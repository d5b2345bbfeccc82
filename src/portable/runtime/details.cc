// What follows a descriptor in an image: can it be? No system calls here: the fuzzer has it as it is.
#include "portable/runtime/descriptors.h"

namespace godwit::portable {
namespace {

constexpr uint32_t kUnix = 1, kInet = 2, kInet6 = 10;
constexpr uint32_t kStream = 1, kDatagrams = 2, kMessages = 5;
constexpr uint32_t kTcp = 6, kUdp = 17;
constexpr uint64_t kFamilySize = 2;
constexpr uint64_t kNameMost = kFamilySize + 109;  // with a zero, which the kernel may count

bool address_fits(bool is_there, uint64_t size) {
  return is_there ? size > kFamilySize && size <= sizeof(godwit_image_socket::address) : size == 0;
}

bool socket_is_sound(const godwit_image_socket& socket) {
  const auto has = [&](uint32_t state) { return (socket.state & state) != 0; };
  constexpr uint32_t kStates =
      GODWIT_SOCKET_BOUND | GODWIT_SOCKET_LISTENS | GODWIT_SOCKET_CONNECTED | GODWIT_SOCKET_NAMED;
  if (!socket_is_known(socket) || has(~kStates) || socket.options > GODWIT_IMAGE_OPTIONS_MAX) return false;
  if (!address_fits(has(GODWIT_SOCKET_BOUND), socket.address_size)) return false;
  if (!address_fits(has(GODWIT_SOCKET_CONNECTED), socket.peer_size)) return false;
  if (has(socket.type == kDatagrams ? GODWIT_SOCKET_LISTENS : GODWIT_SOCKET_CONNECTED)) return false;
  return !has(GODWIT_SOCKET_NAMED) || (has(GODWIT_SOCKET_BOUND) && socket.domain == kUnix &&
                                       socket.address_size <= kNameMost && socket.address[kFamilySize] != 0);
}

}  // namespace

bool socket_is_known(const godwit_image_socket& socket) {
  if (socket.domain == kUnix) return socket.type == kStream || socket.type == kDatagrams || socket.type == kMessages;
  if (socket.domain != kInet && socket.domain != kInet6) return false;
  return (socket.type == kStream && socket.protocol == kTcp) || (socket.type == kDatagrams && socket.protocol == kUdp);
}

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
