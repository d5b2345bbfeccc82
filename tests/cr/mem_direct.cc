// cr: memory that the disk writes to: reads with O_DIRECT by eight threads, some in progress at all times
//
// Such a read looks the pages up when it begins and fills them when the disk answers. What notes a write by the page tables
// notes the first moment only; of a page that was sent between the two nothing tells that it has changed. So many read
// at once that the disk takes its time, and what one has read lies untouched while it reads into its other buffer.
#include "util/step.h"

constexpr size_t kBuffer = 4 << 20, kBuffers = 2, kPage = 4096, kParts = 4;
static int content;
static volatile int done;

struct Reader {
  char* memory;
  int part[kBuffers];  // which part of the file each buffer holds; -1: none yet
  pthread_t thread;
};
static Reader readers[8];

static uint64_t word_of(int part, size_t page) { return static_cast<uint64_t>(part + 1) * 1000003 + page; }

static void check(const Reader& r, size_t buffer) {
  if (r.part[buffer] < 0) return;
  for (size_t page = 0; page < kBuffer / kPage; page++)
    CHECK_EQ(*reinterpret_cast<uint64_t*>(r.memory + buffer * kBuffer + page * kPage), word_of(r.part[buffer], page));
}

static void* read_on(void* which) {
  Reader& r = *static_cast<Reader*>(which);
  for (size_t i = 0; !done; i++) {
    const size_t buffer = i % kBuffers;
    check(r, buffer);
    const int part = static_cast<int>((i + i / kParts) % kParts);
    CHECK_EQ(
        pread(content, r.memory + buffer * kBuffer, kBuffer, static_cast<off_t>(static_cast<size_t>(part) * kBuffer)),
        kBuffer);
    r.part[buffer] = part;
  }
  for (size_t buffer = 0; buffer < kBuffers; buffer++) check(r, buffer);
  return nullptr;
}

int main() {
  char* page = static_cast<char*>(aligned_alloc(kPage, kPage));
  memset(page, 0, kPage);
  int written = MUST(open(scratch("content"), O_WRONLY | O_CREAT | O_TRUNC, 0644));
  for (size_t part = 0; part < kParts; part++) {
    for (size_t at = 0; at < kBuffer / kPage; at++) {
      *reinterpret_cast<uint64_t*>(page) = word_of(static_cast<int>(part), at);
      CHECK_EQ(write(written, page, kPage), kPage);
    }
  }
  CHECK(fsync(written) == 0);
  close(written);
  content = open(scratch("content"), O_RDONLY | O_DIRECT);
  if (content < 0 && errno == EINVAL) content = MUST(open(scratch("content"), O_RDONLY));  // not on this file system
  CHECK(content >= 0);
  for (Reader& r : readers) {
    r.memory = static_cast<char*>(aligned_alloc(kPage, kBuffers * kBuffer));
    memset(r.memory, 0, kBuffers * kBuffer);
    for (int& part : r.part) part = -1;
    r.thread = thread(read_on, &r);
  }
  ready();
  for (int i = 1; i <= steps(); i++) step();
  done = 1;
  for (Reader& r : readers) pthread_join(r.thread, nullptr);
  finish();
}
