// cr: memfd: seals, name, a hole, mappings of a sealed one, shared with a child, a read-only description
#include <sys/mman.h>

#include "util/step.h"

int main() {
  constexpr size_t kSize = 1 << 20;
  int sealed = MUST(memfd_create("sealed", MFD_ALLOW_SEALING | MFD_CLOEXEC));
  MUST(ftruncate(sealed, kSize));
  CHECK(pwrite(sealed, "constant", 8, 4096) == 8);
  MUST(fcntl(sealed, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL));
  auto* constant = static_cast<char*>(mmap(nullptr, kSize, PROT_READ, MAP_PRIVATE, sealed, 0));
  CHECK(constant != MAP_FAILED);

  int open_one = MUST(memfd_create("a name with blanks", MFD_ALLOW_SEALING));
  MUST(ftruncate(open_one, kSize));
  auto* shared = static_cast<int*>(mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_SHARED, open_one, 0));
  CHECK(shared != MAP_FAILED);
  MUST(fcntl(open_one, F_ADD_SEALS, F_SEAL_FUTURE_WRITE | F_SEAL_SHRINK));
  int plain = MUST(memfd_create("plain", 0));
  MUST(ftruncate(plain, 1ll << 33));
  CHECK(pwrite(plain, "end", 3, (1ll << 33) - 3) == 3);
  char path[64];
  snprintf(path, sizeof path, "/proc/self/fd/%d", plain);
  int reader = MUST(open(path, O_RDONLY));

  pid_t child = spawn([&] {
    for (int i = 0; i < steps(); i++) {
      wait_until(&shared[0], i + 1);
      shared[2] = shared[0] * 3;
      add(&shared[1]);
    }
    return 0;
  });
  ready();
  for (int i = 0; i < steps(); i++) {
    add(&shared[0]);
    step();
    wait_until(&shared[1], i + 1);
    CHECK_EQ(shared[2], (i + 1) * 3);
    int through_descriptor = 0;
    CHECK(pread(open_one, &through_descriptor, 4, 8) == 4);
    CHECK_EQ(through_descriptor, (i + 1) * 3);
    CHECK_EQ(pwrite(sealed, "x", 1, 0), -1);
    CHECK(!memcmp(constant + 4096, "constant", 8));
    CHECK(pwrite(plain, &i, sizeof i, i * 8192) == sizeof i);
    int back = -1;
    CHECK(pread(reader, &back, sizeof back, i * 8192) == sizeof back);
    CHECK_EQ(back, i);
    note("round %d", i);
  }
  CHECK_EQ(reap(child), 0);
  CHECK_EQ(fcntl(sealed, F_GET_SEALS), F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
  CHECK_EQ(fcntl(open_one, F_GET_SEALS), F_SEAL_FUTURE_WRITE | F_SEAL_SHRINK);
  CHECK_EQ(fcntl(plain, F_GET_SEALS), F_SEAL_SEAL);
  CHECK_EQ(fcntl(sealed, F_GETFD), FD_CLOEXEC);
  CHECK(mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_SHARED, open_one, 0) == MAP_FAILED);
  CHECK_EQ(write(reader, "x", 1), -1);
  char text[256] = {};
  MUST(readlink(path, text, sizeof text - 1));
  CHECK(!strcmp(text, "/memfd:plain (deleted)"));
  struct stat st;
  MUST(fstat(plain, &st));
  CHECK_EQ(st.st_size, 1ll << 33);
  CHECK(st.st_blocks < 4096);
  CHECK(pread(reader, text, 3, (1ll << 33) - 3) == 3 && !memcmp(text, "end", 3));
  finish();
}
