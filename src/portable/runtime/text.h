// Lines for people, without a heap: a buffer of fixed size that drops what doesn't fit.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace godwit::portable {

size_t length_of(const char* text);
bool equal(const char* a, const char* b);
/// The rest of `text` after `prefix`, or null.
const char* after(const char* text, const char* prefix);
/// A decimal number that ends with the string; -1 when it isn't one or is above `most`.
int64_t parse_number(const char* text, int64_t most);

struct Hex {
  uint64_t value;
};

class Line {
 public:
  Line(char* room, size_t size) : room_(room), size_(size) { room_[0] = 0; }
  Line(const Line&) = delete;
  Line& operator=(const Line&) = delete;

  Line& operator<<(const char* text);
  Line& operator<<(uint64_t number);
  Line& operator<<(int64_t number);
  Line& operator<<(uint32_t number) { return *this << static_cast<uint64_t>(number); }
#if __SIZEOF_LONG__ == 4
  Line& operator<<(long number) { return *this << static_cast<int64_t>(number); }
  Line& operator<<(unsigned long number) { return *this << static_cast<uint64_t>(number); }
#endif
  Line& operator<<(int number) { return *this << static_cast<int64_t>(number); }
  Line& operator<<(Hex number);
  /// At most `most` bytes, up to the first zero, what isn't printable replaced: names from an image.
  Line& add_bytes(const char* bytes, size_t most);
  void clear() { room_[used_ = 0] = 0; }
  [[nodiscard]] const char* text() const { return room_; }
  [[nodiscard]] size_t size() const { return used_; }

 private:
  void add(char byte);
  char* room_;
  size_t size_;
  size_t used_ = 0;
};

template <size_t kSize>
class Text : public Line {
 public:
  Text() : Line(bytes_, kSize) {}

 private:
  char bytes_[kSize];
};

/// Writes "name: text\n" to standard error, in one call; or to another descriptor from now on.
void say(const Line& line);
void say_to(int fd);
/// The same, then ends the whole process.
[[noreturn]] void end_with(const Line& line, int status);

/// What can't go on, because of a bug or because the kernel denies what the runtime can't do without.
template <class... Parts>
[[noreturn]] void fatal(const Parts&... parts) {
  Text<512> line;
  (void)(line << ... << parts);
  end_with(line, 127);
}

}  // namespace godwit::portable
