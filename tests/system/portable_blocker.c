/* portable_blocker WHAT: has something that can't go to another architecture, says "ready", and waits for SIGTERM. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

/* A grandchild has all descriptors, too, and isn't a child any more. */
static int give_to_an_orphan(void) {
  const pid_t child = fork();
  if (child == 0) {
    if (fork() == 0) {
      for (;;) pause();
    }
    _exit(0);
  }
  return child > 0 && waitpid(child, NULL, 0) == child ? 0 : -1;
}

static int connect_to_oneself(void) {
  const struct sockaddr_un name = {.sun_family = AF_UNIX, .sun_path = "\0godwit/blocker"};
  const socklen_t size = offsetof(struct sockaddr_un, sun_path) + 15;
  const int listener = socket(AF_UNIX, SOCK_STREAM, 0), client = socket(AF_UNIX, SOCK_STREAM, 0);
  if (bind(listener, (const struct sockaddr*)&name, size) != 0 || listen(listener, 1) != 0) return -1;
  return connect(client, (const struct sockaddr*)&name, size) == 0 && accept(listener, NULL, NULL) >= 0 ? 0 : -1;
}

int main(int argc, char** argv) {
  const char* what = argc > 1 ? argv[1] : "";
  int ends[2];
  if (!strcmp(what, "pipe") && (pipe(ends) != 0 || give_to_an_orphan() != 0)) return 3;
  if (!strcmp(what, "watch") && inotify_init1(0) < 0) return 3;
  if (!strcmp(what, "connection") && connect_to_oneself() != 0) return 3;
  if (!strcmp(what, "gone")) {
    char name[] = "/tmp/godwit_gone_XXXXXX";
    if (mkstemp(name) < 0 || unlink(name) != 0) return 3;
  }
  if (!strcmp(what, "child") && fork() == 0) {
    for (;;) pause();
  }
  printf("ready\n");
  fflush(stdout);
  for (;;) pause();
}
