// cr: mappings of files that were deleted since, private and shared, and of a memfd without a descriptor
#include <sys/mman.h>

#include "util/step.h"

int main() {
  constexpr size_t kSize = 1 << 20;
  auto make = [&](const char* name, int flags) {
    int fd = MUST(open(scratch(name), O_RDWR | O_CREAT | O_TRUNC, 0600));
    MUST(ftruncate(fd, kSize));
    void* at = mmap(nullptr, kSize, PROT_READ | PROT_WRITE, flags, fd, 0);
    CHECK(at != MAP_FAILED);
    for (size_t n = 0; n < kSize; n += 4096) CHECK(pwrite(fd, name, 4, static_cast<off_t>(n)) == 4);
    MUST(unlink(scratch(name)));
    close(fd);
    return static_cast<char*>(at);
  };
  char* private_map = make("prvt", MAP_PRIVATE);
  char* shared_map = make("shrd", MAP_SHARED);
  int memory = MUST(memfd_create("without-descriptor", 0));
  MUST(ftruncate(memory, kSize));
  auto* memfd_map = static_cast<char*>(mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0));
  auto* memfd_again =
      static_cast<char*>(mmap(nullptr, kSize / 2, PROT_READ | PROT_WRITE, MAP_SHARED, memory, kSize / 2));
  close(memory);
  pid_t child = spawn([&] {
    // The child shares the same deleted file.
    for (int i = 0; i < steps(); i++) {
      while (__atomic_load_n(&shared_map[8], __ATOMIC_ACQUIRE) != static_cast<char>(i + 1)) sleep_ms(1);
      shared_map[9] = static_cast<char>(i * 3);
      __atomic_store_n(&shared_map[10], static_cast<char>(i + 1), __ATOMIC_RELEASE);
    }
    return 0;
  });
  Random random;
  ready();
  for (int i = 0; i < steps(); i++) {
    private_map[(random.next() % 256) * 4096 + 100]++;
    memfd_map[kSize / 2 + random.next() % (kSize / 2)]++;
    __atomic_store_n(&shared_map[8], static_cast<char>(i + 1), __ATOMIC_RELEASE);
    step();
    while (__atomic_load_n(&shared_map[10], __ATOMIC_ACQUIRE) != static_cast<char>(i + 1)) sleep_ms(1);
    CHECK_EQ(shared_map[9], static_cast<char>(i * 3));
    CHECK(!memcmp(memfd_map + kSize / 2, memfd_again, kSize / 2));
    CHECK(!memcmp(private_map + 4096, "prvt", 4) && !memcmp(shared_map + 4096, "shrd", 4));
    mix(private_map, kSize);
    mix(memfd_again, kSize / 2);
    note("round %d", i);
  }
  CHECK_EQ(reap(child), 0);
  finish();
}
