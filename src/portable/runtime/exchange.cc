// System calls on a processor whose structures aren't the neutral ones: one that is big-endian, or narrow.
//
// The handlers of the table in syscalls.cc, and the kernel, get native structures: before a call each structure that layouts.cc
// names is put into native memory, and what has changed of it there comes back when the call has ended. So there is one place
// where bytes are turned over, and no handler knows of it. What the program passes is never written to unless the call has changed
// it: it may be constant. A call that is issued again elsewhere has its neutral arguments in the frame, as always.
//
// A number that doesn't fit into a narrow field ends the call with EOVERFLOW before the kernel sees it. What the kernel has of 64 bits
// on narrow processors, too (times, offsets, limits), is used instead of what has 32: names32.h.
#include "portable/runtime/exchange.h"

#include <asm/errno.h>
#include <asm/mman.h>
#include <linux/mman.h>

namespace godwit::portable {
namespace {

/// No mapping lies lower: such an argument is a program's mistake, which the kernel shall name.
constexpr uint64_t kLeastAddress = 65536;
constexpr int kMostRows = 8;

template <class T>
T load(const void* from) {
  T value;
  __builtin_memcpy(&value, from, sizeof value);
  return value;
}

template <class T>
void store(void* to, T value) {
  __builtin_memcpy(to, &value, sizeof value);
}

struct Field {
  uint64_t neutral, native;  ///< bytes
  bool has_sign;
};

Field field_of(char letter) {
  switch (letter) {
    case 'l': return {8, sizeof(long), true};
    case 'L':
    case 'p': return {8, sizeof(long), false};
    default: {
      const auto width = static_cast<uint64_t>(letter - '0');
      return {width, width, false};
    }
  }
}

uint64_t aligned(uint64_t offset, uint64_t to) { return (offset + to - 1) / to * to; }

uint64_t read_neutral(const char* from, uint64_t width) {
  switch (width) {
    case 1: return load<uint8_t>(from);
    case 2: return turned(load<uint16_t>(from));
    case 4: return turned(load<uint32_t>(from));
    default: return turned(load<uint64_t>(from));
  }
}

void write_neutral(char* to, uint64_t value, uint64_t width) {
  switch (width) {
    case 1: return store(to, static_cast<uint8_t>(value));
    case 2: return store(to, turned(static_cast<uint16_t>(value)));
    case 4: return store(to, turned(static_cast<uint32_t>(value)));
    default: return store(to, turned(value));
  }
}

uint64_t read_native(const char* from, const Field& field) {
  switch (field.native) {
    case 1: return load<uint8_t>(from);
    case 2: return load<uint16_t>(from);
    case 4: return field.has_sign ? static_cast<uint64_t>(int64_t{load<int32_t>(from)}) : load<uint32_t>(from);
    default: return load<uint64_t>(from);
  }
}

/// False: it doesn't fit.
bool write_native(char* to, uint64_t value, const Field& field) {
  switch (field.native) {
    case 1: return store(to, static_cast<uint8_t>(value)), true;
    case 2: return store(to, static_cast<uint16_t>(value)), true;
    case 4:
      store(to, static_cast<uint32_t>(value));
      return field.neutral == 4 || value == static_cast<uint32_t>(value) ||
             (field.has_sign && static_cast<int64_t>(value) == static_cast<int32_t>(value));
    default: return store(to, value), true;
  }
}

/// A call under way.
class Exchange {
 public:
  Exchange(const Call& neutral, Call& native) : neutral_(neutral), native_(native) {}

