#include "portable/runtime/info.h"

namespace godwit::portable {
namespace {

const char* skip_blanks(const char* at) {
  while (*at == ' ' || *at == '\t') ++at;
  return at;
}

}  // namespace

bool info_field(const char* line, const char* name, uint32_t base, uint64_t& value) {
  for (const char* at = line; *at; ++at) {
    const char* digits = after(at, name);
    if (!digits) continue;
    value = 0;
    bool any = false;
    for (digits = skip_blanks(digits);; ++digits) {
      const char c = *digits;
      const uint32_t digit = c >= '0' && c <= '9'   ? static_cast<uint32_t>(c - '0')
                             : c >= 'a' && c <= 'f' ? static_cast<uint32_t>(c - 'a' + 10)
                                                    : 16;
      if (digit >= base) return any;
      value = value * base + digit;
      any = true;
    }
  }
  return false;
}

bool read_info_field(int fd, const char* name, uint32_t base, uint64_t& value) {
  bool found = false;
  for_each_info_line(fd, [&](const char* line) {
    found = found || info_field(line, name, base, value);
    return true;
  });
  return found;
}

}  // namespace godwit::portable
