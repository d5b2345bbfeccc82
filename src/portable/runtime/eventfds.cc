// eventfds: a count, and whether it is a semaphore. The kernel tells the second since Linux 6.5; before that it is what was noted.
#include <linux/fcntl.h>

#include "portable/runtime/descriptors.h"
#include "portable/runtime/info.h"

namespace godwit::portable {

bool read_event(int fd, const char* link, godwit_image_event& out, Line& why) {
  uint64_t id = 0, count = 0, semaphore = 0;
  Made made = {};
  if (!read_info_field(fd, "eventfd-id:", 10, id) || !find_made(GODWIT_FD_EVENT, id, made)) {
    why << "is an eventfd that the program didn't make itself: others may have it, too";
    return false;
  }
  if (const int holder = holder_of(made, link)) {
    why << "is an eventfd that process " << holder << " has, too";
    return false;
  }
  if (!read_info_field(fd, "eventfd-count:", 16, count)) {
    why << "is an eventfd whose count can't be read";
    return false;
  }
  out.count = count;
  out.semaphore = read_info_field(fd, "eventfd-semaphore:", 10, semaphore) ? semaphore != 0 : made.semaphore;
  return true;
}

bool make_event(const godwit_image_descriptor& descriptor, const char* detail, Line& why) {
  if (kBigEndian) {
    why << "descriptor " << descriptor.fd
        << " is an eventfd, of which a program would read the number with its bytes turned over here";
    return false;
  }
  constexpr uint64_t kSemaphore = 1;
  const auto& event = *reinterpret_cast<const godwit_image_event*>(detail);
  const uint64_t count = event.count;
  const long made = sys(__NR_eventfd2, 0, (event.semaphore ? kSemaphore : 0) | O_NONBLOCK);
  const bool counts = !failed(made) && (!count || sys(__NR_write, made, &count, sizeof count) == sizeof count);
  if (!counts || !place(static_cast<int>(made), descriptor)) {
    why << "descriptor " << descriptor.fd << " can't be made an eventfd here";
    return false;
  }
  const auto fd = static_cast<int>(descriptor.fd);
  set_flags(descriptor);
  uint64_t id = 0;
  read_info_field(fd, "eventfd-id:", 10, id);
  note_made({.kind = GODWIT_FD_EVENT, .id = id, .semaphore = event.semaphore != 0});
  return true;
}

}  // namespace godwit::portable
