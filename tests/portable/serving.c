/* Serves on sockets of all kinds, each with a way of waiting of its own, and tells what it knows of them when asked.
 *
 * usage: serving PORT PATH ABSTRACT [OBJECT]
 *
 * PORT: TCP over IPv4, waited for by accept; PORT+1: over IPv6 only, by poll; PORT+2: UDP, by select; PATH: a UNIX socket's, by epoll;
 * ABSTRACT: one's without a file, by an epoll that is told of edges only. Whoever connects gets a
 * line: the service, a count, and what the kernel says of the socket. OBJECT: something that bars a move: "ours", "group",
 * "groups"; or "fork": children do what a thread of their parent was doing. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static void must(int ok, const char* what) {
  if (ok) return;
  perror(what);
  exit(3);
}

static int number(int fd, int level, int name) {
  int value = -1;
  socklen_t size = sizeof value;
  return getsockopt(fd, level, name, &value, &size) == 0 ? value : -1;
}

static void set(int fd, int level, int name, int value) {
  must(setsockopt(fd, level, name, &value, sizeof value) == 0, "setsockopt");
}

/* All that must be as before. */
static void describe(int fd, char* text, size_t size) {
  union {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    struct sockaddr_un un;
  } a;
  memset(&a, 0, sizeof a);
  socklen_t length = sizeof a;
  must(getsockname(fd, &a.any, &length) == 0, "getsockname");
  char address[200] = "";
  if (a.any.sa_family == AF_INET) {
    inet_ntop(AF_INET, &a.v4.sin_addr, address, sizeof address);
  } else if (a.any.sa_family == AF_INET6) {
    inet_ntop(AF_INET6, &a.v6.sin6_addr, address, sizeof address);
  } else {
    snprintf(address, sizeof address, "%c%s", a.un.sun_path[0] ? ' ' : '@', a.un.sun_path + !a.un.sun_path[0]);
  }
  struct timeval limit = {0, 0};
  socklen_t limit_size = sizeof limit;
  getsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, &limit_size);
  snprintf(text, size, "%s reuse %d %d alive %d buffer %d only6 %d nodelay %d idle %d limit %d.%06d flags %x %x",
           address, number(fd, SOL_SOCKET, SO_REUSEADDR), number(fd, SOL_SOCKET, SO_REUSEPORT),
           number(fd, SOL_SOCKET, SO_KEEPALIVE), number(fd, SOL_SOCKET, SO_RCVBUF) == 40000,
           number(fd, IPPROTO_IPV6, IPV6_V6ONLY), number(fd, IPPROTO_TCP, TCP_NODELAY),
           number(fd, IPPROTO_TCP, TCP_KEEPIDLE), (int)limit.tv_sec, (int)limit.tv_usec,
           fcntl(fd, F_GETFL) & O_NONBLOCK, fcntl(fd, F_GETFD));
}

static void answer(int listener, int peer, const char* name, int count) {
  char text[400], line[500];
  describe(listener, text, sizeof text);
  const int size = snprintf(line, sizeof line, "%s %d %s\n", name, count, text);
  must(write(peer, line, (size_t)size) == size, "write");
  close(peer);
}

static int tcp4, tcp6, udp, named, abstract, copy;

static void* by_accept(void* unused) {
  for (int count = 1;; count++) {
    const int peer = accept(tcp4, NULL, NULL);
    must(peer >= 0, "accept");
    answer(count % 2 ? tcp4 : copy, peer, "tcp4", count);
  }
  return unused;
}

static void* by_poll(void* unused) {
  for (int count = 1;;) {
    struct pollfd look = {tcp6, POLLIN, 0};
    must(poll(&look, 1, -1) == 1, "poll");
    const int peer = accept4(tcp6, NULL, NULL, SOCK_CLOEXEC);
    if (peer >= 0) answer(tcp6, peer, "tcp6", count++);
  }
  return unused;
}

static void* by_select(void* unused) {
  for (int count = 1;; count++) {
    fd_set set;
    FD_ZERO(&set);
    FD_SET(udp, &set);
    must(select(udp + 1, &set, NULL, NULL, NULL) == 1, "select");
    struct sockaddr_in from;
    socklen_t size = sizeof from;
    char text[400], line[500];
    must(recvfrom(udp, text, sizeof text, 0, (struct sockaddr*)&from, &size) >= 0, "recvfrom");
    describe(udp, text, sizeof text);
    snprintf(line, sizeof line, "udp %d %s\n", count, text);
    sendto(udp, line, strlen(line), 0, (struct sockaddr*)&from, size);
  }
  return unused;
}

static void* by_epoll(void* argument) {
  const int fd = *(int*)argument, edges = fd == abstract, set = epoll_create1(EPOLL_CLOEXEC);
  struct epoll_event event = {EPOLLIN | (edges ? EPOLLET : 0), {.u64 = UINT64_C(0x123456789abcdef0) + (unsigned)fd}};
  must(epoll_ctl(set, EPOLL_CTL_ADD, fd, &event) == 0, "epoll_ctl");
  for (int count = 1;;) {
    must(epoll_wait(set, &event, 1, -1) == 1, "epoll_wait");
    must(event.data.u64 == UINT64_C(0x123456789abcdef0) + (unsigned)fd, "data");
    for (int peer; (peer = accept(fd, NULL, NULL)) >= 0; count++) {
      answer(fd, peer, edges ? "abstract" : "named", count);
      if (!edges) {
        count++;
        break;
      }
    }
  }
}

