// cr: tasks made by clone that share descriptors or file-system state but not memory
#include <sched.h>
#include <sys/mman.h>

#include "util/step.h"

struct Shared {
  volatile int turn, done, fd;
};
static Shared* shared;

// Opens a descriptor that the parent uses; closes it when told.
static int file_sharer(void*) {
  for (int i = 1; i <= steps(); i++) {
    wait_until(&shared->turn, 2 * i - 1);
    shared->fd = open("/dev/zero", O_RDONLY);
    add(&shared->done);
    wait_until(&shared->turn, 2 * i);
    close(shared->fd);
    add(&shared->done);
  }
  return 0;
}

// Changes the umask and directory of both.
static int fs_sharer(void*) {
  for (int i = 1; i <= steps(); i++) {
    wait_until(&shared->turn, 2 * i - 1);
    umask(static_cast<mode_t>(i % 8 * 8 + i % 8));
    if (chdir(i % 2 ? "/" : "/proc")) return 1;
    add(&shared->done);
    wait_until(&shared->turn, 2 * i);
    add(&shared->done);
  }
  return 0;
}

int main() {
  shared =
      static_cast<Shared*>(mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  constexpr size_t kStack = 256 * 1024;
  auto stack = [&] {
    auto* memory =
        static_cast<char*>(mmap(nullptr, kStack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    return memory + kStack;
  };
  pid_t files = MUST(clone(file_sharer, stack(), CLONE_FILES | SIGCHLD, nullptr));
  pid_t fs = MUST(clone(fs_sharer, stack(), CLONE_FS | SIGCHLD, nullptr));
  ready();
  for (int i = 1; i <= steps(); i++) {
    add(&shared->turn);
    wait_until(&shared->done, 4 * i - 2);
    step();
    char byte = 1;
    CHECK(read(shared->fd, &byte, 1) == 1 && byte == 0);
    char directory[PATH_MAX];
    CHECK(getcwd(directory, sizeof directory));
    mode_t mask = umask(0);
    umask(mask);
    CHECK_EQ(mask, i % 8 * 8 + i % 8);
    note("round %d: umask %03o in %s", i, mask, directory);
    add(&shared->turn);
    wait_until(&shared->done, 4 * i);
    CHECK(fcntl(shared->fd, F_GETFD) == -1 && errno == EBADF);
  }
  CHECK_EQ(reap(files), 0);
  CHECK_EQ(reap(fs), 0);
  finish();
}
