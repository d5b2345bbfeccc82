#include "pod/cpu.h"

#include <cpuid.h>

#include <sstream>
#include <string_view>

#include "base/io.h"

namespace godwit::pod {
namespace {

// Words that name instructions or state a program can use. The rest of the line is about the kernel or the hypervisor.
constexpr std::string_view kInstructionPrefixes[] = {
    "fpu",   "cx8",   "cmov",       "mmx",   "fxsr",     "sse",    "ssse3",   "pni",       "pclmulqdq", "fma",
    "cx16",  "movbe", "popcnt",     "aes",   "xsave",    "avx",    "f16c",    "rdrand",    "lahf_lm",   "abm",
    "3dnow", "bmi",   "hle",        "erms",  "rtm",      "rdseed", "adx",     "clflush",   "clwb",      "sha",
    "gfni",  "vaes",  "vpclmulqdq", "rdpid", "cldemote", "movdir", "fsrm",    "serialize", "amx",       "fsgsbase",
    "pku",   "ospke", "tbm",        "xop",   "lwp",      "rdtscp", "waitpkg", "cmpccxadd"};

}  // namespace

std::vector<std::string> cpu_features() {
  std::vector<std::string> words;
  const auto text = io::read_file("/proc/cpuinfo");
  if (!text) return words;
  const size_t at = text->find("\nflags");
  if (at == std::string::npos) return words;
  const size_t colon = text->find(':', at);
  std::istringstream line(text->substr(colon + 1, text->find('\n', colon) - colon - 1));
  for (std::string word; line >> word;) {
    for (const auto prefix : kInstructionPrefixes) {
      if (word.starts_with(prefix)) {
        words.push_back(word);
        break;
      }
    }
  }
  return words;
}

uint64_t enabled_xfeatures() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (__get_cpuid_count(0xd, 0, &a, &b, &c, &d) == 0) return 3;
  return static_cast<uint64_t>(d) << 32 | a;
}

}  // namespace godwit::pod
