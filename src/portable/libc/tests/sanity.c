/* A program that touches each part of the library once. `check` compiles and links it; `tests/run` runs it. It prints what has
 * failed and ends with 0 when nothing has. */
#define _GNU_SOURCE
#include <complex.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <fenv.h>
#include <float.h>
#include <inttypes.h>
#include <limits.h>
#include <locale.h>
#include <math.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <regex.h>
#include <semaphore.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <tgmath.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>
#include <wchar.h>

_Static_assert(CHAR_MIN < 0, "char is signed");
_Static_assert(LDBL_MANT_DIG == 113, "long double is binary128");
_Static_assert(sizeof(va_list) == sizeof(void*), "va_list is a pointer");
_Static_assert(sizeof(struct stat) == 128, "the generic ABI's");

static int failures;

static void expect(bool good, const char* what) {
  if (good) return;
  failures++;
  printf("failed: %s (errno %s)\n", what, strerror(errno));
}

static int constructed;
__attribute__((constructor)) static void construct(void) { constructed = 1; }

/* Runs after main, so it can't count; `run` looks for the line. */
__attribute__((destructor)) static void destruct(void) { puts("destructed"); }

static int descending(const void* a, const void* b) { return *(const int*)b - *(const int*)a; }

static void memory(void) {
  int numbers[100];
  for (int i = 0; i < 100; i++) numbers[i] = i * 37 % 101;
  qsort(numbers, 100, sizeof *numbers, descending);
  for (int i = 1; i < 100; i++) expect(numbers[i - 1] > numbers[i], "qsort");
  char* blocks[1000];
  for (int i = 0; i < 1000; i++) memset(blocks[i] = malloc((size_t)i * 31 + 1), i, (size_t)i * 31 + 1);
  for (int i = 0; i < 1000; i += 2) free(blocks[i]);
  for (int i = 1; i < 1000; i += 2) {
    blocks[i] = realloc(blocks[i], (size_t)i * 100);
    expect(blocks[i][i * 31] == (char)i, "realloc keeps the content");
    free(blocks[i]);
  }
  void* aligned = aligned_alloc(4096, 8192);
  expect(aligned && (uintptr_t)aligned % 4096 == 0, "aligned_alloc");
  free(aligned);
}

static void numbers(void) {
  char text[200];
  snprintf(text, sizeof text, "%d %s %.3f %Lg %lc %jd %a", -7, "x", 1.5, 0.1L, L'\u00e9', INTMAX_MAX, 1.0);
  expect(!strcmp(text, "-7 x 1.500 0.1 \u00e9 9223372036854775807 0x1p+0"), text);
  double half;
  long double third;
  expect(sscanf("0.5 0.333", "%lf %Lf", &half, &third) == 2 && half == 0.5, "sscanf");
  volatile double two = 2, minus = -1;
  expect(sqrt(two) == 0x1.6a09e667f3bcdp+0 && pow(two, 0.5) == sqrt(two), "sqrt and pow");
  expect(signbit(copysign(two, minus)) && fabs(minus) == 1 && fma(two, two, minus) == 3, "copysign, fabs and fma");
  expect(fabsl(sqrtl(2.0L) * sqrtl(2.0L) - 2.0L) < 1e-33L, "sqrtl");
  expect(isnan(sqrt(minus)), "sqrt of a negative number");
  volatile double complex z = 3 + 4 * I, w = 1 - 2 * I;
  expect(z * w / w == z && cabs(z) == 5, "complex arithmetic");
  volatile double complex infinite = CMPLX(INFINITY, NAN);
  double complex product = infinite * w;
  expect(isinf(creal(product)) || isinf(cimag(product)), "an infinite factor makes an infinite product");
  expect(fegetround() == FE_TONEAREST, "rounding");
}

