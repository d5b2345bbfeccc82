// cr: UNIX datagram sockets: pairs, several senders to one name, empty and unread datagrams, credentials
#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "util/step.h"

namespace {

sockaddr_un address_of(const char* name) {
  sockaddr_un a = {};
  a.sun_family = AF_UNIX;
  strcpy(a.sun_path, name);
  return a;
}
socklen_t size_of(const char* name) {
  return static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + strlen(name) + 1);
}

int bound(const char* name) {
  unlink(name);
  int fd = CHECK_FD(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  sockaddr_un a = address_of(name);
  MUST(bind(fd, reinterpret_cast<sockaddr*>(&a), size_of(name)));
  return fd;
}

void put(int fd, const char* text) { CHECK_EQ(send(fd, text, strlen(text), 0), strlen(text)); }

void expect(int fd, const char* text, const char* from) {
  char buffer[256];
  sockaddr_un a = {};
  socklen_t size = sizeof a;
  CHECK_EQ(recvfrom(fd, buffer, sizeof buffer, MSG_DONTWAIT, reinterpret_cast<sockaddr*>(&a), &size), strlen(text));
  CHECK(memcmp(buffer, text, strlen(text)) == 0);
  if (*from) {
    CHECK(strcmp(a.sun_path, from) == 0);
  } else {
    CHECK(size <= sizeof(sa_family_t));
  }
}

}  // namespace

int main() {
  int pair[2];
  MUST(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, pair));
  int server = bound("log.sock"), one = bound("one.sock");
  int two = CHECK_FD(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  sockaddr_un to = address_of("log.sock");
  MUST(connect(one, reinterpret_cast<sockaddr*>(&to), size_of("log.sock")));
  MUST(connect(two, reinterpret_cast<sockaddr*>(&to), size_of("log.sock")));
  int yes = 1;
  int told[2];
  MUST(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, told));
  MUST(setsockopt(told[1], SOL_SOCKET, SO_PASSCRED, &yes, sizeof yes));
  put(told[0], "it is me");
  put(one, "from one");
  put(two, "from two");
  put(pair[0], "first");
  put(pair[1], "other way");
  ready();
  for (int i = 0; i < steps(); i++) {
    put(one, "from one");
    expect(server, "from one", "one.sock");
    put(two, "from two");
    expect(server, "from two", "");
    put(pair[0], "");
    step();
    expect(pair[1], "first", "");
    expect(pair[1], "", "");
    put(pair[0], "first");
    note("round %d", i);
  }
  expect(pair[0], "other way", "");
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(ucred))];
  char text[16];
  iovec part = {text, sizeof text};
  msghdr h = {};
  h.msg_iov = &part;
  h.msg_iovlen = 1;
  h.msg_control = control;
  h.msg_controllen = sizeof control;
  CHECK_EQ(recvmsg(told[1], &h, 0), 8);
  cmsghdr* c = CMSG_FIRSTHDR(&h);
  CHECK(c != nullptr && c->cmsg_type == SCM_CREDENTIALS);
  ucred who;
  memcpy(&who, CMSG_DATA(c), sizeof who);
  CHECK_EQ(who.pid, getpid());
  CHECK_EQ(who.uid, getuid());
  unlink("log.sock");
  unlink("one.sock");
  finish();
}
