// Structures behind the pointers of a system call: which there are (layouts.cc), and how they are carried over (exchange.cc).
#pragma once

#include "portable/runtime/runtime.h"

namespace godwit::portable {

/// One argument of one call. A call has any number of rows.
struct Layout {
  enum Kind : uint8_t {
    kFields,  ///< structures of `fields`
    kInfo,  ///< a siginfo_t
    kAddress,  ///< a sockaddr; `count` is the argument with its length
    kAddressOut,  ///< a sockaddr and, at argument `count`, the length
    kOption,  ///< a socket option's value: its length is `count`'s
    kVectors,  ///< an array of iovec, of `count`
    kMessage,  ///< a msghdr with all that it leads to
    kStrings,  ///< an array of pointers, ended by a null one
    kEntries,  ///< getdents64's: turned over where they lie
    kSignalSet,  ///< pselect6's structure that leads to a signal set
    kRefused,  ///< the call, with this condition, isn't carried out here: `error`
  };
  int16_t number;
  uint8_t argument;
  Kind kind = kFields;
  /// A digit a field, its bytes: 1, 2, 4, 8, each at its natural alignment. As a whole it is padded to its largest.
  const char* fields = "";
  int8_t count_in = -1;  ///< the argument with the number of structures; -1: one
  uint16_t most = 1;  ///< no more than so many are carried over
  int8_t when = -1;  ///< only when this argument …
  uint32_t mask = ~0u;  ///< … masked …
  uint32_t is = 0;  ///< … is that
  int16_t error = 0;
};

/// All rows of a call.
struct Layouts {
  const Layout* begin_;
  const Layout* end_;
  [[nodiscard]] const Layout* begin() const { return begin_; }
  [[nodiscard]] const Layout* end() const { return end_; }
};
Layouts layouts_of(long number);

/// Memory for native structures, for the time of a call.
class Scratch {
 public:
  Scratch() = default;
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  ~Scratch();
  /// Null when there is none. Zeroed, a multiple of 16.
  char* take(uint64_t size);

 private:
  static constexpr int kMappings = 8;
  alignas(16) char room_[6144];
  uint64_t used_ = 0;
  uint64_t mapped_[kMappings], sizes_[kMappings];
  int mappings_ = 0;
};

uint64_t size_of(const char* fields);
/// `count` structures from native memory to neutral memory, or the other way: turning over is its own inverse.
void turn_fields(const char* fields, uint64_t count, const char* from, char* to);

/// exchange_nested.cc. What it makes native, and what goes back when the call has ended; a negative number: it isn't carried out.
long turn_address(const char* from, char* to, uint64_t length);
long turn_message(const Call& neutral, uint64_t neutral_message, char* native, Scratch& scratch);
void take_message_back(uint64_t neutral_message, const char* native);
long turn_option(long level, long name, uint64_t length, const char* from, char* to);
long turn_strings(uint64_t neutral, uint64_t& native, Scratch& scratch);
void turn_info(const char* from, char* to, bool from_native);

}  // namespace godwit::portable
