// cr: POSIX shared memory and named semaphores: mapped by two, mapped now and then, unlinked while mapped, with holes
// not: restore2: files outside of the work directory aren't put back; a unit's /dev/shm is tested by move
#include <semaphore.h>
#include <sys/mman.h>

#include "util/step.h"

static constexpr size_t kSize = 1 << 20, kSparseSize = 256 << 20;

// In the modes without a unit all programs share the machine's /dev/shm: the work directory tells one run from another.
static const char* name_of(const char* what) {
  uint64_t digest = 14695981039346656037u;
  for (const char* c = scratch(""); *c; c++) digest = (digest ^ static_cast<unsigned char>(*c)) * 1099511628211u;
  static char ring[8][64];
  static int next = 0;
  char* out = ring[next++ % 8];
  snprintf(out, sizeof ring[0], "/cr-%s-%016llx", what, static_cast<unsigned long long>(digest));
  return out;
}

static void make(const char* what, size_t size) {
  shm_unlink(name_of(what));
  int fd = CHECK_FD(shm_open(name_of(what), O_RDWR | O_CREAT | O_EXCL, 0600));
  MUST(ftruncate(fd, static_cast<off_t>(size)));
  MUST(close(fd));
}

static uint32_t* map(const char* what, size_t size) {
  int fd = CHECK_FD(shm_open(name_of(what), O_RDWR, 0));
  void* at = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  CHECK(at != MAP_FAILED);
  MUST(close(fd));
  return static_cast<uint32_t*>(at);
}

static sem_t* semaphore(const char* what) {
  sem_unlink(name_of(what));
  sem_t* made = sem_open(name_of(what), O_CREAT | O_EXCL, 0600, 0);
  CHECK(made != SEM_FAILED);
  return made;
}

static void wait_for(sem_t* semaphore) {
  while (sem_wait(semaphore) < 0) CHECK(errno == EINTR);
}

// The child, which waits in the semaphore: it works on every third word, at an address of its own.
static int answer(sem_t* asked, sem_t* answered) {
  uint32_t* shared = map("shared", kSize);
  for (int i = 0; i < steps(); i++) {
    wait_for(asked);
    for (size_t n = 0; n < kSize / 4; n += 3) shared[n] = shared[n] * 5 + static_cast<uint32_t>(i);
    MUST(sem_post(answered));
  }
  return 0;
}

int main() {
  make("shared", kSize);
  make("sometimes", kSize);
  make("unlinked", kSize);
  make("sparse", kSparseSize);
  uint32_t* shared = map("shared", kSize);
  uint32_t* unlinked = map("unlinked", kSize);
  uint32_t* sparse = map("sparse", kSparseSize);
  MUST(shm_unlink(name_of("unlinked")));
  const size_t far = kSparseSize / 4 - 1, middle = far / 2;
  sparse[middle] = 17;
  sem_t* asked = semaphore("asked");
  sem_t* answered = semaphore("answered");
  pid_t child = spawn([&] { return answer(asked, answered); });
  ready();
  for (int i = 0; i < steps(); i++) {
    const auto round = static_cast<uint32_t>(i);
    MUST(sem_post(asked));
    for (size_t n = 1; n < kSize / 4; n += 3) shared[n] = shared[n] * 7 + round;
    step();
    wait_for(answered);
    mix(shared, kSize);
    // Mapped only while it is read and written: no time of the file tells of it.
    uint32_t* sometimes = map("sometimes", kSize);
    CHECK_EQ(sometimes[100], round);
    sometimes[100]++;
    sometimes[kSize / 4 - 1] += round;
    mix(sometimes, kSize);
    MUST(munmap(sometimes, kSize));
    CHECK_EQ(unlinked[5], round);
    unlinked[5]++;
    CHECK_EQ(sparse[far], round);
    sparse[far]++;
    CHECK_EQ(sparse[middle], 17);
    note("round %d: %08x %08x", i, shared[i], shared[kSize / 4 - 1]);
  }
  CHECK_EQ(reap(child), 0);
  int fd = CHECK_FD(shm_open(name_of("sparse"), O_RDONLY, 0));
  struct stat st;
  MUST(fstat(fd, &st));
  CHECK_EQ(st.st_size, kSparseSize);
  CHECK(st.st_blocks * 512 <= 4 << 20);  // a hole is carried as one
  CHECK_EQ(shm_open(name_of("unlinked"), O_RDONLY, 0), -1);
  for (const char* what : {"shared", "sometimes", "sparse"}) MUST(shm_unlink(name_of(what)));
  for (const char* what : {"asked", "answered"}) MUST(sem_unlink(name_of(what)));
  finish();
}
