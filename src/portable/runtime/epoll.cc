// What an epoll watches: read from /proc, told to a new one when all descriptors are there.
//
// What was reported already is reported again if it still holds, also where a program has asked for edges only: nothing is lost.
#include <asm/errno.h>
#include <linux/eventpoll.h>
#include <linux/fcntl.h>

#include "portable/runtime/descriptors.h"

namespace godwit::portable {
namespace {

const char* skip_blanks(const char* at) {
  while (*at == ' ' || *at == '\t') ++at;
  return at;
}

/// The number behind a name in a line of fdinfo. False: it isn't there.
bool field(const char* line, const char* name, uint32_t base, uint64_t& value) {
  for (const char* at = line; *at; ++at) {
    const char* digits = after(at, name);
    if (!digits) continue;
    value = 0;
    bool any = false;
    for (digits = skip_blanks(digits);; ++digits) {
      const char c = *digits;
      const uint32_t digit = c >= '0' && c <= '9'   ? static_cast<uint32_t>(c - '0')
                             : c >= 'a' && c <= 'f' ? static_cast<uint32_t>(c - 'a' + 10)
                                                    : 16;
      if (digit >= base) return any;
      value = value * base + digit;
      any = true;
    }
  }
  return false;
}

/// "tfd: 5 events: 19 data: 5 pos:0 ino:1a2b sdev:9". False: what it watches isn't behind that number any more.
bool read_interest(const char* line, godwit_image_interest& out) {
  uint64_t fd = 0, events = 0, data = 0, inode = 0;
  if (!field(line, "tfd:", 10, fd) || !field(line, "events:", 16, events) || !field(line, "data:", 16, data))
    return false;
  out.fd = static_cast<uint32_t>(fd);
  out.events = static_cast<uint32_t>(events);
  out.data = data;
  NeutralStat file;
  if (failed(native_stat(static_cast<long>(fd), nullptr, 0, file))) return false;
  return !field(line, "ino:", 16, inode) || inode == file.ino;
}

/// Calls `each(line)`; false when a line couldn't be used.
template <class Each>
bool for_each_line(int file, Each each) {
  char line[256], bytes[1024];
  size_t used = 0;
  for (;;) {
    const long got = sys(__NR_read, file, bytes, sizeof bytes);
    if (got == -EINTR) continue;
    if (failed(got) || got == 0) return !failed(got);
    for (long i = 0; i < got; ++i) {
      if (bytes[i] != '\n') {
        if (used + 1 < sizeof line) line[used++] = bytes[i];
        continue;
      }
      line[used] = 0;
      used = 0;
      if (!each(line)) return false;
    }
  }
}

}  // namespace

int read_interests(int fd, godwit_image_interest* out, uint32_t most, Line& why) {
  Text<64> name;
  name << "/proc/thread-self/fdinfo/" << fd;
  const long info = sys(__NR_openat, AT_FDCWD, name.text(), O_RDONLY | O_CLOEXEC);
  uint32_t count = 0;
  const bool read = !failed(info) && for_each_line(static_cast<int>(info), [&](const char* line) {
    if (!after(line, "tfd:")) return true;
    return count < most && read_interest(line, out[count++]);
  });
  if (!failed(info)) sys(__NR_close, info);
  if (read) return static_cast<int>(count);
  why << "is an epoll that watches what can't be found: a descriptor that was closed, or more than " << most;
  return -1;
}

bool restore_interests(int fd, const godwit_image_interest* interests, uint32_t count, Line& why) {
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
