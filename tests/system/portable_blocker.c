/* portable_blocker WHAT: has something that can't go to another architecture, says "ready", and waits for SIGTERM. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int main(int argc, char** argv) {
  const char* what = argc > 1 ? argv[1] : "";
  int ends[2];
  if (!strcmp(what, "pipe") && pipe(ends) != 0) return 3;
  if (!strcmp(what, "pair") && socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0) return 3;
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
