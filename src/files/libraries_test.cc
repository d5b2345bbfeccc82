#include "files/libraries.h"

#include <sys/wait.h>

#include <algorithm>

#include "files/demand.h"
#include "files/testing.h"

namespace godwit::files {
namespace {

using testing::good;
using testing::slurp;
using testing::TemporaryDir;
using testing::write_at;

Fd root() { return good(sys::open("/", O_RDONLY | O_DIRECTORY)); }

// What ld.so itself says, without the kernel's own [vdso].
std::vector<std::string> said_by_loader(const std::string& path) {
  std::FILE* ldd = ::popen(("ldd " + path).c_str(), "r");
  std::vector<std::string> names;
  char line[4096];
  while (std::fgets(line, sizeof line, ldd) != nullptr) {
    const std::string text(line);
    const size_t slash = text.find('/');
    if (slash == std::string::npos) continue;
    const std::string full = text.substr(slash, text.find(' ', slash) - slash);
    names.push_back(full.substr(full.rfind('/') + 1));
  }
  ::pclose(ldd);
  std::ranges::sort(names);
  return names;
}

TEST(Libraries, of_a_program_and_of_what_it_needs_are_those_that_the_loader_takes) {
  const Fd host = root();
  Libraries libraries(host);
  const std::string self = good(sys::read_link("/proc/self/exe"));
  std::vector<std::string> open_files = {self}, all;
  while (!open_files.empty()) {
    const std::string file = open_files.back();
    open_files.pop_back();
    for (const std::string& found : libraries.of(file)) {
      const std::string name = found.substr(found.rfind('/') + 1);
      if (std::ranges::find(all, name) != all.end()) continue;
      all.push_back(name);
      open_files.push_back(found);
    }
  }
  std::ranges::sort(all);
  EXPECT_EQ(all, said_by_loader(self));
  EXPECT_GT(all.size(), 3u);
}

TEST(Libraries, are_found_without_a_loader_cache_in_the_usual_places) {
  TemporaryDir host;
  good(sys::make_dirs(host / "bin"));
  good(sys::make_dirs(host / "lib64"));
  write_at(host / "bin/prog", slurp("/proc/self/exe"));
  write_at(host / "lib64/libc.so.6", "a library");
  write_at(host / "lib64/ld-linux-x86-64.so.2", "the loader");
  const Fd fd = host.fd();
  const auto found = Libraries(fd).of("/bin/prog");
  EXPECT_EQ(found, (std::vector<std::string>{"/lib64/ld-linux-x86-64.so.2", "/lib64/libc.so.6"}));
}

TEST(Libraries, of_what_is_damaged_or_no_program_are_none) {
  TemporaryDir host;
  const std::string whole = slurp("/proc/self/exe").substr(0, 4096);
  write_at(host / "text", "#!/bin/sh\n");
  write_at(host / "short", whole.substr(0, 40));
  std::string wild = whole;
  std::fill(wild.begin() + 64, wild.end(), '\xff');  // headers that lead nowhere
  write_at(host / "wild", wild);
  const Fd fd = host.fd();
  for (const char* name : {"/text", "/short", "/wild", "/missing"}) EXPECT_TRUE(Libraries(fd).of(name).empty()) << name;
}

TEST(Describe, carries_a_program_that_the_user_named_with_its_libraries) {
  const Fd host = root();
  const std::string self = good(sys::read_link("/proc/self/exe"));
  const std::vector<Needed> needed = {{self, Use::kWith, "--with"}};
  const Described described = good(describe(host, needed, {}));
  EXPECT_TRUE(described.blockers.empty());
  for (const std::string& wanted : said_by_loader(self)) {
    const auto is_it = [&](const Demand& demand) { return demand.recipe.path.ends_with("/" + wanted); };
    EXPECT_TRUE(std::ranges::any_of(described.demands, is_it)) << wanted;
  }
}

}  // namespace
}  // namespace godwit::files