static void files(void) {
  char name[] = "/tmp/godwit-sanity-XXXXXX", line[80];
  int fd = mkstemp(name);
  FILE* file = fdopen(fd, "w+");
  fprintf(file, "one\ntwo %d\n", 2);
  rewind(file);
  expect(fgets(line, sizeof line, file) && !strcmp(line, "one\n"), "fgets");
  struct stat status;
  expect(!fstat(fd, &status) && status.st_size == 10 && S_ISREG(status.st_mode), "fstat");
  fclose(file);
  unlink(name);
  regex_t pattern;
  expect(!regcomp(&pattern, "^a(b|c)*d$", REG_EXTENDED) && !regexec(&pattern, "abcbcd", 0, 0, 0), "regexec");
  regfree(&pattern);
  time_t when = 86400;
  strftime(line, sizeof line, "%F %T", gmtime(&when));
  expect(!strcmp(line, "1970-01-02 00:00:00"), line);
  expect(getauxval(AT_PAGESZ) == 4096 && sysconf(_SC_PAGESIZE) == 4096, "the page size");
  expect(!strcmp(program_invocation_short_name, "sanity"), program_invocation_short_name);
}

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
static int turns;
static atomic_int sum;

static void* count(void* arg) {
  int me = (int)(intptr_t)arg;
  for (int i = 0; i < 100; i++) {
    pthread_mutex_lock(&mutex);
    while (turns % 4 != me) pthread_cond_wait(&condition, &mutex);
    turns++;
    pthread_cond_broadcast(&condition);
    pthread_mutex_unlock(&mutex);
    sum += me;
  }
  errno = me;
  return (void*)(intptr_t)errno;
}

static int cleaned;
static void clean(void* arg) { *(int*)arg = 1; }

static void* wait_forever(void* arg) {
  int* ends = arg;
  char byte;
  pthread_cleanup_push(clean, &cleaned);
  expect(read(ends[0], &byte, 1) == 1 && byte == 'a', "read before the cancellation");
  read(ends[0], &byte, 1);
  pthread_cleanup_pop(0);
  return 0;
}

static void* end_detached(void* arg) {
  sem_post(arg);
  return 0;
}

static void threads(void) {
  pthread_t thread[4];
  void* result;
  for (intptr_t i = 0; i < 4; i++) expect(!pthread_create(&thread[i], 0, count, (void*)i), "pthread_create");
  for (intptr_t i = 0; i < 4; i++) expect(!pthread_join(thread[i], &result) && result == (void*)i, "pthread_join");
  expect(turns == 400 && sum == 600, "turns and atomics");

  int ends[2];
  expect(!pipe(ends), "pipe");
  pthread_create(&thread[0], 0, wait_forever, ends);
  expect(write(ends[1], "a", 1) == 1, "write");
  usleep(100000);
  expect(!pthread_cancel(thread[0]) && !pthread_join(thread[0], &result), "pthread_cancel");
  expect(result == PTHREAD_CANCELED && cleaned, "a cancelled thread cleans up");

  sem_t ended;
  sem_init(&ended, 0, 0);
  for (int i = 0; i < 20; i++) {
    pthread_create(&thread[0], 0, end_detached, &ended);
    pthread_detach(thread[0]);
    sem_wait(&ended);
  }
}

static volatile sig_atomic_t got, masked;

static void handle(int number) {
  sigset_t now;
  sigprocmask(SIG_BLOCK, 0, &now);
  masked = sigismember(&now, SIGUSR2);
  got = number;
}

static void processes(void) {
  struct sigaction action = {.sa_handler = handle}, old;
  sigaddset(&action.sa_mask, SIGUSR2);
  expect(!sigaction(SIGUSR1, &action, 0) && !sigaction(SIGUSR1, 0, &old) && old.sa_handler == handle, "sigaction");
  expect(sigismember(&old.sa_mask, SIGUSR2) == 1, "sigaction's mask");
  raise(SIGUSR1);
  expect(got == SIGUSR1 && masked == 1, "a handler runs under its mask");
  int status;
  pid_t child = fork();
  if (child == 0) _exit(7);
  expect(child > 0 && waitpid(child, &status, 0) == child && WEXITSTATUS(status) == 7, "fork");
  extern char** environ;
  expect(posix_spawn(&child, "/bin/true", 0, 0, (char*[]){"true", 0}, environ) == ENOSYS,
         "posix_spawn says that it can't");
}

int main(int argc, char** argv) {
  expect(argc == 2 && !strcmp(argv[1], "argument") && getenv("SANITY"), "arguments and environment");
  expect(constructed, "constructors run");
  setlocale(LC_ALL, "C.UTF-8");
  memory();
  numbers();
  files();
  threads();
  processes();
  puts("end of main");
  return failures ? 1 : 0;
}
