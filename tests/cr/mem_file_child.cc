// cr: a file of the work directory that only the child of a second thread has mapped shared
// files: mapped
//
// Its pages stay dirty and writable, so the file's times tell nothing of what is written, and the mapping is found only by
// who looks at the children of all threads.
#include <sys/mman.h>

#include "util/step.h"

constexpr size_t kWords = 4096;
struct Shared {
  volatile int turn, done;
};
static Shared* shared;

static void write_it() {
  int fd = MUST(open(scratch("mapped"), O_RDWR));
  auto* words = static_cast<int*>(mmap(nullptr, kWords * sizeof(int), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
  CHECK(words != MAP_FAILED);
  close(fd);
  for (int i = 1; i <= steps(); i++) {
    wait_until(&shared->turn, i);
    for (size_t at = static_cast<size_t>(i) % 7; at < kWords; at += 97) words[at] += i;
    add(&shared->done);
  }
}

static void* parent_of_it(void*) {
  const pid_t child = spawn([] { return write_it(), 0; });
  CHECK_EQ(reap(child), 0);
  return nullptr;
}

int main() {
  shared =
      static_cast<Shared*>(mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  int fd = MUST(open(scratch("mapped"), O_RDWR | O_CREAT | O_TRUNC, 0644));
  CHECK(ftruncate(fd, kWords * sizeof(int)) == 0);
  static int wanted[kWords], found[kWords];
  pthread_t other = thread(parent_of_it);
  ready();
  for (int i = 1; i <= steps(); i++) {
    add(&shared->turn);
    wait_until(&shared->done, i);
    step();
    for (size_t at = static_cast<size_t>(i) % 7; at < kWords; at += 97) wanted[at] += i;
    CHECK_EQ(pread(fd, found, sizeof found, 0), sizeof found);
    CHECK(memcmp(found, wanted, sizeof found) == 0);
    mix(found, sizeof found);
  }
  pthread_join(other, nullptr);
  finish();
}
