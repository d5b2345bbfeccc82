// Files and streams in use while a thread stops: buffers half read and half written, positions, ungetc, getline, scanf from a
// file, a stream in memory, a pipe that is read before it is written to, directories; printf of everything.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <locale.h>
#include <pthread.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <wchar.h>

#include "step.h"

static void print_all(void) {
  int n = 0;
  printf("%d|%5d|%-5d|%05d|%+d|% d|%.3d|%hhd|%hd|%ld|%lld|%jd|%zd|%td%n\n", 1, 2, 3, 4, 5, 6, 7, 300, 70000, -8L, -9LL,
         (intmax_t)-10, (ssize_t)-11, (ptrdiff_t)-12, &n);
  printf("%u|%o|%#o|%x|%#X|%hhx|%" PRIu64 "|%d\n", -1u, 8, 8, 255, 255, 4095, UINT64_MAX, n);
  printf("%f|%.0f|%#.0f|%10.3f|%-10.1f|%+.2e|%G|%g|%g|%a|%.2a\n", 1.5, 2.5, 3.0, -4.25, 5.55, 12345.678, 1e-10, 1e15,
         0.0001, 1.0, 0.1);
  printf("%Lf|%.20Lg|%Le|%f|%F|%g\n", 1.25L, 0.5L, 1e300L, 1.0 / 0.0 > 0 ? __builtin_inf() : 0, -__builtin_inf(), -0.0);
  printf("%s|%10s|%-10s|%.2s|%c|%5c|%%|%p\n", "text", "right", "left", "cut", 'x', 'y', (void*)0x1234);
  printf("%*d|%-*d|%.*f|%ls|%lc\n", 6, 1, 6, 2, 3, 3.14159, L"wide", (wint_t)L'w');
  char small[8];
  printf("%d %s\n", snprintf(small, sizeof small, "%s%d", "longer than", step()), small);
}
__attribute__((format(printf, 2, 3))) static int put(FILE* f, const char* format, ...) {
  va_list ap;
  va_start(ap, format);
  step();
  int n = vfprintf(f, format, ap);
  va_end(ap);
  return n;
}

static int ends[2];
static void* writer(void* unused) {
  for (int i = 0; i < 40; i++) {
    char line[32];
    int n = sprintf(line, "line %d of a pipe\n", i * step());
    if (write(ends[1], line, (size_t)n) != n) return NULL;
    if (i % 10 == 0) usleep(1000);
  }
  close(ends[1]);
  return unused;
}

int main(void) {
  print_all();
  FILE* f = fopen("files.tmp", "w+");
  if (!f) return 1;
  long written = 0;
  for (int i = 0; i < 400; i++) written += put(f, "%d %x %g %s\n", i, i * i, i / 8.0, i % 3 ? "odd" : "third");
  printf("%ld %ld\n", written, ftell(f));
  rewind(f);
  int a, lines = 0;
  unsigned b;
  double c, sum = 0;
  char word[16];
  while (fscanf(f, "%d %x %lf %15s", &a, &b, &c, word) == 4) {
    sum += a + b + c + word[0] + step();
    lines++;
  }
  printf("%d %g %d\n", lines, sum, feof(f) != 0);
  fseek(f, -20, SEEK_END);
  int ch = fgetc(f);
  ungetc('Z', f);
  step();
  printf("%c%c %ld\n", ch, fgetc(f), ftell(f));
  fseek(f, 10, SEEK_SET);
  fputs("OVER", f);
  fflush(f);
  step();
  fseek(f, 0, SEEK_SET);
  char* line = NULL;
  size_t room = 0;
  for (int i = 0; i < 5 && getline(&line, &room, f) > 0; i++) {
    step();
    fputs(line, stdout);
  }
  free(line);
  fclose(f);

  char* text = NULL;
  size_t size = 0;
  FILE* m = open_memstream(&text, &size);
  for (int i = 0; i < 300; i++) put(m, "%d,", i);
  fclose(m);
  printf("%zu %s\n", size, text + size - 12);
  FILE* in = fmemopen(text, size, "r");
  long total = 0;
  while (fscanf(in, "%d,", &a) == 1) total += a;
  fclose(in);
  free(text);
  printf("%ld\n", total);

  pthread_t thread;
  if (pipe(ends) || pthread_create(&thread, NULL, writer, NULL)) return 1;
  FILE* p = fdopen(ends[0], "r");
  char buffer[64];
  total = 0;
  for (lines = 0; fgets(buffer, sizeof buffer, p); lines++) total += atoi(buffer + 5) + step();
  pthread_join(thread, NULL);
  fclose(p);
  printf("%d %ld\n", lines, total);

  mkdir("files.dir", 0755);
  for (int i = 0; i < 12; i++) {
    sprintf(buffer, "files.dir/%c", 'a' + i);
    close(open(buffer, O_CREAT | O_WRONLY, 0600));
  }
  struct dirent** list;
  int n = scandir("files.dir", &list, NULL, alphasort);
  for (int i = 0; i < n; i++) {
    printf("%s ", list[i]->d_name);
    sprintf(buffer, "files.dir/%s", list[i]->d_name);
    if (list[i]->d_name[0] != '.' && unlink(buffer)) printf("%s ", strerror(errno));
    step();
    free(list[i]);
  }
  free(list);
  printf("%d %d\n", n, rmdir("files.dir"));
  return unlink("files.tmp");
}
