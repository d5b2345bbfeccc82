/* Has something unread in objects of the kernel's, waits for a line, and then tells all that it finds in them.
 *
 * usage: objects [OBJECT [MORE]]
 *
 * OBJECT: something that bars a move: "given" (a pipe that an orphan has, too), "opened" (an end that was opened by its name), "fifo",
 * "rights" and "more-rights" (descriptors on their way, in a stream and behind other messages). Or nothing that does: "forked": there was
 * a child that is gone; "names N": N UNIX sockets with names, of which each is asked for its own; "until PATH": it waits for that
 * file instead of a line. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static void must(int ok, const char* what) {
  if (ok) return;
  perror(what);
  exit(3);
}

static int pipe_ends[2], stream[2], datagrams[2], messages[2], event, timer, many;
static int names[1000];

static void put(int fd, const char* text) { must(send(fd, text, strlen(text), 0) == (ssize_t)strlen(text), "send"); }

static void make_all(void) {
  must(pipe(pipe_ends) == 0 && write(pipe_ends[1], "in the pipe", 11) == 11, "pipe");
  must(socketpair(AF_UNIX, SOCK_STREAM, 0, stream) == 0, "socketpair");
  must(socketpair(AF_UNIX, SOCK_DGRAM, 0, datagrams) == 0, "socketpair");
  must(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, messages) == 0, "socketpair");
  char block[5000];
  memset(block, 'b', sizeof block);
  must(write(stream[0], block, sizeof block) == sizeof block, "write");
  put(stream[0], "and the end");
  put(stream[1], "back");
  for (int i = 0; i < 4; i++) {
    char text[20];
    snprintf(text, sizeof text, "datagram %d", i);
    put(datagrams[0], text);
    must(send(datagrams[0], "", 0, 0) == 0, "send");
    snprintf(text, sizeof text, "message %d", i);
    put(messages[1], text);
  }
#if defined(__s390x__) || defined(WITHOUT_NUMBERS)
  event = timer = -1;
#else
  event = eventfd(9, EFD_SEMAPHORE | EFD_NONBLOCK);
  timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
  const struct itimerspec when = {{1000, 0}, {0, 1}};  /* one expiration that isn't read, the next one far away */
  if (timer >= 0) {
    must(timerfd_settime(timer, 0, &when, NULL) == 0, "timerfd_settime");
    struct itimerspec left = {{0, 0}, {0, 0}};
    while (left.it_value.tv_sec == 0) timerfd_gettime(timer, &left);
  }
#endif
}

static void tell(const char* what, int fd, int how_often) {
  printf("%s:", what);
  for (int i = 0; i < how_often; i++) {
    char text[6000] = "";
    const ssize_t got = read(fd, text, sizeof text - 1);
    printf(" %zd %.30s%s", got, text, got > 20 ? text + got - 11 : "");
  }
  printf("\n");
}

static void tell_all(void) {
  tell("pipe", pipe_ends[0], 1);
  tell("stream", stream[1], 1);
  tell("back", stream[0], 1);
  tell("datagrams", datagrams[1], 8);
  tell("messages", messages[0], 4);
  int left = 0;
  for (int i = 0; i < 2; i++) {
    ioctl(i ? datagrams[1] : messages[0], FIONREAD, &left);
    printf("%d left\n", left);
  }
  uint64_t count = 0, sum = 0;
  while (read(event, &count, sizeof count) == sizeof count) sum += count == 1;
  printf("event %" PRIu64, sum);
  count = 0;
  if (read(timer, &count, sizeof count) < 0) count = 77;
  struct itimerspec left_of = {{0, 0}, {0, 0}};
  timerfd_gettime(timer, &left_of);
  printf(" timer %" PRIu64 " %d\n", count, left_of.it_value.tv_sec > 900 && left_of.it_value.tv_sec <= 1000);
}

