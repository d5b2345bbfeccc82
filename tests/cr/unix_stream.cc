// cr: UNIX stream and packet sockets: pairs, named, abstract, a backlog, half-closed ones, data and descriptors in flight
#include <poll.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "util/step.h"

namespace {

sockaddr_un address_of(const char* name, size_t length, socklen_t* size) {
  sockaddr_un a = {};
  a.sun_family = AF_UNIX;
  memcpy(a.sun_path, name, length);
  *size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + length);
  return a;
}

int connect_to(const sockaddr_un& a, socklen_t size, int type) {
  int fd = CHECK_FD(socket(AF_UNIX, type | SOCK_CLOEXEC, 0));
  MUST(connect(fd, reinterpret_cast<const sockaddr*>(&a), size));
  return fd;
}

void put(int fd, const char* text) { CHECK_EQ(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text)); }

void expect(int fd, const char* text) {
  char buffer[256] = {};
  size_t n = strlen(text);
  CHECK_EQ(recv(fd, buffer, n == 0 ? sizeof buffer : n, n == 0 ? 0 : MSG_WAITALL), n);
  CHECK(memcmp(buffer, text, n) == 0);
}

void send_descriptor(int socket, int fd, char byte) {
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  iovec part = {&byte, 1};
  msghdr h = {};
  h.msg_iov = &part;
  h.msg_iovlen = 1;
  h.msg_control = control;
  h.msg_controllen = sizeof control;
  cmsghdr* c = CMSG_FIRSTHDR(&h);
  c->cmsg_level = SOL_SOCKET;
  c->cmsg_type = SCM_RIGHTS;
  c->cmsg_len = CMSG_LEN(sizeof(int));
  memcpy(CMSG_DATA(c), &fd, sizeof fd);
  CHECK_EQ(sendmsg(socket, &h, 0), 1);
}

int receive_descriptor(int socket, char byte) {
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  char got = 0;
  iovec part = {&got, 1};
  msghdr h = {};
  h.msg_iov = &part;
  h.msg_iovlen = 1;
  h.msg_control = control;
  h.msg_controllen = sizeof control;
  CHECK_EQ(recvmsg(socket, &h, MSG_CMSG_CLOEXEC), 1);
  CHECK_EQ(got, byte);
  cmsghdr* c = CMSG_FIRSTHDR(&h);
  CHECK(c != nullptr && c->cmsg_type == SCM_RIGHTS);
  int fd = -1;
  memcpy(&fd, CMSG_DATA(c), sizeof fd);
  return fd;
}

// A child that sends back whatever comes, until the end of file.
int echo(int fd) {
  char buffer[4096];
  for (;;) {
    ssize_t n = recv(fd, buffer, sizeof buffer, 0);
    if (n == 0) return 0;
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 || send(fd, buffer, static_cast<size_t>(n), MSG_NOSIGNAL) != n) return 1;
  }
}

}  // namespace

int main() {
  int pair[2], packets[2], half[2], lost[2], carrier[2];
  MUST(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair));
  MUST(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, packets));
  MUST(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, half));
  MUST(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, lost));
  MUST(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, carrier));
  put(half[0], "last words");
  MUST(shutdown(half[0], SHUT_WR));
  put(lost[1], "farewell");
  MUST(close(lost[1]));

  // Untouched until the end: a descriptor that is only in flight, between bytes that are older and newer.
  int flight[2];
  MUST(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, flight));
  put(carrier[0], "before");
  send_descriptor(carrier[0], flight[1], '!');
  put(carrier[0], "after");
  MUST(close(flight[1]));

  // A server with a path name (relative: the name is what getsockname gives), a client, and one that waits.
  unlink("server.sock");
  socklen_t path_size, abstract_size;
  sockaddr_un path = address_of("server.sock", 11, &path_size);
  int server = CHECK_FD(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  MUST(bind(server, reinterpret_cast<sockaddr*>(&path), path_size));
  MUST(listen(server, 8));
  int client = connect_to(path, path_size, SOCK_STREAM);
  int accepted = CHECK_FD(accept4(server, nullptr, nullptr, SOCK_CLOEXEC));
  int waiting = connect_to(path, path_size, SOCK_STREAM);

  // Units on one node share its abstract names, and each has the same PID.
  struct stat here;
  MUST(stat(".", &here));
  char name[64];
  name[0] = 0;
  int length = 1 + snprintf(name + 1, sizeof name - 1, "godwit-cr-%lu", here.st_ino);
  sockaddr_un abstract = address_of(name, static_cast<size_t>(length), &abstract_size);
  int hidden = CHECK_FD(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  MUST(bind(hidden, reinterpret_cast<sockaddr*>(&abstract), abstract_size));
  MUST(listen(hidden, 4));

  int child_pair[2];
  MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, child_pair));
  pid_t child = spawn([&] {
    close(child_pair[0]);
    return echo(child_pair[1]);
  });
  MUST(close(child_pair[1]));

  put(pair[0], "0");
  put(packets[0], "0");
  ready();
  for (int i = 0; i < steps(); i++) {
    char now[32], next[32];
    snprintf(now, sizeof now, "%d", i);
    snprintf(next, sizeof next, "%d", i + 1);
    put(pair[0], next);  // one more than is read: always data in flight
    expect(pair[1], now);
    put(packets[0], next);
    char packet[64] = {};
    CHECK_EQ(recv(packets[1], packet, sizeof packet, 0), strlen(now));
    CHECK(strcmp(packet, now) == 0);
    put(client, "ping");
    expect(accepted, "ping");
    put(child_pair[0], now);
    expect(child_pair[0], now);
    int fresh = connect_to(abstract, abstract_size, SOCK_SEQPACKET);
    int other = CHECK_FD(accept4(hidden, nullptr, nullptr, SOCK_CLOEXEC));
    put(fresh, "fresh");
    step();
    expect(other, "fresh");
    sockaddr_un peer = {};
    socklen_t peer_size = sizeof peer;
    MUST(getpeername(fresh, reinterpret_cast<sockaddr*>(&peer), &peer_size));
    CHECK_EQ(peer_size, abstract_size);
    CHECK(memcmp(&peer, &abstract, abstract_size) == 0);
    MUST(close(fresh));
    MUST(close(other));
    note("round %d", i);
  }
  put(waiting, "I waited");
  int late = CHECK_FD(accept4(server, nullptr, nullptr, SOCK_CLOEXEC));
  expect(late, "I waited");
  sockaddr_un own = {};
  socklen_t own_size = sizeof own;
  MUST(getsockname(late, reinterpret_cast<sockaddr*>(&own), &own_size));
  CHECK(strcmp(own.sun_path, "server.sock") == 0);
  int newcomer = connect_to(path, path_size, SOCK_STREAM);
  CHECK_FD(accept4(server, nullptr, nullptr, SOCK_CLOEXEC));
  CHECK(newcomer >= 0);
  expect(half[1], "last words");
  expect(half[1], "");
  put(half[1], "still");
  expect(half[0], "still");
  expect(lost[0], "farewell");
  expect(lost[0], "");
  expect(carrier[1], "before");
  int arrived = receive_descriptor(carrier[1], '!');
  expect(carrier[1], "after");
  put(arrived, "through it");
  expect(flight[0], "through it");
  MUST(close(child_pair[0]));
  CHECK_EQ(reap(child), 0);
  unlink("server.sock");
  finish();
}