static int bound(int domain, int type, const void* address, socklen_t size) {
  const int fd = socket(domain, type, 0);
  must(fd >= 0, "socket");
  set(fd, SOL_SOCKET, SO_REUSEADDR, 1);
  if (domain == AF_INET6) set(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
  must(bind(fd, address, size) == 0, "bind");
  return fd;
}

static int of_unix(const char* name, int is_abstract) {
  struct sockaddr_un a = {.sun_family = AF_UNIX};
  strcpy(a.sun_path + is_abstract, name);
  const int fd = bound(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, &a,
                       (socklen_t)(offsetof(struct sockaddr_un, sun_path) + is_abstract + strlen(name)));
  must(listen(fd, 3) == 0, "listen");
  return fd;
}

static void open_all(int port, const char* path, const char* name) {
  const struct sockaddr_in v4 = {
      .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
  const struct sockaddr_in6 v6 = {
      .sin6_family = AF_INET6, .sin6_port = htons((uint16_t)(port + 1)), .sin6_addr = IN6ADDR_ANY_INIT};
  const struct sockaddr_in v4_udp = {
      .sin_family = AF_INET, .sin_port = htons((uint16_t)(port + 2)), .sin_addr = {INADDR_ANY}};
  tcp4 = bound(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, &v4, sizeof v4);
  set(tcp4, SOL_SOCKET, SO_KEEPALIVE, 1);
  set(tcp4, SOL_SOCKET, SO_RCVBUF, 20000);
  set(tcp4, IPPROTO_TCP, TCP_NODELAY, 1);
  set(tcp4, IPPROTO_TCP, TCP_KEEPIDLE, 77);
  must(listen(tcp4, 16) == 0, "listen");
  copy = fcntl(tcp4, F_DUPFD_CLOEXEC, 0);
  tcp6 = bound(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK, &v6, sizeof v6);
  must(listen(tcp6, 16) == 0, "listen");
  udp = bound(AF_INET, SOCK_DGRAM, &v4_udp, sizeof v4_udp);
  const struct timeval limit = {123, 500000};
  must(setsockopt(udp, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) == 0, "SO_RCVTIMEO");
  unlink(path);
  named = of_unix(path, 0);
  chmod(path, 0640);
  abstract = of_unix(name, 1);
}

static int in_group(int fd) {
  struct ip_mreq group = {{inet_addr("224.0.0.251")}, {htonl(INADDR_LOOPBACK)}};
  must(setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &group, sizeof group) == 0, "IP_ADD_MEMBERSHIP");
  return fd;
}

/* Many others, of which only those count that stay open. */
static void join_others(int how_many, int stay) {
  for (int i = 0; i < how_many; i++) {
    const int listener = socket(AF_INET, SOCK_STREAM, 0), other = in_group(socket(AF_INET, SOCK_DGRAM, 0));
    must(listen(listener, 1) == 0, "listen");
    close(listener);
    if (!stay) close(other);
  }
}

static void* listen_often(void* stop) {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  while (!__atomic_load_n((int*)stop, __ATOMIC_SEQ_CST)) must(listen(fd, 1) == 0, "listen");
  return NULL;
}

/* The parent is in the middle of a listen when it forks, more often than not: its children can do the same nevertheless. */
static void fork_often(void) {
  int stop = 0, status = 0;
  pthread_t other;
  pthread_create(&other, NULL, listen_often, &stop);
  for (int i = 0; i < 300; i++) {
    const pid_t child = fork();
    must(child >= 0, "fork");
    if (!child) {
      alarm(20);
      _exit(listen(socket(AF_INET, SOCK_STREAM, 0), 1) ? 1 : 0);
    }
    must(waitpid(child, &status, 0) == child && status == 0, "waitpid");
  }
  __atomic_store_n(&stop, 1, __ATOMIC_SEQ_CST);
  pthread_join(other, NULL);
}

int main(int argc, char** argv) {
  if (argc < 4) return 2;
  const char* object = argc > 4 ? argv[4] : "";
  open_all(atoi(argv[1]), argv[2], argv[3]);
  int ends[2];
  if (!strcmp(object, "ours")) { /* a connection of which nothing is accepted */
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof to;
    ends[0] = socket(AF_INET, SOCK_STREAM, 0);
    must(listen(ends[0], 1) == 0 && getsockname(ends[0], (struct sockaddr*)&to, &size) == 0, "listen");
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ends[1] = socket(AF_INET, SOCK_STREAM, 0);
    must(connect(ends[1], (struct sockaddr*)&to, sizeof to) == 0, "connect");
  }
  if (!strcmp(object, "group")) {
    in_group(udp);
    join_others(600, 0);
  }
  if (!strcmp(object, "groups")) join_others(600, 1);
  if (!strcmp(object, "fork")) fork_often();
  pthread_t t;
  pthread_create(&t, NULL, by_accept, NULL);
  pthread_create(&t, NULL, by_poll, NULL);
  pthread_create(&t, NULL, by_select, NULL);
  pthread_create(&t, NULL, by_epoll, &named);
  pthread_create(&t, NULL, by_epoll, &abstract);
  printf("serving\n");
  fflush(stdout);
  for (;;) pause();
}
