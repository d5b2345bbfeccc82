// What an epoll watches: read from /proc, told to a new one when all descriptors are there.
//
// What was reported already is reported again if it still holds, also where a program has asked for edges only: nothing is lost.
#include <linux/eventpoll.h>

#include "portable/runtime/descriptors.h"
#include "portable/runtime/info.h"

namespace godwit::portable {
namespace {

/// "tfd: 5 events: 19 data: 5 pos:0 ino:1a2b sdev:9". False: what it watches isn't behind that number any more.
bool read_interest(const char* line, godwit_image_interest& out) {
  uint64_t fd = 0, events = 0, data = 0, inode = 0;
  if (!info_field(line, "tfd:", 10, fd) || !info_field(line, "events:", 16, events) ||
      !info_field(line, "data:", 16, data))
    return false;
  out.fd = static_cast<uint32_t>(fd);
  out.events = static_cast<uint32_t>(events);
  out.data = data;
  NeutralStat file;
  if (failed(native_stat(static_cast<long>(fd), nullptr, 0, file))) return false;
  return !info_field(line, "ino:", 16, inode) || inode == file.ino;
}

}  // namespace

int read_interests(int fd, godwit_image_interest* out, uint32_t most, Line& why) {
  uint32_t count = 0;
  const bool read = for_each_info_line(fd, [&](const char* line) {
    if (!after(line, "tfd:")) return true;
    return count < most && read_interest(line, out[count++]);
  });
  if (read) return static_cast<int>(count);
  why << "is an epoll that watches what can't be found: a descriptor that was closed, or more than " << most;
  return -1;
}

bool make_epoll(const godwit_image_descriptor& descriptor, const char*, Line& why) {
  const long made = sys(__NR_epoll_create1, 0);
  if (!failed(made) && place(static_cast<int>(made), descriptor)) return true;
  why << "descriptor " << descriptor.fd << " can't be made an epoll";
  return false;
}

bool finish_epoll(const godwit_image_descriptor& descriptor, const char* detail, Line& why) {
  const auto fd = static_cast<int>(descriptor.fd);
  const auto* interests = reinterpret_cast<const godwit_image_interest*>(detail);
  const uint32_t count = descriptor.detail_size / sizeof(godwit_image_interest);
  for (uint32_t i = 0; i < count; ++i) {
    epoll_event event = {};
    event.events = interests[i].events;
    event.data = interests[i].data;
    const long error = sys(__NR_epoll_ctl, fd, EPOLL_CTL_ADD, +interests[i].fd, &event);
    if (!failed(error)) continue;
    why << "descriptor " << fd << " is an epoll that can't watch descriptor " << interests[i].fd << " here (error "
        << -error << ")";
    return false;
  }
  return true;
}

}  // namespace godwit::portable
