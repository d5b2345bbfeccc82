// Descriptors that aren't files: what descriptors.cc and kinds.cc ask of the files of each kind.
#pragma once

#include <asm/fcntl.h>

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
bool make_epoll(const godwit_image_descriptor& descriptor, const char* detail, Line& why);
bool finish_epoll(const godwit_image_descriptor& descriptor, const char* detail, Line& why);

// ---- made.cc

/// What the program made itself, and may still be the only one to have.
struct Made {
  uint32_t kind;  ///< GODWIT_FD_PIPE, PAIR, EVENT
  uint64_t id;  ///< its inode; of an eventfd its own number
  uint64_t other;  ///< PAIR: the other one's inode
  bool semaphore;
  bool given_away;  ///< others may have it, too
  bool open;  ///< while they are looked through
  uint8_t shut;  ///< PAIR: 1 for reading, 2 for writing
};
void note_made(const Made& made);
void note_shut(uint64_t inode, int64_t how);
bool find_made(uint32_t kind, uint64_t id, Made& out);
/// A process that has this, too, if it was given away; 0: none that can be seen. `link` is what /proc says of a descriptor of it.
int holder_of(const Made& made, const char* link);

// ---- pipes.cc, pairs*.cc, eventfds.cc, timerfds.cc. What reads one says what it is, when false, what makes one begins with its number.

bool read_pipe(godwit_image_descriptor& descriptor, const Made& made, const char* link, godwit_image_pipe& out,
               Line& why);
bool read_pipe_content(const godwit_image_descriptor& descriptor, const godwit_image_pipe& pipe, Line& why);
bool make_pipe(const godwit_image_descriptor& descriptor, const char* detail, Line& why);
bool read_pair(godwit_image_descriptor& descriptor, const Made& made, const char* link, SocketImage& out, Line& why);
bool read_pair_content(const godwit_image_descriptor& descriptor, const Made& made, const SocketImage& image,
                       Line& why);
bool make_pair(const godwit_image_descriptor& descriptor, const char* detail, Line& why);
bool finish_pair(const godwit_image_descriptor& descriptor, const char* detail, Line& why);
bool read_event(int fd, const char* link, godwit_image_event& out, Line& why);
bool make_event(const godwit_image_descriptor& descriptor, const char* detail, Line& why);
bool read_timer(int fd, godwit_image_timer& out, Line& why);
bool make_timer(const godwit_image_descriptor& descriptor, const char* detail, Line& why);
/// Behind the commit, when the unit's clocks are set.
bool arm_timer(const godwit_image_descriptor& descriptor, const char* detail, Line& why);

// ---- unread.cc: what wasn't read yet of a pipe or a pair

/// The end that has just been made, and the one through which it is filled again.
struct Filling {
  int fd = -1;
  int through = -1;
  bool closes = false;  ///< afterwards
  bool is_socket = false;
  bool resets = false;  ///< it is closed with something unread in it
};
void begin_filling(const Filling& now);
bool put_unread(const godwit_image_descriptor& descriptor, const char* bytes, Line& why);
/// A program may have sent with a larger buffer than it has now, or than a new socket has. What it had before; 0: it isn't known.
uint32_t enlarge_send_buffer(int fd);
void put_send_buffer_back(int fd, uint32_t before);
uint32_t send_buffer_of(int fd);
/// Puts two ends at their numbers; the second aside when its own is closed. `ends` are these then.
bool place_ends(int (&ends)[2], const godwit_image_descriptor& descriptor);
/// The second end, which the first has put at its number. False: it hasn't.
bool claim_end(const godwit_image_descriptor& descriptor);

// ---- descriptors.cc: those that were collected

/// Room for bytes that weren't read, behind all that was collected. keep_unread() makes a record of them, and puts `beside` behind it,
/// which isn't written.
char* unread_room(uint64_t& room);
bool keep_unread(const godwit_image_descriptor& descriptor, uint64_t size, Line& why, const char* beside = nullptr,
                 uint64_t more = 0);

/// A row of the table of what was collected.
struct Found {
  godwit_image_descriptor* descriptor;  ///< its detail follows
  uint64_t dev, ino;
};
uint32_t kept_descriptors();
/// What was kept behind the first `count` is forgotten.
void forget_behind(uint32_t count);
const Found& kept_descriptor(uint32_t index);

/// Calls `each(descriptor, detail)` for what was found before with this inode.
template <class Each>
void for_each_end(uint32_t kind, uint64_t inode, Each each) {
  for (uint32_t i = 0; i < kept_descriptors(); ++i) {
    const Found& found = kept_descriptor(i);
    if (found.descriptor->kind == kind && found.ino == inode) each(*found.descriptor, found.descriptor + 1);
  }
}

/// Calls `each(bytes, size, beside, more)` for those that were kept since there were `from` descriptors.
template <class Each>
void for_each_unread(uint32_t from, Each each) {
  for (uint32_t i = from; i < kept_descriptors(); ++i) {
    godwit_image_descriptor& descriptor = *kept_descriptor(i).descriptor;
    auto* bytes = reinterpret_cast<char*>(&descriptor + 1);
    const uint64_t size = descriptor.detail_size;
    each(bytes, size, bytes + ((size + 7) & ~UINT64_C(7)), +descriptor.offset);
  }
}

// ---- Small things

/// What openat acts on once, and F_GETFL may still show.
inline constexpr long kActOnce = O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC;
/// One that is the same everywhere.
bool portable_device(uint64_t rdev);

/// What poll(2) says of it now, of something to read and of its end.
int16_t poll_now(int fd);
/// Family, type and protocol.
void read_socket_kind(int fd, godwit_image_socket& socket);
/// Open flags of an image, given to one that is there.
void set_flags(const godwit_image_descriptor& descriptor);

/// Calls `each` for all descriptors that are open. False: /proc can't be read.
bool for_each_open(void (*each)(int fd));

/// Puts what was just opened at its number.
bool place(int fd, const godwit_image_descriptor& descriptor);

}  // namespace godwit::portable