static void send_right(int through, const char* text) {
  struct iovec part = {(void*)(uintptr_t)text, strlen(text)};
  union {
    struct cmsghdr head;
    char room[CMSG_SPACE(sizeof(int))];
  } control;
  memset(&control, 0, sizeof control);
  struct msghdr message = {
      .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
  *CMSG_FIRSTHDR(&message) =
      (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
  memcpy(CMSG_DATA(CMSG_FIRSTHDR(&message)), &pipe_ends[1], sizeof(int));
  must(sendmsg(through, &message, 0) == (ssize_t)strlen(text), "sendmsg");
}

static void tell_right(int fd) {
  char text[100] = "";
  struct iovec part = {text, sizeof text - 1};
  char control[CMSG_SPACE(sizeof(int))];
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  const ssize_t got = recvmsg(fd, &message, 0);
  const struct cmsghdr* head = CMSG_FIRSTHDR(&message);
  int end = -1;
  if (head) memcpy(&end, CMSG_DATA(head), sizeof end);
  printf("received %zd %s with %d %d\n", got, text, end >= 0, end >= 0 && write(end, "x", 1) == 1);
}

/* A grandchild that has the pipe and isn't a child any more; it ends with the pipe. */
static void give_to_an_orphan(void) {
  const pid_t child = fork();
  if (child == 0) {
    if (fork() == 0) {
      for (int fd = 0; fd < 3; fd++) close(fd);
      char byte;
      int ends[2];
      close(pipe_ends[1]);
      must(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0, "socketpair");
      alarm(60);
      while (read(pipe_ends[0], &byte, 1) == 1 && byte != '!') {
      }
      _exit(0);
    }
    _exit(0);
  }
  must(child > 0 && waitpid(child, NULL, 0) == child, "fork");
}

static void make_names(int count) {
  for (many = 0; many < count; many++) {
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    snprintf(a.sun_path, sizeof a.sun_path, "name-%d", many);
    names[many] = socket(AF_UNIX, SOCK_STREAM, 0);
    must(names[many] >= 0 && bind(names[many], (struct sockaddr*)&a, sizeof a) == 0 && listen(names[many], 1) == 0,
         "bind");
  }
}

static void tell_names(void) {
  int right = 0;
  for (int i = 0; i < many; i++) {
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    snprintf(a.sun_path, sizeof a.sun_path, "name-%d", i);
    const int client = socket(AF_UNIX, SOCK_STREAM, 0);
    if (connect(client, (struct sockaddr*)&a, sizeof a) == 0) {
      const int peer = accept(names[i], NULL, NULL);
      right += peer >= 0 && write(peer, "x", 1) == 1;
      close(peer);
    }
    close(client);
  }
  printf("%d of %d names\n", right, many);
}

int main(int argc, char** argv) {
  const char* object = argc > 1 ? argv[1] : "";
  make_all();
  if (!strcmp(object, "given")) give_to_an_orphan();
  if (!strcmp(object, "opened")) {
    char name[40];
    snprintf(name, sizeof name, "/proc/self/fd/%d", pipe_ends[0]);
    must(open(name, O_RDONLY) >= 0, "open");
  }
  if (!strcmp(object, "fifo")) must(mkfifo("fifo", 0600) == 0 && open("fifo", O_RDWR) >= 0, "mkfifo");
  if (!strcmp(object, "rights")) send_right(stream[1], "with a pipe");
  if (!strcmp(object, "more-rights")) send_right(datagrams[0], "with a pipe");
  if (!strcmp(object, "forked")) {
    const pid_t child = fork();
    if (child == 0) _exit(0);
    must(waitpid(child, NULL, 0) == child, "fork");
  }
  if (!strcmp(object, "names")) make_names(atoi(argv[2]));
  printf("ready\n");
  fflush(stdout);
  char line[10] = "";
  if (!strcmp(object, "until")) {
    while (access(argv[2], F_OK) != 0) usleep(10000);
  } else {
    must(read(0, line, sizeof line) > 0, "read");
  }
  if (!strcmp(object, "rights")) {
    tell_right(stream[0]);
    put(stream[1], "back");
  }
  if (strcmp(object, "given")) tell_all();
  if (!strcmp(object, "given")) must(write(pipe_ends[1], "!!!!!!!!!!!!!!!!", 16) == 16, "write");
  if (!strcmp(object, "more-rights")) tell_right(datagrams[1]);
  tell_names();
  return 0;
}
