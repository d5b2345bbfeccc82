#include "portable/runtime/text.h"

#include "portable/abi.h"
#include "portable/runtime/runtime.h"

namespace godwit::portable {

size_t length_of(const char* text) {
  size_t length = 0;
  while (text[length]) ++length;
  return length;
}

bool equal(const char* a, const char* b) {
  while (*a && *a == *b) ++a, ++b;
  return *a == *b;
}

const char* after(const char* text, const char* prefix) {
  while (*prefix) {
    if (*text++ != *prefix++) return nullptr;
  }
  return text;
}

int64_t parse_number(const char* text, int64_t most) {
  if (!*text) return -1;
  int64_t number = 0;
  for (; *text; ++text) {
    if (*text < '0' || *text > '9') return -1;
    number = number * 10 + (*text - '0');
    if (number > most) return -1;
  }
  return number;
}

void Line::add(char byte) {
  if (used_ + 1 >= size_) return;
  room_[used_++] = byte;
  room_[used_] = 0;
}

Line& Line::operator<<(const char* text) {
  for (; *text; ++text) add(*text);
  return *this;
}

Line& Line::operator<<(uint64_t number) {
  char digits[20];
  int count = 0;
  do digits[count++] = static_cast<char>('0' + number % 10);
  while (number /= 10);
  while (count) add(digits[--count]);
  return *this;
}

Line& Line::operator<<(int64_t number) {
  if (number >= 0) return *this << static_cast<uint64_t>(number);
  add('-');
  return *this << (0 - static_cast<uint64_t>(number));
}

Line& Line::operator<<(Hex number) {
  *this << "0x";
  bool begun = false;
  for (int shift = 60; shift >= 0; shift -= 4) {
    const auto digit = number.value >> shift & 15;
    begun = begun || digit || shift == 0;
    if (begun) add("0123456789abcdef"[digit]);
  }
  return *this;
}

Line& Line::add_bytes(const char* bytes, size_t most) {
  for (size_t i = 0; i < most && bytes[i]; ++i) add(bytes[i] >= 32 && bytes[i] < 127 ? bytes[i] : '?');
  return *this;
}

namespace {
int message_fd = 2;
}

void say_to(int fd) { message_fd = fd; }

void say(const Line& line) {
  Text<640> all;
  all.add_bytes(godwit_program.name, sizeof godwit_program.name) << ": " << line.text() << "\n";
  sys(__NR_write, message_fd, all.text(), all.size());
}

void end_with(const Line& line, int status) {
  withdraw_names();
  say(line);
  for (;;) sys(__NR_exit_group, status);
}

}  // namespace godwit::portable
