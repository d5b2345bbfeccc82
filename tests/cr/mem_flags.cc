// cr: the flags of areas as /proc/self/smaps shows them: madvise, mlock, NORESERVE, and what they do at fork
#include <sys/mman.h>
#include <sys/resource.h>

#include <map>
#include <string>

#include "util/step.h"

#ifndef MLOCK_ONFAULT
#define MLOCK_ONFAULT 1
#endif

static std::map<std::string, std::string> wanted;

// "VmFlags" of the area that starts at `address`, sorted out of what the kernel sets by itself.
static std::string flags_at(const void* address) {
  char start[32];
  snprintf(start, sizeof start, "%lx-", reinterpret_cast<unsigned long>(address));
  FILE* file = fopen("/proc/self/smaps", "re");
  CHECK(file);
  char line[512];
  bool in = false;
  std::string flags;
  while (fgets(line, sizeof line, file)) {
    if (!strncmp(line, start, strlen(start))) in = true;
    if (in && !strncmp(line, "VmFlags:", 8)) {
      flags = line + 8;
      break;
    }
  }
  fclose(file);
  // "sd" (soft-dirty), "uw"/"um" (userfaultfd) come and go with the watching of pages.
  std::string out;
  for (size_t i = 0; i + 1 < flags.size();) {
    if (flags[i] == ' ' || flags[i] == '\n') {
      i++;
      continue;
    }
    std::string word = flags.substr(i, 2);
    if (word != "sd" && word != "uw" && word != "um" && word != "ui") out += word + " ";
    i += 2;
  }
  return out;
}

struct Area {
  const char* name;
  char* at;
};
static Area areas[24];
static int count;

template <typename F>
static void area(const char* name, F prepare, int flags = MAP_PRIVATE | MAP_ANONYMOUS) {
  // Distance between areas, so that the kernel doesn't merge them.
  auto* memory =
      static_cast<char*>(mmap(nullptr, 3 << 20, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
  memory = static_cast<char*>(mmap(memory + (1 << 20), 1 << 20, PROT_READ | PROT_WRITE, flags | MAP_FIXED, -1, 0));
  CHECK(memory != MAP_FAILED);
  if (prepare(memory) != 0) {
    // Not known to this kernel: leave it out everywhere.
    munmap(memory, 1 << 20);
    return;
  }
  memory[5000] = 'x';
  areas[count++] = {name, memory};
}

static auto advise(int advice) {
  return [=](char* m) { return madvise(m, 1 << 20, advice); };
}

int main() {
  area("plain", [](char*) { return 0; });
  area("noreserve", [](char*) { return 0; }, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE);
  area("shared", [](char*) { return 0; }, MAP_SHARED | MAP_ANONYMOUS);
  area("dontfork", advise(MADV_DONTFORK));
  area("wipeonfork", advise(MADV_WIPEONFORK));
  area("dontdump", advise(MADV_DONTDUMP));
  area("hugepage", advise(MADV_HUGEPAGE));
  area("nohugepage", advise(MADV_NOHUGEPAGE));
  area("random", advise(MADV_RANDOM));
  area("sequential", advise(MADV_SEQUENTIAL));
  area("mergeable", advise(MADV_MERGEABLE));
  area("locked", [](char* m) { return mlock(m, 1 << 20); });
  area("locked on fault", [](char* m) { return mlock2(m, 1 << 20, MLOCK_ONFAULT); });
  area("read only", [](char*) { return 0; });
  MUST(mprotect(areas[count - 1].at, 1 << 20, PROT_READ));
  for (int i = 0; i < count; i++) wanted[areas[i].name] = flags_at(areas[i].at);
  ready();
  for (int i = 0; i < steps(); i++) {
    step();
    for (int k = 0; k < count; k++) {
      std::string found = flags_at(areas[k].at);
      if (found != wanted[areas[k].name])
        wrong(__FILE__, __LINE__, "flags of '%s' are '%s', were '%s'", areas[k].name, found.c_str(),
              wanted[areas[k].name].c_str());
      CHECK_EQ(areas[k].at[5000], 'x');
    }
    note("round %d", i);
  }
  pid_t child = spawn([] {
    for (int k = 0; k < count; k++) {
      if (!strcmp(areas[k].name, "wipeonfork")) CHECK_EQ(areas[k].at[5000], 0);
      if (!strcmp(areas[k].name, "dontfork"))
        CHECK(mincore(areas[k].at, 4096, reinterpret_cast<unsigned char*>(alloca(8))) == -1);
    }
    return 0;
  });
  CHECK_EQ(reap(child), 0);
  finish();
}
