// cr: files in /tmp that the program made: open for writing, mapped shared and writable, closed and opened again
// not: restore2: files outside of the work directory aren't put back
#include <sys/mman.h>

#include "util/step.h"

int main() {
  char log_name[] = "/tmp/cr-log-XXXXXX", map_name[] = "/tmp/cr-map-XXXXXX", closed_name[] = "/tmp/cr-closed-XXXXXX";
  int log = CHECK_FD(mkstemp(log_name));
  int mapped = CHECK_FD(mkstemp(map_name));
  MUST(ftruncate(mapped, 8192));
  void* map = mmap(nullptr, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, mapped, 0);
  CHECK(map != MAP_FAILED);
  int* counters = static_cast<int*>(map);
  MUST(close(mapped));
  MUST(close(CHECK_FD(mkstemp(closed_name))));
  ready();
  for (int i = 0; i < steps(); i++) {
    step();
    CHECK_EQ(dprintf(log, "%04d\n", i), 5);
    // The mapping and the file are one, at both ends of it.
    counters[0] = counters[2047] = i;
    int again = CHECK_FD(open(map_name, O_RDONLY));
    int seen = -1;
    CHECK_EQ(pread(again, &seen, sizeof seen, 8192 - sizeof seen), sizeof seen);
    CHECK_EQ(seen, i);
    MUST(close(again));
    int closed = CHECK_FD(open(closed_name, O_RDWR | O_APPEND));
    CHECK_EQ(lseek(closed, 0, SEEK_END), i);
    CHECK_EQ(write(closed, "x", 1), 1);
    MUST(close(closed));
    note("round %d", i);
  }
  struct stat st, named;
  MUST(fstat(log, &st));
  MUST(stat(log_name, &named));
  CHECK_EQ(st.st_size, 5 * steps());
  CHECK_EQ(st.st_ino, named.st_ino);
  for (const char* name : {log_name, map_name, closed_name}) MUST(unlink(name));
  finish();
}
