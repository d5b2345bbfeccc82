// cr: named FIFOs: unread bytes, a reader in another process, one that waits for its writer, a deleted one
#include <poll.h>
#include <sys/ioctl.h>

#include "util/step.h"

int main() {
  MUST(mkfifo(scratch("to"), 0600));
  MUST(mkfifo(scratch("lonely"), 0600));
  MUST(mkfifo(scratch("waiting"), 0600));
  MUST(mkfifo(scratch("gone"), 0600));
  int gone = MUST(open(scratch("gone"), O_RDWR));
  MUST(unlink(scratch("gone")));
  CHECK(write(gone, "nameless", 8) == 8);
  int lonely = MUST(open(scratch("lonely"), O_RDONLY | O_NONBLOCK));
  int back[2];
  MUST(pipe(back));
  char waiting[PATH_MAX];
  snprintf(waiting, sizeof waiting, "%s", scratch("waiting"));
  pid_t reader = spawn([&] {
    int in = MUST(open(scratch("to"), O_RDONLY));
    char c;
    ssize_t n;
    while ((n = read(in, &c, 1)) > 0) CHECK(write(back[1], &c, 1) == 1);
    return n == 0 ? 0 : 1;
  });
  // Blocked in open(2) until somebody writes, which is at the very end.
  pid_t opener = spawn([&] {
    int in;
    do in = open(waiting, O_RDONLY);
    while (in < 0 && errno == EINTR);
    char c = 0;
    CHECK(read(in, &c, 1) == 1);
    return c;
  });
  int out = MUST(open(scratch("to"), O_WRONLY));
  ready();
  for (int i = 0; i < steps(); i++) {
    char c = static_cast<char>('a' + i % 26), got = 0;
    CHECK(write(out, &c, 1) == 1);
    step();
    CHECK(read(back[0], &got, 1) == 1);
    CHECK_EQ(got, c);
    pollfd p = {lonely, POLLIN, 0};
    CHECK_EQ(poll(&p, 1, 0), 0);  // never had a writer: not hung up
    note("round %d: %c", i, got);
  }
  char text[16] = {};
  CHECK_EQ(read(gone, text, 8), 8);
  CHECK(!strcmp(text, "nameless"));
  int late = MUST(open(waiting, O_WRONLY));
  CHECK(write(late, "\7", 1) == 1);
  CHECK_EQ(reap(opener), 7);
  close(out);
  CHECK_EQ(reap(reader), 0);
  struct stat st;
  MUST(stat(scratch("to"), &st));
  CHECK(S_ISFIFO(st.st_mode));
  finish();
}
