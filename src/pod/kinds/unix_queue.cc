// The queue of a UNIX socket.
//
// SO_PEEK_OFF (since Linux 3.4) makes each MSG_PEEK start where the last one ended, so a walk over the queue takes
// nothing out. Three things need care:
//   * Credentials are shown, and on a stream separate messages, only while SO_PASSCRED is set on the reader. So it is
//     set for the walk. A message that was sent without any shows pid 0 and the overflow uid.
//   * On a stream, descriptors belong to the first byte of the send that carried them, but one peek may return bytes of
//     an earlier send in front of them. bytes_before_descriptors() finds where that send began.
//   * An empty datagram is passed over by the second walk that meets it (__skb_try_recv_from_queue, `peeked`). If one
//     stands at the head the socket polls readable while the walk finds nothing; then it is known to be there. One
//     between others is lost by a second checkpoint of the same program: a limit, as is that of the kernel's making.
#include "pod/kinds/unix_queue.h"

#include <linux/sockios.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "base/log.h"
#include "base/sys.h"
#include "godwit/pod_kinds_unix.pb.h"
#include "pod/kinds/socket_options.h"
#include "pod/kinds/unix_name.h"

namespace godwit::pod {
namespace {

constexpr int kSoPassPidfd = 76;
constexpr size_t kMaxDescriptors = 253;  // SCM_MAX_FD
constexpr uint32_t kOverflowId = 65534;  // /proc/sys/kernel/overflowuid by default

// Sets an option for as long as it lives.
class Borrowed {
 public:
  Borrowed(const Fd& socket, int name, int value) : socket_(socket), name_(name) {
    if (auto old = int_option(socket, SOL_SOCKET, name)) {
      old_ = *old;
      changed_ = set_int_option(socket, SOL_SOCKET, name, value).has_value();
    }
  }
  ~Borrowed() {
    if (changed_) (void)set_int_option(socket_, SOL_SOCKET, name_, old_);
  }
  Borrowed(const Borrowed&) = delete;
  Borrowed& operator=(const Borrowed&) = delete;

