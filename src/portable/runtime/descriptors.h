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
/// Makes it again, at its number, with its address. It doesn't listen yet. False: `why` has the reason.
bool make_socket(const godwit_image_descriptor& descriptor, const SocketImage& image, Line& why);
/// When all are made: until it listens nobody else can have its address, also if both would share it.
void hold_address(int fd, const SocketImage& image);
/// Behind the commit, if it is one that listens.
bool start_listening(int fd, const SocketImage& image, Line& why);

/// 0: there is no such descriptor.
uint64_t inode_of(int fd);
/// What the kernel doesn't tell of a socket, and was noted when the program said it.
uint32_t noted_backlog(uint64_t inode);
void note_backlog(int fd, uint32_t backlog);
/// A socket option that ties it to this machine, as its number; -1: none.
int noted_tie(uint64_t inode);
/// False: there were too many to note.
bool ties_are_known();

/// Options that a new socket of this kind has otherwise. How many there are; -1: they can't be looked at.
int read_options(int fd, const godwit_image_socket& kind, godwit_image_option* out);
/// A new save: the machine's settings may be others.
void forget_usual_options();
/// Those before the socket is bound, or those after it.
bool set_options(int fd, const SocketImage& image, bool before_bind, Line& why);

/// An address of the kernel's, for people.
void add_address(Line& line, const uint8_t* address, uint64_t size);

/// The descriptors that an epoll watches. How many; -1: it can't move, `why` says why.
int read_interests(int fd, godwit_image_interest* out, uint32_t most, Line& why);
bool restore_interests(int fd, const godwit_image_interest* interests, uint32_t count, Line& why);

/// Calls `each` for all descriptors that are open. False: /proc can't be read.
bool for_each_open(void (*each)(int fd));

/// Puts what was just opened at its number.
bool place(int fd, const godwit_image_descriptor& descriptor);

}  // namespace godwit::portable
