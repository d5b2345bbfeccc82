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

template <class Object>
bool object_is_sound(uint32_t kind, const Object& object, uint32_t same_as = 4, uint32_t more = 0) {
  godwit_image_descriptor descriptor = {};
  descriptor.kind = kind;
  descriptor.fd = 3;
  descriptor.same_as = same_as;
  descriptor.detail_size = sizeof object + more;
  return detail_is_sound(descriptor, reinterpret_cast<const char*>(&object));
}

TEST(Details, PipesAsTheyAreWritten) {
  EXPECT_TRUE(object_is_sound(GODWIT_FD_PIPE, godwit_image_pipe{65536, 0}));
  EXPECT_TRUE(object_is_sound(GODWIT_FD_PIPE, godwit_image_pipe{4096, GODWIT_PIPE_SECOND | GODWIT_PIPE_PACKETS}));
  EXPECT_FALSE(object_is_sound(GODWIT_FD_PIPE, godwit_image_pipe{0, 0}));
  EXPECT_FALSE(object_is_sound(GODWIT_FD_PIPE, godwit_image_pipe{UINT32_MAX, 0}));
  EXPECT_FALSE(object_is_sound(GODWIT_FD_PIPE, godwit_image_pipe{65536, 4}));
  EXPECT_FALSE(object_is_sound(GODWIT_FD_PIPE, godwit_image_pipe{65536, 0}, GODWIT_IMAGE_FD_MAX + 1));
  EXPECT_FALSE(object_is_sound(GODWIT_FD_PIPE, godwit_image_pipe{65536, 0}, 4, 1));
}

TEST(Details, PairsAreUnixSocketsWithoutAddresses) {
  const auto pair = [](uint32_t domain, uint32_t state, uint32_t address_size, uint32_t options = 0) {
    godwit_image_socket socket = {};
    socket.domain = domain;
    socket.type = 1;
    socket.protocol = domain == 1 ? 0 : 6;
    socket.state = state;
    socket.address_size = address_size;
    socket.options = options;
    return object_is_sound(GODWIT_FD_PAIR, socket);
  };
  EXPECT_TRUE(pair(1, 0, 0));
  EXPECT_TRUE(pair(1, GODWIT_SOCKET_SECOND | GODWIT_SOCKET_SHUT_READ | GODWIT_SOCKET_RESET, 0));
  EXPECT_FALSE(pair(2, 0, 0));
  EXPECT_FALSE(pair(1, GODWIT_SOCKET_LISTENS, 0));
  EXPECT_FALSE(pair(1, GODWIT_SOCKET_BOUND, 8));
  EXPECT_FALSE(pair(1, 0, 8));
  EXPECT_FALSE(pair(1, 0, 0, 1));  // which isn't there
  EXPECT_FALSE(pair(1, 0, 0, GODWIT_IMAGE_OPTIONS_MAX + 1));
}

TEST(Details, WhatIsUnreadHasALimitOfItsOwn) {
  godwit_image_descriptor descriptor = {};
  descriptor.kind = GODWIT_FD_UNREAD;
  descriptor.detail_size = GODWIT_IMAGE_UNREAD_MAX;
  EXPECT_TRUE(detail_is_sound(descriptor, nullptr));
  descriptor.detail_size = GODWIT_IMAGE_UNREAD_MAX + 1;
  EXPECT_FALSE(detail_is_sound(descriptor, nullptr));
  descriptor.kind = GODWIT_FD_EPOLL;
  descriptor.detail_size = GODWIT_IMAGE_DETAIL_MAX + sizeof(godwit_image_interest);
  EXPECT_FALSE(detail_is_sound(descriptor, nullptr));
}

TEST(Details, EventsHaveACountThatTheKernelTakes) {
  EXPECT_TRUE(object_is_sound(GODWIT_FD_EVENT, godwit_image_event{UINT64_MAX - 1, 1}));
  EXPECT_FALSE(object_is_sound(GODWIT_FD_EVENT, godwit_image_event{UINT64_MAX, 0}));
  EXPECT_FALSE(object_is_sound(GODWIT_FD_EVENT, godwit_image_event{0, 2}));
  EXPECT_FALSE(object_is_sound(GODWIT_FD_EVENT, godwit_image_event{0, 0}, 4, 1));
}

TEST(Details, TimersHaveWhatOneCanHave) {
  const auto timer = [](uint32_t clock, uint32_t flags, uint64_t due, uint64_t interval, uint64_t ticks) {
    return object_is_sound(GODWIT_FD_TIMER, godwit_image_timer{clock, flags, due, interval, ticks});
  };
  EXPECT_TRUE(timer(1, 0, 0, 0, 0));
  EXPECT_TRUE(timer(0, 3, INT64_MAX, INT64_MAX, INT64_MAX));
  EXPECT_TRUE(timer(7, 0, 5, 1, 1000));
  EXPECT_TRUE(timer(1, 0, 0, 0, 1));
  EXPECT_TRUE(timer(1, 0, 0, 9, 0));
  EXPECT_FALSE(timer(1, 0, 0, 0, 2));
  EXPECT_FALSE(timer(1, 0, 0, 9, 1));
  EXPECT_FALSE(timer(1, 0, 5, 0, 1));
  EXPECT_FALSE(timer(10, 0, 0, 0, 0));
  EXPECT_FALSE(timer(1, 4, 0, 0, 0));
  EXPECT_FALSE(timer(1, 0, UINT64_C(1) << 63, 0, 0));
  EXPECT_FALSE(timer(1, 0, 5, UINT64_C(1) << 63, 0));
}

}  // namespace
}  // namespace godwit::portable
