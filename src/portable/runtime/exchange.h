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
    kRefusedTurned,  ///< not where bytes would have to be turned over that read() gives
  };
  int16_t number;
  uint8_t argument;
  Kind kind = kFields;
  /// A digit a field, its bytes: 1, 2, 4, 8, each at its natural alignment; or l, L, p: a long, an unsigned one, a pointer, of 8
  /// bytes in neutral memory. As a whole a structure is padded to its largest field.
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

enum class To { kNative, kNeutral };
uint64_t size_of(const char* fields, To side);
/// `count` structures from neutral memory to native memory, or the other way. False: a number doesn't fit into the native field.
bool carry(const char* fields, uint64_t count, const char* from, char* to, To side);

/// exchange_nested.cc. A negative number: the call isn't carried out.
long carry_address(const char* from, char* to, uint64_t length, To side);
long message_to_native(const Call& neutral, uint64_t neutral_message, char* native, Scratch& scratch);
void message_to_neutral(uint64_t neutral_message, const char* native);
uint64_t native_option_size(int64_t level, int64_t name, uint64_t length);
long carry_option(int64_t level, int64_t name, uint64_t length, const char* from, char* to, To side);
long strings_to_native(uint64_t neutral, uint64_t& native, Scratch& scratch);
void carry_info(const char* from, char* to, To side);

}  // namespace godwit::portable
