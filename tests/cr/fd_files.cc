// cr: regular files: offsets shared by dup and fork, O_APPEND, deleted and O_TMPFILE ones, directories, O_PATH, /proc
#include <dirent.h>
#include <sys/syscall.h>

#include "util/step.h"

int main() {
  // An offset that parent and child share, and a second description of the same file with its own.
  int log = MUST(open(scratch("log"), O_RDWR | O_CREAT | O_TRUNC, 0640));
  int same = MUST(dup(log));
  int append = MUST(open(scratch("log"), O_WRONLY | O_APPEND));
  int reader = MUST(open(scratch("log"), O_RDONLY));
  MUST(fcntl(same, F_SETFD, FD_CLOEXEC));

  int gone = MUST(open(scratch("gone"), O_RDWR | O_CREAT | O_TRUNC, 0604));
  int gone_reader = MUST(open(scratch("gone"), O_RDONLY));
  MUST(unlink(scratch("gone")));
  constexpr off_t kFar = 1ll << 31;
  CHECK(pwrite(gone, "far", 3, kFar) == 3);

  int nameless = open(".", O_TMPFILE | O_RDWR, 0600);
  int linked = MUST(open(scratch("first-name"), O_RDWR | O_CREAT | O_TRUNC, 0600));
  MUST(link(scratch("first-name"), scratch("second-name")));
  MUST(unlink(scratch("first-name")));

  int directory = MUST(open(".", O_RDONLY | O_DIRECTORY));
  int path = MUST(open(".", O_PATH | O_DIRECTORY));
  int null_path = MUST(open("/dev/null", O_PATH));
  int status = MUST(open("/proc/self/status", O_RDONLY));
  int null = MUST(open("/dev/null", O_RDWR));
  int flags[] = {fcntl(log, F_GETFL), fcntl(append, F_GETFL), fcntl(gone, F_GETFL), fcntl(path, F_GETFL)};

  int turns[2], answers[2];
  MUST(pipe(turns));
  MUST(pipe(answers));
  pid_t child = spawn([&] {
    char c;
    for (int i = 0; i < steps(); i++) {
      CHECK(read(turns[0], &c, 1) == 1);
      CHECK(write(same, "child\n", 6) == 6);  // at the shared offset
      CHECK(write(answers[1], &c, 1) == 1);
    }
    return 0;
  });
  ready();
  for (int i = 0; i < steps(); i++) {
    off_t before = lseek(log, 0, SEEK_CUR);
    CHECK(write(log, "parent\n", 7) == 7);
    step();
    char c = 't';
    CHECK(write(turns[1], &c, 1) == 1);
    CHECK(read(answers[0], &c, 1) == 1);
    CHECK_EQ(lseek(log, 0, SEEK_CUR), before + 13);
    CHECK(write(append, "", 0) == 0);
    char text[13];
    CHECK(read(reader, text, 13) == 13);
    CHECK(!memcmp(text, "parent\nchild\n", 13));

    CHECK(pwrite(gone, &i, sizeof i, i * 4096) == sizeof i);
    int back = -1;
    CHECK(pread(gone_reader, &back, sizeof back, i * 4096) == sizeof back);
    CHECK_EQ(back, i);
    if (nameless >= 0) CHECK(write(nameless, "line\n", 5) == 5);
    CHECK(write(linked, "x", 1) == 1);
    CHECK(write(null, text, 13) == 13);
    struct stat st;
    MUST(fstat(path, &st));
    CHECK(S_ISDIR(st.st_mode));
    MUST(fstat(null_path, &st));
    CHECK(S_ISCHR(st.st_mode));
    char stat_text[64] = {};
    CHECK(pread(status, stat_text, 20, 0) == 20);
    CHECK(!strncmp(stat_text, "Name:\tfd_files", 14));
    note("round %d: offset %ld", i, static_cast<long>(lseek(log, 0, SEEK_CUR)));
  }
  CHECK_EQ(reap(child), 0);
  // Untouched until now.
  char far[3];
  struct stat st;
  CHECK(pread(gone, far, 3, kFar) == 3 && !memcmp(far, "far", 3));
  MUST(fstat(gone, &st));
  CHECK_EQ(st.st_size, kFar + 3);
  CHECK_EQ(st.st_nlink, 0);
  CHECK_EQ(st.st_mode & 07777, 0604);
  CHECK(st.st_blocks < 10000);  // the hole is one still
  CHECK_EQ(flags[0], fcntl(log, F_GETFL));
  CHECK_EQ(flags[1], fcntl(append, F_GETFL));
  CHECK_EQ(flags[2], fcntl(gone, F_GETFL));
  CHECK_EQ(flags[3], fcntl(path, F_GETFL));
  CHECK_EQ(fcntl(same, F_GETFD), FD_CLOEXEC);
  CHECK_EQ(fcntl(log, F_GETFD), 0);
  CHECK_EQ(faccessat(directory, "log", F_OK, 0), 0);
  MUST(fstat(linked, &st));
  CHECK_EQ(st.st_size, steps());
  struct stat named;
  MUST(stat(scratch("second-name"), &named));
  CHECK_EQ(named.st_ino, st.st_ino);
  if (nameless >= 0) {
    char link_name[64];
    snprintf(link_name, sizeof link_name, "/proc/self/fd/%d", nameless);
    MUST(linkat(AT_FDCWD, link_name, AT_FDCWD, scratch("finished"), AT_SYMLINK_FOLLOW));
    MUST(stat(scratch("finished"), &named));
    CHECK_EQ(named.st_size, 5 * steps());
  }
  finish();
}
