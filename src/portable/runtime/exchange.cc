// System calls on a processor whose structures aren't the neutral ones: here, one that is big-endian.
//
// The handlers of the table in syscalls.cc, and the kernel, get native structures: before a call each structure that layouts.cc
// names is put into native memory, and what has changed of it there comes back when the call has ended. So there is one place
// where bytes are turned over, and no handler knows of it. What the program passes is never written to unless the call has changed
// it: it may be constant. A call that is issued again elsewhere has its neutral arguments in the frame, as always.
//
// A number is as wide on both sides, so a structure is as large as the neutral one, and a pointer in one is a number.
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

uint64_t width_of(char field) { return static_cast<uint64_t>(field - '0'); }

uint64_t aligned(uint64_t offset, uint64_t to) { return (offset + to - 1) / to * to; }

void turn_field(const char* from, char* to, uint64_t width) {
  switch (width) {
    case 2: return store(to, turned(load<uint16_t>(from)));
    case 4: return store(to, turned(load<uint32_t>(from)));
    case 8: return store(to, turned(load<uint64_t>(from)));
    default: *to = *from;
  }
}

/// A call under way.
class Exchange {
 public:
  Exchange(const Call& neutral, Call& native) : neutral_(neutral), native_(native) {}

  /// 0, or the error that the call ends with at once.
  long prepare(const Layout& row) {
    if (row.kind == Layout::kRefused) return row.error;
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
        if (const long error = turn_strings(address, list, scratch_)) return error;
        native_.a[row.argument] = static_cast<long>(list);
        return 0;
      }
      case Layout::kSignalSet: return prepare_signal_set(row, memory);
      default: return keep({&row, nullptr, nullptr, 0, 0}), 0;
    }
  }

  void take_back(long result) {
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
    const uint64_t size = size_of(row.fields) * count;
    if (!size) return 0;
    char* native = native_room(row, size);
    char* before = scratch_.take(size);
    if (!native || !before) return -ENOMEM;
    turn_fields(row.fields, count, memory, native);
    memcpy(before, native, size);
    keep({&row, native, before, count, size});
    return 0;
  }

  [[nodiscard]] bool info_goes_in() const { return neutral_.number == 138 || neutral_.number == 424; }

  long prepare_info(const Layout& row, const char* memory) {
    char* native = native_room(row, sizeof(KernelInfo));
    if (!native) return -ENOMEM;
    if (info_goes_in()) {
      turn_info(memory, native, false);
    } else {
      keep({&row, native, nullptr, 1, sizeof(KernelInfo)});
    }
    return 0;
  }

  long prepare_address(const Layout& row, const char* memory) {
    const auto length = static_cast<uint64_t>(neutral_.a[row.count_in]);
    char* native = length <= GODWIT_PAGE ? native_room(row, length) : nullptr;
    return native ? turn_address(memory, native, length) : -EINVAL;
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
      return native ? turn_option(neutral_.a[1], neutral_.a[2], length, memory, native) : -EINVAL;
    }
    auto* length = as_pointer<Le<uint32_t>*>(static_cast<uint64_t>(neutral_.a[4]));
    if (!length || *length > GODWIT_PAGE) return -EINVAL;
    char* native = native_room(row, *length);
    char* native_length = scratch_.take(4);
    if (!native || !native_length) return -ENOMEM;
    store(native_length, +*length);
    native_.a[4] = reinterpret_cast<long>(native_length);
    keep({&row, native, native_length, 1, *length});
    return 0;
  }

  long prepare_vectors(const Layout& row, const char* memory) {
    const auto count = static_cast<uint64_t>(neutral_.a[row.count_in]);
    if (count > 1024) return -EINVAL;
    char* native = native_room(row, count * 16);
    if (!native) return -ENOMEM;
    turn_fields("88", count, memory, native);
    return 0;
  }

  long prepare_message(const Layout& row, uint64_t address) {
    char* native = native_room(row, size_of("8488884"));
    if (!native) return -ENOMEM;
    keep({&row, native, nullptr, 1, 0});
    return turn_message(neutral_, address, native, scratch_);
  }

  long prepare_signal_set(const Layout& row, const char* memory) {
    char* native = native_room(row, 16);
    char* set = scratch_.take(8);
    if (!native || !set) return -ENOMEM;
    turn_fields("88", 1, memory, native);
    if (const auto neutral_set = load<uint64_t>(native)) {
      turn_fields("8", 1, as_pointer<const char*>(neutral_set), set);
      store(native, reinterpret_cast<uint64_t>(set));
    }
    return 0;
  }

  void take_back(const Prepared& prepared, long result) {
    const Layout& row = *prepared.row;
    const auto address = static_cast<uint64_t>(neutral_.a[row.argument]);
    char* memory = as_pointer<char*>(address);
    switch (row.kind) {
      case Layout::kFields:
        if (memcmp(prepared.native, prepared.before, prepared.size)) {
          turn_fields(row.fields, prepared.count, prepared.native, memory);
        }
        return;
      case Layout::kInfo:
        if (!failed(result)) turn_info(prepared.native, memory, true);
        return;
      case Layout::kAddressOut:
      case Layout::kOption: {
        if (failed(result)) return;
        const auto length = load<uint32_t>(prepared.before);
        const uint64_t some = length < prepared.size ? length : prepared.size;
        if (row.kind == Layout::kOption) {
          turn_option(neutral_.a[1], neutral_.a[2], some, prepared.native, memory);
        } else {
          turn_address(prepared.native, memory, some);
        }
        *as_pointer<Le<uint32_t>*>(static_cast<uint64_t>(neutral_.a[row.count_in])) = length;
        return;
      }
      case Layout::kMessage:
        if (row.number == 212 && !failed(result)) take_message_back(address, prepared.native);
        return;
      case Layout::kEntries: return turn_entries(memory, result);
      default: return;
    }
  }

  /// u64 inode, u64 offset, u16 bytes of the entry, a type, a name.
  static void turn_entries(char* entries, long size) {
    for (long at = 0; !failed(size) && at < size;) {
      const auto length = load<uint16_t>(entries + at + 16);
      turn_fields("882", 1, entries + at, entries + at);
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

uint64_t size_of(const char* fields) {
  uint64_t size = 0, largest = 1;
  for (; *fields; ++fields) {
    const uint64_t width = width_of(*fields);
    size = aligned(size, width) + width;
    if (width > largest) largest = width;
  }
  return aligned(size, largest);
}

void turn_fields(const char* fields, uint64_t count, const char* from, char* to) {
  const uint64_t size = size_of(fields);
  for (; count; --count, from += size, to += size) {
    uint64_t offset = 0;
    for (const char* field = fields; *field; ++field) {
      const uint64_t width = width_of(*field);
      offset = aligned(offset, width);
      turn_field(from + offset, to + offset, width);
      offset += width;
    }
  }
}

char* Scratch::take(uint64_t size) {
  size = (size + 15) & ~UINT64_C(15);
  if (size <= sizeof room_ - used_) {
    char* at = room_ + used_;
    used_ += size;
    memset(at, 0, size);
    return at;
  }
  if (mappings_ == kMappings) return nullptr;
  const long at = sys_mmap(nullptr, page_up(size), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS);
  if (failed(at)) return nullptr;
  mapped_[mappings_] = static_cast<uint64_t>(at);
  sizes_[mappings_++] = page_up(size);
  return reinterpret_cast<char*>(at);
}

Scratch::~Scratch() {
  for (int i = 0; i < mappings_; ++i) sys(__NR_munmap, mapped_[i], sizes_[i]);
}

long exchange(Call& call, Handler handler) {
  Call native = call;
  Exchange work(call, native);
  bool any = false;
  for (const Layout& row : layouts_of(call.number)) {
    if (!applies(row, call) || (any && row.kind == Layout::kRefused)) continue;
    any = true;
    if (const long error = work.prepare(row)) return error;
  }
  const long result = handler(native);
  call.left = native.left;
  call.progress = native.progress;
  if (result != kStopHere) work.take_back(result);
  return result;
}

void keep_info(const KernelInfo& native, void* neutral) {
  if constexpr (kForeign) {
    turn_info(reinterpret_cast<const char*>(&native), static_cast<char*>(neutral), true);
  } else {
    memcpy(neutral, &native, sizeof native);
  }
}

}  // namespace godwit::portable
