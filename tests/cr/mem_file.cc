// cr: files mapped privately (with changed pages) and shared, in parts, read-only, and past their end
// files: shared private
#include <sys/mman.h>

#include "util/step.h"

static constexpr size_t kPage = 4096, kPages = 64;

int main() {
  char block[kPage];
  int private_fd = MUST(open(scratch("private"), O_RDWR | O_CREAT | O_TRUNC, 0600));
  int shared_fd = MUST(open(scratch("shared"), O_RDWR | O_CREAT | O_TRUNC, 0600));
  for (size_t p = 0; p < kPages; p++) {
    memset(block, static_cast<int>('A' + p % 26), kPage);
    CHECK(write(private_fd, block, kPage) == kPage);
    CHECK(write(shared_fd, block, p + 1 == kPages ? 100 : kPage) > 0);
  }
  auto map = [](int fd, size_t from, size_t pages, int protection, int flags) {
    void* at = mmap(nullptr, pages * kPage, protection, flags, fd, static_cast<off_t>(from * kPage));
    CHECK(at != MAP_FAILED);
    return static_cast<char*>(at);
  };
  char* changed = map(private_fd, 0, kPages, PROT_READ | PROT_WRITE, MAP_PRIVATE);
  char* part = map(private_fd, 10, 7, PROT_READ, MAP_PRIVATE);
  char* once = map(private_fd, 20, 4, PROT_READ | PROT_WRITE, MAP_PRIVATE);
  char* shared = map(shared_fd, 0, kPages, PROT_READ | PROT_WRITE, MAP_SHARED);
  char* shared_part = map(shared_fd, 5, 2, PROT_READ, MAP_SHARED);
  strcpy(once + kPage, "changed, then made read-only");
  MUST(mprotect(once, 4 * kPage, PROT_READ));
  close(private_fd);  // the mappings stay
  ready();
  Random random;
  for (int i = 0; i < steps(); i++) {
    for (int n = 0; n < 8; n++) {
      size_t at = random.next() % (kPages * kPage);
      changed[at]++;
      if (at < (kPages - 1) * kPage) shared[at]++;
    }
    strcpy(shared + kPages * kPage - kPage + 200, "behind the end of the file");
    step();
    CHECK(!strcmp(once + kPage, "changed, then made read-only"));
    CHECK(once[0] == 'A' + 20 && part[0] == 'A' + 10 && part[6 * kPage] == 'A' + 16);
    CHECK(!memcmp(shared + 5 * kPage, shared_part, 2 * kPage));
    char through_read[64];
    CHECK(pread(shared_fd, through_read, 64, 3 * kPage) == 64);
    CHECK(!memcmp(through_read, shared + 3 * kPage, 64));
    mix(changed, kPages * kPage);
    mix(shared, (kPages - 1) * kPage);
    note("round %d", i);
  }
  finish();
}
