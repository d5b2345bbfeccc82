// cr: /proc/self: exe, cmdline and environ (also after the program rewrote its arguments), auxv, stat's addresses
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>

#include <string>

#include "util/step.h"

extern char** environ;

static std::string content(const char* path) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  CHECK(fd >= 0);
  std::string all;
  char block[4096];
  for (ssize_t n; (n = read(fd, block, sizeof block)) > 0;) all.append(block, static_cast<size_t>(n));
  close(fd);
  return all;
}

static std::string target(const char* path) {
  char text[PATH_MAX];
  ssize_t n = readlink(path, text, sizeof text);
  CHECK(n > 0);
  return std::string(text, static_cast<size_t>(n));
}

// Fields 26 to 28 and 45 to 51 of stat: code, stack, data, brk, arguments, environment.
static std::string addresses() {
  std::string stat = content("/proc/self/stat"), out;
  size_t at = stat.rfind(')') + 1;
  for (int field = 3; at < stat.size(); field++) {
    size_t end = stat.find(' ', at + 1);
    if ((field >= 26 && field <= 28) || (field >= 45 && field <= 51)) out += stat.substr(at, end - at);
    at = end;
  }
  return out;
}

int main(int argc, char** argv) {
  // What setproctitle does: the new title lies over the old arguments.
  size_t room = static_cast<size_t>(argv[argc - 1] + strlen(argv[argc - 1]) - argv[0]) + 1;
  memset(argv[0], 0, room);
  snprintf(argv[0], room, "renamed: at work");
  setenv("CR_ADDED_LATER", "yes", 1);
  std::string exe = target("/proc/self/exe"), cmdline = content("/proc/self/cmdline"),
              environment = content("/proc/self/environ"), auxv = content("/proc/self/auxv"), places = addresses();
  CHECK(!strncmp(cmdline.c_str(), "renamed: at work",
                 strlen("renamed: at work") < room ? strlen("renamed: at work") : room - 1));
  unsigned char random[16];
  memcpy(random, reinterpret_cast<void*>(getauxval(AT_RANDOM)), 16);
  ready();
  for (int i = 0; i < steps(); i++) {
    step();
    CHECK(target("/proc/self/exe") == exe);
    CHECK(content("/proc/self/cmdline") == cmdline);
    CHECK(content("/proc/self/environ") == environment);
    CHECK(content("/proc/self/auxv") == auxv);
    if (addresses() != places)
      wrong(__FILE__, __LINE__, "addresses were%s and are%s", places.c_str(), addresses().c_str());
    CHECK(!memcmp(random, reinterpret_cast<void*>(getauxval(AT_RANDOM)), 16));
    CHECK(!strcmp(getenv("CR_ADDED_LATER"), "yes"));
    if (i == steps() / 2) {
      snprintf(argv[0], room, "renamed: half");
      cmdline = content("/proc/self/cmdline");
    }
    note("round %d", i);
  }
  finish();
}
