// The kit of the programs in tests/cr: nothing but libc, no Godwit in it.
//
// Such a program sets up kernel objects, calls ready(), then goes round steps() times: it works a little with its
// objects, checks them, calls note() with what it found, and step(), where a checkpoint may come. The last call is
// finish(). A checkpoint may come anywhere else too: step() only makes the run long enough to be hit.
//
// The rule: the output is the same in every run, however often and wherever the program was stopped, carried and
// restored. So no addresses, times, PIDs or names of temporary files in note(); compare those with CHECK instead.
//
//     int main() {
//       int fd = CHECK_FD(open(scratch("data"), O_RDWR | O_CREAT, 0600));
//       ready();
//       for (int i = 0; i < steps(); i++) {
//         CHECK(write(fd, "x", 1) == 1);
//         note("round %d: offset %ld", i, (long)lseek(fd, 0, SEEK_CUR));
//         step();
//       }
//       finish();
//     }
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

namespace cr {

inline uint64_t digest_value = 14695981039346656037u;
inline int round_number = 0;

inline void mix(const void* data, size_t size) {
  auto* bytes = static_cast<const unsigned char*>(data);
  for (size_t i = 0; i < size; i++) digest_value = (digest_value ^ bytes[i]) * 1099511628211u;
}

/// One write(2) a line: a checkpoint falls between lines or inside the call, never in a half-filled stdio buffer.
inline void put_line(int fd, const char* text, size_t size) {
  while (size > 0) {
    ssize_t n = write(fd, text, size);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) _exit(3);
    text += n;
    size -= static_cast<size_t>(n);
  }
}

/// A line of output, part of the digest. For the main thread of the first process.
__attribute__((format(printf, 1, 2))) inline void note(const char* format, ...) {
  char line[1024];
  va_list arguments;
  va_start(arguments, format);
  int n = vsnprintf(line, sizeof line - 1, format, arguments);
  va_end(arguments);
  if (n > static_cast<int>(sizeof line) - 2) n = sizeof line - 2;
  line[n++] = '\n';
  mix(line, static_cast<size_t>(n));
  put_line(1, line, static_cast<size_t>(n));
}

/// Something is wrong: says so and ends the whole process group's run with status 1.
[[noreturn]] __attribute__((format(printf, 3, 4))) inline void wrong(const char* file, int line, const char* format,
                                                                     ...) {
  int error = errno;
  char text[1024];
  va_list arguments;
  va_start(arguments, format);
  int n = snprintf(text, sizeof text, "wrong: %s:%d: round %d: ", strrchr(file, '/') ? strrchr(file, '/') + 1 : file,
                   line, round_number);
  n += vsnprintf(text + n, sizeof text - static_cast<size_t>(n), format, arguments);
  va_end(arguments);
  if (n > 900) n = 900;
  n += snprintf(text + n, sizeof text - static_cast<size_t>(n), " (errno %d %s)\n", error, strerror(error));
  put_line(2, text, static_cast<size_t>(n));
  _exit(1);
}

