// Descriptors that aren't files: what descriptors.cc asks of sockets*.cc and epoll.cc.
#pragma once

#include "portable/runtime/runtime.h"

namespace godwit::portable {

/// A socket as an image has it.
struct SocketImage {
  godwit_image_socket socket;
  godwit_image_option options[GODWIT_IMAGE_OPTIONS_MAX];
};

inline uint64_t size_of(const SocketImage& image) {
  return sizeof image.socket + image.socket.options * sizeof(godwit_image_option);
}

/// False: it can't move, `why` says what it is.
bool read_socket(int fd, SocketImage& out, Line& why);
/// A kind of which all is known.
bool socket_is_known(const godwit_image_socket& socket);
/// Makes it again, at its number. False: `why` has the reason.
bool make_socket(const godwit_image_descriptor& descriptor, const SocketImage& image, Line& why);

/// What the kernel doesn't tell of a socket, and was noted when the program said it.
uint32_t noted_backlog(uint64_t inode);
void note_backlog(int fd, uint32_t backlog);
/// A socket option that ties it to this machine, as its number; -1: none.
int noted_tie(uint64_t inode);

/// Options that a new socket of this kind has otherwise. How many there are; -1: they can't be looked at.
int read_options(int fd, const godwit_image_socket& kind, godwit_image_option* out);
/// Those before the socket is bound, or those after it.
bool set_options(int fd, const SocketImage& image, bool before_bind, Line& why);

/// An address of the kernel's, for people.
void add_address(Line& line, const uint8_t* address, uint64_t size);

/// The descriptors that an epoll watches. How many; -1: it can't move, `why` says why.
int read_interests(int fd, godwit_image_interest* out, uint32_t most, Line& why);
bool restore_interests(int fd, const godwit_image_interest* interests, uint32_t count, Line& why);

/// Puts what was just opened at its number.
bool place(int fd, const godwit_image_descriptor& descriptor);

}  // namespace godwit::portable
