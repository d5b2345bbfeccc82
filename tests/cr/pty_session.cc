// cr: pseudo-terminals: a session with its controlling terminal and foreground group, unread data both ways, settings
#include <sys/ioctl.h>
#include <termios.h>

#include "util/step.h"

namespace {

void put(int fd, const char* text) { CHECK_EQ(write(fd, text, strlen(text)), strlen(text)); }

void expect(int fd, const char* text) {
  char buffer[256];
  size_t have = 0, want = strlen(text);
  while (have < want) {
    ssize_t n = read(fd, buffer + have, want - have);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) wrong(__FILE__, __LINE__, "read gave %zd after %zu of '%s'", n, have, text);
    have += static_cast<size_t>(n);
  }
  CHECK(memcmp(buffer, text, want) == 0);
}

// A job in the foreground of the terminal: answers each line, and says what it sees.
int job(pid_t leader) {
  // Its parent puts it into the foreground; until then reading would stop it.
  int tty = open("/dev/tty", O_RDWR);
  if (tty < 0) return 4;
  while (tcgetpgrp(tty) != getpid()) sleep_ms(1);
  char line[256];
  for (;;) {
    ssize_t n = read(tty, line, sizeof line - 1);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return 9;
    if (n == 0) return 0;  // Ctrl-D
    line[n] = 0;
    int self = open("/dev/tty", O_RDWR);
    if (self < 0) return 5;
    if (tcgetpgrp(self) != getpid()) return 6;
    if (tcgetsid(self) != leader) return 7;
    close(self);
    struct winsize w;
    ioctl(tty, TIOCGWINSZ, &w);
    char answer[512];
    int size = snprintf(answer, sizeof answer, "%dx%d %s", w.ws_row, w.ws_col, line);
    if (write(tty, answer, static_cast<size_t>(size)) != size) return 8;
  }
}

// The session's leader, like a shell: starts a job in a group of its own, puts it into the foreground, waits for it.
int session(const char* name) {
  setsid();
  int tty = open(name, O_RDWR);  // becomes the controlling terminal
  if (tty < 0) return 2;
  signal(SIGTTOU, SIG_IGN);
  pid_t leader = getpid();
  pid_t worker = fork();
  if (worker == 0) {
    setpgid(0, 0);
    _exit(job(leader));
  }
  setpgid(worker, worker);
  if (tcsetpgrp(tty, worker) != 0) return 3;
  int status = reap(worker);
  tcsetpgrp(tty, getpgrp());
  return status;
}

}  // namespace

int main() {
  int master = CHECK_FD(open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC));
  MUST(grantpt(master));
  MUST(unlockpt(master));
  char name[64];
  CHECK_EQ(ptsname_r(master, name, sizeof name), 0);
  struct winsize w = {31, 97, 0, 0};
  MUST(ioctl(master, TIOCSWINSZ, &w));
  pid_t child = spawn([&] { return session(name); });
  // In canonical mode with echo: what is typed comes back, then the answer.
  put(master, "hello\n");
  expect(master, "hello\r\n31x97 hello\r\n");

  // A terminal that nobody touches until the end, with unread lines, a line being typed, and unread output.
  int quiet = CHECK_FD(open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC));
  MUST(unlockpt(quiet));
  char quiet_name[64];
  CHECK_EQ(ptsname_r(quiet, quiet_name, sizeof quiet_name), 0);
  int side = CHECK_FD(open(quiet_name, O_RDWR | O_NOCTTY | O_CLOEXEC));
  struct termios t;
  MUST(tcgetattr(side, &t));
  t.c_lflag &= ~static_cast<tcflag_t>(ECHO);
  t.c_cc[VERASE] = 'X';
  MUST(tcsetattr(side, TCSANOW, &t));
  put(quiet, "line one\nline two\nhalf");
  put(side, "unread output\n");

  ready();
  for (int i = 0; i < steps(); i++) {
    char text[64], wanted[160];
    w.ws_col = static_cast<unsigned short>(80 + i % 50);
    if (i % 5 == 0) MUST(ioctl(master, TIOCSWINSZ, &w));
    int n = snprintf(text, sizeof text, "word %d\n", i);
    put(master, text);
    step();
    text[n - 1] = 0;
    MUST(ioctl(master, TIOCGWINSZ, &w));
    snprintf(wanted, sizeof wanted, "%s\r\n", text);
    expect(master, wanted);
    snprintf(wanted, sizeof wanted, "%dx%d %s\r\n", w.ws_row, w.ws_col, text);
    expect(master, wanted);
    char now[64];
    CHECK_EQ(ptsname_r(master, now, sizeof now), 0);
    CHECK(strcmp(now, name) == 0);
    note("round %d", i);
  }
  struct termios later;
  MUST(tcgetattr(side, &later));
  CHECK(memcmp(&t, &later, sizeof t) == 0);
  expect(side, "line one\n");
  expect(side, "line two\n");
  put(quiet, "XX way\n");
  expect(side, "ha way\n");
  expect(quiet, "unread output\r\n");
  put(master, "\x04");
  CHECK_EQ(reap(child), 0);
  finish();
}
