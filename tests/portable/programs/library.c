// The state of the C library: streams in the middle of a file, ungetc, append, formatted input, malloc under pressure, call-backs of
// qsort and bsearch, strtok, rand, environment, time zones, locale, atexit, errno, directory streams, sscanf.
// Compared with itself: another C library has other random numbers and compares in another order.
#include <dirent.h>
#include <errno.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <wchar.h>

static int compared;
static int by_length(const void* a, const void* b) {
  compared++;
  const char *x = *(char* const*)a, *y = *(char* const*)b;
  const size_t n = strlen(x), m = strlen(y);
  return n < m ? -1 : n > m ? 1 : strcmp(x, y);
}
static void last(void) { printf("at exit, %d comparisons\n", compared); }
static void first(void) { printf("at exit, first\n"); }

int main(void) {
  atexit(last);
  atexit(first);
  setenv("COLOUR", "blue", 1);
  FILE* f = fopen("words", "w+");
  srand(7);
  for (int i = 0; i < 400; i++) fprintf(f, "%d word%d,%x;%s\n", i, rand() % 1000, i * 77, i % 7 ? "odd" : "even");
  rewind(f);
  char line[200];
  char* kept[400];
  int n = 0, sum = 0;
  while (fgets(line, sizeof line, f)) {
    int number, value;
    char rest[100];
    if (sscanf(line, "%d word%d,%99s", &number, &value, rest) != 3) return 9;
    sum += number * value;
    kept[n] = malloc(strlen(line) + (size_t)(number % 50));
    strcpy(kept[n++], strtok(line, ";"));
    char* more = strtok(NULL, "\n");
    if (n % 100 == 0) printf("%d %s %s\n", sum, more, getenv("COLOUR"));
  }
  qsort(kept, (size_t)n, sizeof *kept, by_length);
  for (int i = 0; i < n; i += 57) {
    char** found = bsearch(&kept[i], kept, (size_t)n, sizeof *kept, by_length);
    printf("%ld %s\n", (long)(found - kept), *found);
  }
  for (int i = 0; i < n; i++) free(kept[i]);
  fclose(f);
  f = fopen("words", "a+");
  for (int i = 0; i < 20; i++) fprintf(f, "appended %d\n", i);
  fseek(f, -30, SEEK_END);
  ungetc('<', f);
  for (int c; (c = fgetc(f)) != EOF;) putchar(c == '\n' ? '|' : c);
  printf("\n%ld %d\n", ftell(f), feof(f));
  fclose(f);
  void* blocks[200] = {0};
  for (int i = 0; i < 2000; i++) {
    const int k = rand() % 200;
    blocks[k] = realloc(blocks[k], (size_t)(rand() % 5000 + 1));
    memset(blocks[k], k, 1);
  }
  unsigned check = 0;
  for (int k = 0; k < 200; k++) {
    if (blocks[k]) check = check * 31 + *(unsigned char*)blocks[k];
    free(blocks[k]);
  }
  time_t when = 1700000000;
  setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3", 1);
  tzset();
  strftime(line, sizeof line, "%Y-%m-%d %H:%M:%S %Z", localtime(&when));
  printf("%u %s\n", check, line);
  errno = 0;
  if (!fopen("/nonexistent/file", "r")) printf("%s\n", strerror(errno));
  mkdir("folder", 0700);
  for (int i = 0; i < 30; i++) {
    snprintf(line, sizeof line, "folder/%02d", i);
    fclose(fopen(line, "w"));
  }
  DIR* d = opendir("folder");
  int entries = 0;
  for (struct dirent* e; (e = readdir(d));) entries += e->d_name[0] != '.';
  closedir(d);
  setlocale(LC_ALL, "C.UTF-8");
  wchar_t wide[20];
  printf("%d entries, %zu characters\n", entries, mbstowcs(wide, "gr\xc3\xbc\xc3\x9f", 20));
  return 0;
}
