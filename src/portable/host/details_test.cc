// The runtime's look at what follows a descriptor in an image (../runtime/details.cc), natively: it makes no system calls.
#include <gtest/gtest.h>

#include <cstring>
#include <string>

#include "portable/runtime/details.cc"

namespace godwit::portable {
namespace {

constexpr uint32_t kBound = GODWIT_SOCKET_BOUND, kListens = GODWIT_SOCKET_LISTENS, kConnected = GODWIT_SOCKET_CONNECTED,
                   kNamed = GODWIT_SOCKET_NAMED;

struct Kind {
  uint32_t domain, type, protocol;
};
constexpr Kind kUnixStream{1, 1, 0}, kUnixDatagrams{1, 2, 0}, kTcp4{2, 1, 6}, kUdp6{10, 2, 17};

/// With the family, in the image's order of bytes.
std::string address(uint8_t family, const std::string& rest) {
  return std::string({static_cast<char>(family), '\0'}) + rest;
}

bool sound(const Kind& kind, uint32_t state, const std::string& own, const std::string& peer = "") {
  alignas(8) SocketImage image = {};
  image.socket.domain = kind.domain;
  image.socket.type = kind.type;
  image.socket.protocol = kind.protocol;
  image.socket.state = state;
  image.socket.address_size = static_cast<uint32_t>(own.size());
  image.socket.peer_size = static_cast<uint32_t>(peer.size());
  std::memcpy(image.socket.address, own.data(), std::min(own.size(), sizeof image.socket.address));
  std::memcpy(image.socket.peer, peer.data(), std::min(peer.size(), sizeof image.socket.peer));
  godwit_image_descriptor descriptor = {};
  descriptor.kind = GODWIT_FD_SOCKET;
  descriptor.detail_size = static_cast<uint32_t>(size_of(image));
  return detail_is_sound(descriptor, reinterpret_cast<const char*>(&image));
}

TEST(Details, SocketsAsTheyAreWritten) {
  EXPECT_TRUE(sound(kUnixStream, 0, ""));
  EXPECT_TRUE(sound(kUnixStream, kBound | kListens | kNamed, address(1, "/run/a")));
  EXPECT_TRUE(sound(kUnixStream, kBound | kListens, address(1, std::string("\0name", 5))));
  EXPECT_TRUE(sound(kUnixStream, kBound | kNamed, address(1, "/" + std::string(107, 'x'))));
  EXPECT_TRUE(sound(kTcp4, kBound | kListens, address(2, std::string(14, 'x'))));
  EXPECT_TRUE(sound(kUdp6, kBound | kConnected, address(10, std::string(26, 'x')), address(10, std::string(26, 'y'))));
  EXPECT_TRUE(sound(kUnixDatagrams, kConnected, "", address(1, "/run/b")));
}

TEST(Details, APathIsAlwaysBoundAsAName) {
  EXPECT_FALSE(sound(kUnixStream, kBound | kListens, address(1, "/run/a")));
  EXPECT_FALSE(sound(kUnixDatagrams, kBound, address(1, "/run/a")));
  EXPECT_FALSE(sound(kUnixStream, kNamed, ""));
  EXPECT_FALSE(sound(kUnixStream, kBound | kNamed, address(1, std::string("\0name", 5))));
  EXPECT_FALSE(sound(kTcp4, kBound | kNamed, address(2, std::string(14, 'x'))));
}

TEST(Details, AddressesAreNoLongerThanTheKernels) {
  EXPECT_FALSE(sound(kUnixStream, kBound | kNamed, address(1, "/" + std::string(108, 'x'))));
  EXPECT_FALSE(sound(kTcp4, kBound, address(2, std::string(15, 'x'))));
  EXPECT_FALSE(sound(kUdp6, kBound, address(10, std::string(27, 'x'))));
  EXPECT_FALSE(sound(kUdp6, kConnected, "", address(10, std::string(126, 'x'))));
  EXPECT_FALSE(sound(kTcp4, kBound, address(2, "")));
}

TEST(Details, AnAddressIsOfItsSocketsFamily) {
  EXPECT_FALSE(sound(kTcp4, kBound, address(1, "/run/a")));
  EXPECT_FALSE(sound(kUnixStream, kBound | kNamed, address(2, "/run/a")));
  EXPECT_FALSE(sound(kUdp6, kConnected, "", address(2, std::string(14, 'x'))));
  EXPECT_FALSE(sound(kUdp6, kConnected, "", std::string("\x0a\x01") + std::string(26, 'x')));
}

}  // namespace
}  // namespace godwit::portable