 private:
  const Fd& socket_;
  int name_, old_ = 0;
  bool changed_ = false;
};

struct Peeked {
  bool any = false;
  std::string data;
  std::string from_name;
  std::vector<Fd> files;
  bool has_credentials = false;
  ucred credentials{};
};

void take_control(msghdr& header, Peeked& out) {
  for (cmsghdr* c = CMSG_FIRSTHDR(&header); c != nullptr; c = CMSG_NXTHDR(&header, c)) {
    if (c->cmsg_level != SOL_SOCKET) continue;
    if (c->cmsg_type == SCM_RIGHTS) {
      const size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
      for (size_t i = 0; i < count; ++i) {
        int fd = -1;
        std::memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
        out.files.emplace_back(fd);
      }
    } else if (c->cmsg_type == SCM_CREDENTIALS) {
      std::memcpy(&out.credentials, CMSG_DATA(c), sizeof(ucred));
      // pid 0 and nobody: the sender gave none (scm_to_cred of an absent pid and the invalid uid).
      out.has_credentials = out.credentials.pid != 0 || out.credentials.uid != kOverflowId;
    }
  }
}

// One peek at offset `at` of at most `limit` bytes.
Result<Peeked> peek(const Fd& socket, int at, std::span<char> buffer) {
  TRY_DO(set_int_option(socket, SOL_SOCKET, SO_PEEK_OFF, at));
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * kMaxDescriptors) + CMSG_SPACE(sizeof(ucred)) + 256];
  sockaddr_un from{};
  iovec vector{buffer.data(), buffer.size()};
  msghdr header{.msg_name = &from,
                .msg_namelen = sizeof(from),
                .msg_iov = &vector,
                .msg_iovlen = 1,
                .msg_control = control,
                .msg_controllen = sizeof(control),
                .msg_flags = 0};
  const ssize_t n = ::recvmsg(socket.get(), &header, MSG_PEEK | MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  Peeked out;
  if (n < 0) {
    if (errno == EAGAIN) return out;
    return fail_errno(errno, "peeking into a UNIX socket");
  }
  take_control(header, out);
  if ((header.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0) {
    return fail(Code::kFailed, "a message of a UNIX socket is larger than " + std::to_string(buffer.size()) + " bytes");
  }
  out.any = n > 0 || header.msg_namelen > 0 || !out.files.empty() || header.msg_controllen > 0;
  out.data.assign(buffer.data(), static_cast<size_t>(n));
  constexpr size_t kOffset = offsetof(sockaddr_un, sun_path);
  if (header.msg_namelen > kOffset) {
    out.from_name.assign(from.sun_path, std::min<size_t>(header.msg_namelen - kOffset, sizeof(from.sun_path)));
    if (out.from_name[0] != '\0') out.from_name.resize(std::strlen(out.from_name.c_str()));
  }
  return out;
}

// Of a stream's peek that brought descriptors with its last message: how many of its bytes were sent before that.
// The kernel copies message by message and stops at one that it can't copy whole; so with room for all bytes but the
// last, and a bad address for that one, it gives just what comes before. (Shorter peeks don't tell: they bring the
// descriptors of the next message even when they end before it.)
Result<size_t> bytes_before_descriptors(const Fd& socket, int at, size_t size, std::span<char> buffer) {
  TRY_DO(set_int_option(socket, SOL_SOCKET, SO_PEEK_OFF, at));
  // Nothing is ever mapped at the address 1.
  iovec vectors[] = {{buffer.data(), size - 1}, {reinterpret_cast<void*>(uintptr_t{1}), 1}};
  msghdr header{};
  header.msg_iov = vectors;
  header.msg_iovlen = 2;
  const ssize_t n = ::recvmsg(socket.get(), &header, MSG_PEEK | MSG_DONTWAIT);
  if (n < 0 && errno != EFAULT) return fail_errno(errno, "peeking into a UNIX socket");
  return n < 0 ? 0 : static_cast<size_t>(n);
}

Result<void> record(DumpContext& ctx, const std::string& object, Peeked& peeked, pb::UnixSocket& out) {
  auto* message = out.add_queue();
  message->set_data(std::move(peeked.data));
  message->set_from_name(std::move(peeked.from_name));
  for (const Fd& fd : peeked.files) {
    TRY(const FileId id, ctx.file_of(fd, "a descriptor in flight in " + object));
    message->add_files(id);
  }
  if (peeked.has_credentials) {
    auto* c = message->mutable_credentials();
    c->set_uid(peeked.credentials.uid);
    c->set_gid(peeked.credentials.gid);
    if (auto pid = ctx.pid_in_tree(peeked.credentials.pid)) c->set_pid(*pid);
  }
  return {};
}

}  // namespace

Result<void> dump_unix_queue(DumpContext& ctx, const Fd& socket, const std::string& object, pb::UnixSocket& out) {
  pollfd poll{socket.get(), POLLIN | POLLPRI | POLLRDHUP, 0};
  if (::poll(&poll, 1, 0) <= 0 || (poll.revents & (POLLIN | POLLPRI)) == 0) return {};
  if ((poll.revents & POLLPRI) != 0) {
    ctx.refuse("unix-oob", object);
    return {};
  }
  const bool stream = out.type() == SOCK_STREAM;
  // A pending error (ECONNRESET) is given to whoever looks next, and gone then: a stream gives it after its data, so the
  // walk stops in time; a packet socket before.
  int unread = 0;
  if (::ioctl(socket.get(), SIOCINQ, &unread) != 0) return fail_errno(errno, "SIOCINQ");
  if (!stream && (poll.revents & POLLERR) != 0) {
    if (unread > 0) ctx.refuse("unix-error", object);
    return {};
  }
  const Borrowed peek_offset(socket, SO_PEEK_OFF, 0);
  const Borrowed credentials(socket, SO_PASSCRED, 1);
  const Borrowed no_pidfds(socket, kSoPassPidfd, 0);
  // The largest single message is bounded by the sender's buffer; what a stream's send makes at once by 48 KiB.
  TRY(int limit, int_option(socket, SOL_SOCKET, SO_RCVBUF));
  std::vector<char> buffer(static_cast<size_t>(std::max(limit, 1 << 20)) + 1);
  int at = 0;
  while (!stream || at < unread) {
    auto next = peek(socket, at, buffer);
    if (!next && next.error().code == Code::kFailed && !stream && buffer.size() < (1u << 30)) {
      buffer.resize(buffer.size() * 4);
      continue;
    }
    TRY_DO(next);
    Peeked& peeked = *next;
    if (!peeked.any) break;  // nothing more, or the end of the connection
    if (stream && peeked.data.empty()) break;
    if (stream && !peeked.files.empty()) {
      TRY(const size_t before, bytes_before_descriptors(socket, at, peeked.data.size(), buffer));
      if (before > 0) {
        Peeked plain;
        plain.data = peeked.data.substr(0, before);
        plain.has_credentials = peeked.has_credentials;
        plain.credentials = peeked.credentials;
        peeked.data.erase(0, before);
        at += static_cast<int>(before);
        TRY_DO(record(ctx, object, plain, out));
      }
    }
    at += static_cast<int>(peeked.data.size());
    TRY_DO(record(ctx, object, peeked, out));
  }
  if (out.type() == SOCK_DGRAM && out.queue_size() == 0 && (poll.revents & POLLRDHUP) == 0) out.add_queue();
  return {};
}

Result<void> send_unix_message(RestoreContext& ctx, const Fd& sender, int type, const pb::UnixMessage& message,
                               const UnixAddress* to) {
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * kMaxDescriptors) + CMSG_SPACE(sizeof(ucred))] = {};
  size_t used = 0;
  auto append = [&](int kind, const void* data, size_t size) {
    auto* c = reinterpret_cast<cmsghdr*>(control + used);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = kind;
    c->cmsg_len = CMSG_LEN(size);
    std::memcpy(CMSG_DATA(c), data, size);
    used += CMSG_SPACE(size);
  };
  if (static_cast<size_t>(message.files_size()) > kMaxDescriptors)
    return fail(Code::kCorrupt, "too many descriptors in a message");
  std::vector<int> files;
  for (const uint32_t id : message.files()) {
    TRY(const Fd* fd, ctx.file(id));
    files.push_back(fd->get());
  }
  if (!files.empty()) append(SCM_RIGHTS, files.data(), files.size() * sizeof(int));
  if (message.has_credentials()) {
    ucred c{::getpid(), message.credentials().uid(), message.credentials().gid()};
    // A sender that is gone shows as this process, which the unit's own PID namespace sees as 0.
    if (message.credentials().pid() != 0) {
      if (auto pid = ctx.host_pid(message.credentials().pid())) c.pid = *pid;
    }
    append(SCM_CREDENTIALS, &c, sizeof(c));
  }
  std::string_view rest = message.data();
  do {
    iovec vector{const_cast<char*>(rest.data()), rest.size()};
    msghdr header{};
    if (to != nullptr) {
      header.msg_name = const_cast<sockaddr_un*>(&to->address);
      header.msg_namelen = to->length;
    }
    header.msg_iov = &vector;
    header.msg_iovlen = 1;
    header.msg_control = used == 0 ? nullptr : control;
    header.msg_controllen = used;
    const ssize_t n = ::sendmsg(sender.get(), &header, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0) return fail_errno(errno, "sending " + std::to_string(rest.size()) + " bytes that were in flight");
    rest.remove_prefix(static_cast<size_t>(n));
    if (!files.empty()) used = 0;  // descriptors go with the first byte only
  } while (type == SOCK_STREAM && !rest.empty());
  return {};
}

}  // namespace godwit::pod