#define CHECK(condition)                                                 \
  do {                                                                   \
    if (!(condition)) ::cr::wrong(__FILE__, __LINE__, "%s", #condition); \
  } while (0)

/// Two numbers that must be equal; prints both when they aren't.
#define CHECK_EQ(found, wanted)                                                                               \
  do {                                                                                                        \
    auto found_value = (found);                                                                               \
    auto wanted_value = (wanted);                                                                             \
    if (!(static_cast<long long>(found_value) == static_cast<long long>(wanted_value)))                       \
      ::cr::wrong(__FILE__, __LINE__, "%s is %lld, wanted %lld", #found, static_cast<long long>(found_value), \
                  static_cast<long long>(wanted_value));                                                      \
  } while (0)

/// A call that gives -1 on failure: its value.
template <typename T>
inline T must(T value, const char* file, int line, const char* what) {
  if (value == static_cast<T>(-1)) wrong(file, line, "%s failed", what);
  return value;
}
#define MUST(call) ::cr::must((call), __FILE__, __LINE__, #call)
#define CHECK_FD(call) MUST(call)

inline int number_from(const char* name, int otherwise) {
  const char* text = getenv(name);
  return text && *text ? atoi(text) : otherwise;
}

// Read before main(): a static inside of a function has a guard, and a child that is forked while another thread holds it
// would wait for ever.
inline const int steps_wanted = number_from("CR_STEPS", 20);
inline const int pace_ms = number_from("CR_PACE_MS", 1);

/// How many rounds to go: CR_STEPS.
inline int steps() { return steps_wanted; }

inline void sleep_ms(int ms) {
  timespec left = {ms / 1000, ms % 1000 * 1000000L};
  while (clock_nanosleep(CLOCK_MONOTONIC, 0, &left, &left) == EINTR) {
  }
}

/// A checkpoint may come here. Takes CR_PACE_MS milliseconds, in turn asleep and at work.
inline void step() {
  const int pace = pace_ms;
  round_number++;
  if (pace <= 0) return;
  if (round_number % 2 == 0) {
    sleep_ms(pace);
    return;
  }
  timespec start, now;
  clock_gettime(CLOCK_MONOTONIC, &start);
  do {
    for (int i = 0; i < 1000; i++) asm volatile("");
    clock_gettime(CLOCK_MONOTONIC, &now);
  } while ((now.tv_sec - start.tv_sec) * 1000 + (now.tv_nsec - start.tv_nsec) / 1000000 < pace);
}

/// Everything is set up: from here on a checkpoint may come.
inline void ready() { put_line(1, "ready\n", 6); }

/// The end: `ok` and the digest of all notes.
[[noreturn]] inline void finish() {
  char line[64];
  int n = snprintf(line, sizeof line, "ok %016llx\n", static_cast<unsigned long long>(digest_value));
  put_line(1, line, static_cast<size_t>(n));
  _exit(0);
}

/// This machine or user can't do what the program tests: the runner shows the reason and skips.
[[noreturn]] __attribute__((format(printf, 1, 2))) inline void skip(const char* format, ...) {
  char text[512];
  va_list arguments;
  va_start(arguments, format);
  int n = snprintf(text, sizeof text, "SKIP: ");
  n += vsnprintf(text + n, sizeof text - 8, format, arguments);
  va_end(arguments);
  text[n++] = '\n';
  put_line(1, text, static_cast<size_t>(n));
  _exit(77);
}

/// A path in the program's own work directory (its current one when it started): travels with the unit.
/// The result lives until the next call in the same thread but seven.
inline const char* scratch(const char* name) {
  static char directory[PATH_MAX];
  if (!directory[0] && !getcwd(directory, sizeof directory)) _exit(3);
  thread_local char ring[8][PATH_MAX + 64];
  thread_local int next = 0;
  char* out = ring[next++ % 8];
  snprintf(out, sizeof ring[0], "%s/%s", directory, name);
  return out;
}

/// Forks; the child runs `body` and exits with what it returns. Gives the child's pid.
template <typename F>
inline pid_t spawn(F body) {
  pid_t pid = fork();
  if (pid < 0) wrong(__FILE__, __LINE__, "fork failed");
  if (pid == 0) _exit(body());
  return pid;
}

/// Waits for a child and gives its exit status; anything else than a normal exit is wrong.
inline int reap(pid_t pid) {
  int status = 0;
  pid_t got;
  do got = waitpid(pid, &status, 0);
  while (got < 0 && errno == EINTR);
  if (got != pid) wrong(__FILE__, __LINE__, "waitpid(%d) gave %d", pid, got);
  if (!WIFEXITED(status)) wrong(__FILE__, __LINE__, "child ended with wait status %#x", status);
  return WEXITSTATUS(status);
}

/// A thread that must be created.
template <typename F>
inline pthread_t thread(F* function, void* argument = nullptr) {
  pthread_t id;
  if (int error = pthread_create(&id, nullptr, function, argument)) {
    errno = error;
    wrong(__FILE__, __LINE__, "pthread_create failed");
  }
  return id;
}

/// Waits until `*value` reaches `wanted`, by polling; for set-ups and hand-overs between processes and threads.
inline void wait_until(const volatile int* value, int wanted) {
  while (__atomic_load_n(value, __ATOMIC_ACQUIRE) < wanted) sleep_ms(1);
}
inline void add(volatile int* value, int n = 1) { __atomic_add_fetch(value, n, __ATOMIC_ACQ_REL); }
inline int get(const volatile int* value) { return __atomic_load_n(value, __ATOMIC_ACQUIRE); }

/// Waits until a thread or process stands in state `S` (asleep) or another letter of /proc/.../stat.
inline void wait_for_state(pid_t pid, pid_t tid, char state) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/task/%d/stat", pid, tid);
  for (;;) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    char text[512] = {};
    if (fd < 0 || read(fd, text, sizeof text - 1) <= 0) wrong(__FILE__, __LINE__, "cannot read %s", path);
    close(fd);
    const char* after = strrchr(text, ')');
    if (after && after[1] == ' ' && after[2] == state) return;
    sleep_ms(1);
  }
}

/// A small generator with a fixed seed: the same numbers in every run.
struct Random {
  uint64_t state = 88172645463325252u;
  uint64_t next() {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
  }
};

inline int64_t nanoseconds(clockid_t clock) {
  timespec t;
  if (clock_gettime(clock, &t)) wrong(__FILE__, __LINE__, "clock_gettime");
  return t.tv_sec * 1000000000LL + t.tv_nsec;
}

}  // namespace cr

using namespace cr;  // NOLINT: these programs are one file each