  /// 0, or the error that the call ends with at once.
  long prepare(const Layout& row) {
    if (row.kind == Layout::kRefused) return row.error;
    if (row.kind == Layout::kRefusedTurned) return kBigEndian ? row.error : 0;
    const auto address = static_cast<uint64_t>(neutral_.a[row.argument]);
    if (address < kLeastAddress) return 0;
    const char* memory = as_pointer<const char*>(address);
    switch (row.kind) {
      case Layout::kFields: return row.fields[0] ? prepare_fields(row, memory) : 0;
      case Layout::kInfo: return prepare_info(row, memory);
      case Layout::kAddress: return prepare_address(row, memory);
      case Layout::kAddressOut: return prepare_address_out(row);
      case Layout::kOption: return prepare_option(row, memory);
      case Layout::kVectors: return prepare_vectors(row, memory);
      case Layout::kMessage: return prepare_message(row, address);
      case Layout::kStrings: {
        uint64_t list = 0;
        if (const long error = strings_to_native(address, list, scratch_)) return error;
        native_.a[row.argument] = static_cast<int64_t>(list);
        return 0;
      }
      case Layout::kSignalSet: return prepare_signal_set(row, memory);
      default: return keep({&row, nullptr, nullptr, 0, 0}), 0;
    }
  }

  void take_back(int64_t result) {
    for (int i = 0; i < used_; ++i) take_back(prepared_[i], result);
  }

 private:
  struct Prepared {
    const Layout* row;
    char* native;
    const char* before;  ///< what it was: written back only when it has changed
    uint64_t count;
    uint64_t size;
  };

  void keep(const Prepared& prepared) {
    if (used_ == kMostRows) fatal("call ", static_cast<int64_t>(neutral_.number), " has too many structures");
    prepared_[used_++] = prepared;
  }

  char* native_room(const Layout& row, uint64_t size) {
    char* room = scratch_.take(size);
    if (room) native_.a[row.argument] = reinterpret_cast<long>(room);
    return room;
  }

  long prepare_fields(const Layout& row, const char* memory) {
    uint64_t count = 1;
    if (row.count_in >= 0) {
      count = static_cast<uint64_t>(neutral_.a[row.count_in]);
      if (neutral_.number == 72) count = (count + 63) / 64;  // pselect6: bits
      if (neutral_.number == 122 || neutral_.number == 123) count /= 8;  // sched_setaffinity: bytes
      if (count > row.most) count = row.most;
    }
    const uint64_t size = size_of(row.fields, To::kNative) * count;
    if (!size) return 0;
    char* native = native_room(row, size);
    char* before = scratch_.take(size);
    if (!native || !before) return -ENOMEM;
    if (!carry(row.fields, count, memory, native, To::kNative) && !only_written(row)) return -EOVERFLOW;
    memcpy(before, native, size);
    keep({&row, native, before, count, size});
    return 0;
  }

  /// What is there before doesn't matter: its numbers may be too large.
  [[nodiscard]] static bool only_written(const Layout& row) {
    constexpr int kWritten[] = {43, 44, 95, 102, 153, 165, 179, 260};
    for (const int number : kWritten) {
      if (row.number == number) return true;
    }
    return row.number == 103 && row.argument == 2;
  }

  [[nodiscard]] bool info_goes_in() const { return neutral_.number == 138 || neutral_.number == 424; }

  long prepare_info(const Layout& row, const char* memory) {
    char* native = native_room(row, sizeof(KernelInfo));
    if (!native) return -ENOMEM;
    if (info_goes_in()) {
      carry_info(memory, native, To::kNative);
    } else {
      keep({&row, native, nullptr, 1, sizeof(KernelInfo)});
    }
    return 0;
  }

  long prepare_address(const Layout& row, const char* memory) {
    const auto length = static_cast<uint64_t>(neutral_.a[row.count_in]);
    char* native = length <= GODWIT_PAGE ? native_room(row, length) : nullptr;
    return native ? carry_address(memory, native, length, To::kNative) : -EINVAL;
  }

