// cr: the list of areas in /proc/self/maps is the same after a restore: addresses, protection, offsets, names
#include <link.h>
#include <sys/auxv.h>
#include <sys/mman.h>

#include <algorithm>
#include <string>
#include <vector>

#include "util/step.h"

// Lines without device and inode: those may differ on another host. What the kernel gives (vvar, vdso) may be laid out
// differently there, so only the vDSO's start counts. Neighbours of anonymous memory with one protection are one area here:
// the kernel keeps them apart when both were written before they met (a hole between them was filled), and makes one of
// them when it meets them otherwise, as in a restore; the program can't tell but by this list.
static std::string layout() {
  FILE* file = fopen("/proc/self/maps", "re");
  CHECK(file);
  static char text[1024];
  struct Line {
    unsigned long start, end;
    std::string rest;
  };
  std::vector<Line> lines;
  while (fgets(text, sizeof text, file)) {
    unsigned long start, end, offset;
    char protection[8], name[512] = "";
    CHECK(sscanf(text, "%lx-%lx %7s %lx %*s %*s %511[^\n]", &start, &end, protection, &offset, name) >= 4);
    if (!strncmp(name, "[vvar", 5) || !strcmp(name, "[vsyscall]")) continue;
    if (!strcmp(name, "[vdso]")) end = 0;
    char rest[600];
    snprintf(rest, sizeof rest, "%s %lx %s", protection, offset, name);
    const bool anonymous = !*name && protection[3] == 'p';
    if (anonymous && !lines.empty() && lines.back().end == start && lines.back().rest == rest)
      lines.back().end = end;
    else
      lines.push_back({start, end, rest});
  }
  fclose(file);
  std::string all;
  for (const Line& line : lines) {
    char range[40];
    snprintf(range, sizeof range, "%lx-%lx ", line.start, line.end);
    all += range + line.rest + "\n";
  }
  return all;
}

int main() {
  for (int i = 0; i < 20; i++) {
    void* at = mmap(nullptr, 4096 * static_cast<size_t>(1 + i), i % 2 ? PROT_READ : PROT_READ | PROT_WRITE,
                    (i % 3 ? MAP_PRIVATE : MAP_SHARED) | MAP_ANONYMOUS, -1, 0);
    CHECK(at != MAP_FAILED);
    if (i % 2 == 0) memset(at, i, 4096);
  }
  // glibc allocates its buffers before the reference is taken.
  layout();
  std::string wanted = layout();
  wanted = layout();
  ready();
  for (int i = 0; i < steps(); i++) {
    step();
    std::string found = layout();
    // The list takes several reads, each from an offset in bytes, and lines have another length where device and inode numbers
    // have: a move between two of them loses or doubles a line. The next look must be right.
    if (found != wanted) found = layout();
    if (found != wanted) {
      const size_t differs = static_cast<size_t>(std::ranges::mismatch(found, wanted).in1 - found.begin());
      const size_t line = found.rfind('\n', differs) + 1;
      wrong(__FILE__, __LINE__, "areas were from there on\n%.350s\nand are\n%.350s", wanted.c_str() + line,
            found.c_str() + line);
    }
    timespec now;
    CHECK_EQ(clock_gettime(CLOCK_MONOTONIC, &now), 0);  // through the vDSO
    CHECK(getauxval(AT_SYSINFO_EHDR) != 0);
    CHECK(!memcmp(reinterpret_cast<void*>(getauxval(AT_SYSINFO_EHDR)), "\177ELF", 4));
    note("round %d", i);
  }
  finish();
}