  long prepare_address_out(const Layout& row) {
    auto* length = as_pointer<Le<uint32_t>*>(static_cast<uint64_t>(neutral_.a[row.count_in]));
    if (!length) return -EFAULT;
    const uint64_t room = *length < 128 ? +*length : 128;
    char* native = native_room(row, room);
    if (!native) return -ENOMEM;
    char* native_length = scratch_.take(4);
    if (!native_length) return -ENOMEM;
    store(native_length, static_cast<uint32_t>(room));
    native_.a[row.count_in] = reinterpret_cast<long>(native_length);
    keep({&row, native, native_length, 1, room});
    return 0;
  }

  /// setsockopt (208) has the length itself, getsockopt (209) a pointer to it.
  long prepare_option(const Layout& row, const char* memory) {
    if (neutral_.number == 208) {
      const auto length = static_cast<uint64_t>(neutral_.a[4]);
      char* native = length <= GODWIT_PAGE ? native_room(row, length) : nullptr;
      native_.a[4] = static_cast<int64_t>(native_option_size(neutral_.a[1], neutral_.a[2], length));
      return native ? carry_option(neutral_.a[1], neutral_.a[2], length, memory, native, To::kNative) : -EINVAL;
    }
    auto* length = as_pointer<Le<uint32_t>*>(static_cast<uint64_t>(neutral_.a[4]));
    if (!length || *length > GODWIT_PAGE) return -EINVAL;
    char* native = native_room(row, *length);
    char* native_length = scratch_.take(4);
    if (!native || !native_length) return -ENOMEM;
    store(native_length, static_cast<uint32_t>(native_option_size(neutral_.a[1], neutral_.a[2], *length)));
    native_.a[4] = reinterpret_cast<long>(native_length);
    keep({&row, native, native_length, 1, *length});
    return 0;
  }

  long prepare_vectors(const Layout& row, const char* memory) {
    const auto count = static_cast<uint64_t>(neutral_.a[row.count_in]);
    if (count > 1024) return -EINVAL;
    char* native = native_room(row, count * size_of("pL", To::kNative));
    if (!native) return -ENOMEM;
    return carry("pL", count, memory, native, To::kNative) ? 0 : -EINVAL;
  }

  long prepare_message(const Layout& row, uint64_t address) {
    char* native = native_room(row, size_of("p4pLpL4", To::kNative));
    if (!native) return -ENOMEM;
    keep({&row, native, nullptr, 1, 0});
    return message_to_native(neutral_, address, native, scratch_);
  }

  long prepare_signal_set(const Layout& row, const char* memory) {
    char* native = native_room(row, 16);
    char* set = scratch_.take(8);
    if (!native || !set) return -ENOMEM;
    carry("pL", 1, memory, native, To::kNative);
    if (const auto neutral_set = load<unsigned long>(native)) {
      carry("8", 1, as_pointer<const char*>(neutral_set), set, To::kNative);
      store(native, reinterpret_cast<unsigned long>(set));
    }
    return 0;
  }

  void take_back(const Prepared& prepared, int64_t result) {
    const Layout& row = *prepared.row;
    const auto address = static_cast<uint64_t>(neutral_.a[row.argument]);
    char* memory = as_pointer<char*>(address);
    switch (row.kind) {
      case Layout::kFields:
        if (memcmp(prepared.native, prepared.before, prepared.size)) {
          carry(row.fields, prepared.count, prepared.native, memory, To::kNeutral);
        }
        return;
      case Layout::kInfo:
        if (!failed(result)) carry_info(prepared.native, memory, To::kNeutral);
        return;
      case Layout::kAddressOut:
      case Layout::kOption: {
        if (failed(result)) return;
        auto length = load<uint32_t>(prepared.before);
        if (row.kind == Layout::kOption) {
          if (length == native_option_size(neutral_.a[1], neutral_.a[2], prepared.size))
            length = static_cast<uint32_t>(prepared.size);
          carry_option(neutral_.a[1], neutral_.a[2], length, prepared.native, memory, To::kNeutral);
        } else {
          const uint64_t some = length < prepared.size ? length : prepared.size;
          carry_address(prepared.native, memory, some, To::kNeutral);
        }
        *as_pointer<Le<uint32_t>*>(static_cast<uint64_t>(neutral_.a[row.count_in])) = length;
        return;
      }
      case Layout::kMessage:
        if (row.number == 212 && !failed(result)) message_to_neutral(address, prepared.native);
        return;
      case Layout::kEntries: return turn_entries(memory, result);
      default: return;
    }
  }

  /// u64 inode, u64 offset, u16 bytes of the entry, a type, a name.
  static void turn_entries(char* entries, int64_t size) {
    for (int64_t at = 0; !failed(size) && at < size;) {
      const auto length = load<uint16_t>(entries + at + 16);
      carry("882", 1, entries + at, entries + at, To::kNeutral);
      at += length;
    }
  }

  const Call& neutral_;
  Call& native_;
  Scratch scratch_;
  Prepared prepared_[kMostRows];
  int used_ = 0;
};

bool applies(const Layout& row, const Call& call) {
  return row.when < 0 || (static_cast<uint32_t>(call.a[row.when]) & row.mask) == row.is;
}

}  // namespace

uint64_t size_of(const char* fields, To side) {
  uint64_t size = 0, largest = 1;
  for (; *fields; ++fields) {
    const Field field = field_of(*fields);
    const uint64_t width = side == To::kNative ? field.native : field.neutral;
    size = aligned(size, width) + width;
    if (width > largest) largest = width;
  }
  return aligned(size, largest);
}

bool carry(const char* fields, uint64_t count, const char* from, char* to, To side) {
  const uint64_t neutral_size = size_of(fields, To::kNeutral), native_size = size_of(fields, To::kNative);
  bool fits = true;
  for (uint64_t i = 0; i < count; ++i) {
    uint64_t neutral = i * neutral_size, native = i * native_size;
    for (const char* letter = fields; *letter; ++letter) {
      const Field field = field_of(*letter);
      neutral = aligned(neutral, field.neutral);
      native = aligned(native, field.native);
      if (side == To::kNative) {
        fits = write_native(to + native, read_neutral(from + neutral, field.neutral), field) && fits;
      } else {
        write_neutral(to + neutral, read_native(from + native, field), field.neutral);
      }
      neutral += field.neutral;
      native += field.native;
    }
  }
  return fits;
}

char* Scratch::take(uint64_t size) {
  size = (size + 31) & ~UINT64_C(15);  // some kernels write padding behind the last field
  if (size <= sizeof room_ - used_) {
    char* at = room_ + used_;
    used_ += size;
    memset(at, 0, size);
    return at;
  }
  if (mappings_ == kMappings) return nullptr;
  const int64_t at = sys_mmap(nullptr, page_up(size), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS);
  if (failed(at)) return nullptr;
  mapped_[mappings_] = static_cast<uint64_t>(at);
  sizes_[mappings_++] = page_up(size);
  return as_pointer<char*>(static_cast<uint64_t>(at));
}

Scratch::~Scratch() {
  for (int i = 0; i < mappings_; ++i) sys(__NR_munmap, mapped_[i], sizes_[i]);
}

int64_t exchange(Call& call, Handler handler) {
  Call native = call;
  Exchange work(call, native);
  bool any = false;
  for (const Layout& row : layouts_of(call.number)) {
    if (!applies(row, call) || (any && row.kind == Layout::kRefused)) continue;
    any = true;
    if (const long error = work.prepare(row)) return error;
  }
  const int64_t result = handler(native);
  call.left = native.left;
  call.progress = native.progress;
  if (result != kStopHere) work.take_back(result);
  return result;
}

void keep_info(const KernelInfo& native, void* neutral) {
  if constexpr (kForeign) {
    carry_info(reinterpret_cast<const char*>(&native), static_cast<char*>(neutral), To::kNeutral);
  } else {
    memcpy(neutral, &native, sizeof native);
  }
}

}  // namespace godwit::portable
