// The runtime's reader of images (../runtime/restore.cc, arena.cc), natively and under sanitizers.
//
// Both are compiled into this file, with their system calls redirected where that matters: what they read comes from the input,
// by an instrumented copy, and a refusal is an exception instead of the process's end. The arena lies elsewhere, since a
// sanitizer has its shadow where a program's is, and is small. Beyond the checks nothing is done: no descriptor is opened, no
// thread started. An image that is accepted must have its regions mapped, all of them.
//
// Input: a first byte of 0xff: the stream as it is. Else records, whose digests are made right, behind a right header:
//
//     byte   bits 0-2: type; 3: the digest stays wrong; 4-5: what is added to the address: nothing, the data's begin, the arena's;
//            6: of MEMORY: the arena's header, made to fit the regions, with the payload for its threads; of REGIONS: starts are
//            relative to the arena; 7: END: the wrong chain. Type 0: the payload is a list of areas that is mapped before (arrive.cc)
//     u32    address; u16: length of the payload; the payload
//
// Bytes are little-endian. What comes after the last whole record is dropped.
#include <string.h>

#include <algorithm>
#include <string>
#include <vector>

#include "portable/runtime/sys.h"

// They are compiled by rules of their own elsewhere: freestanding, and with other warnings.
#pragma clang diagnostic ignored "-Wconversion"
#pragma clang diagnostic ignored "-Wimplicit-int-conversion"
#pragma clang diagnostic ignored "-Wshorten-64-to-32"
#pragma clang diagnostic ignored "-Wunused-function"
#pragma clang diagnostic ignored "-Wshadow"
#pragma clang diagnostic ignored "-Wmissing-designated-field-initializers"

namespace godwit::portable {

struct Stream {
  const char* at = nullptr;
  const char* end = nullptr;
};
inline Stream stream;

struct Refused {};

/// System calls of those files.
template <class... Arguments>
long redirected(long number, Arguments... arguments) {
  const long list[7] = {as_argument(arguments)..., 0};
  if (number == __NR_exit_group) throw Refused();
  if (number == __NR_write) return list[2];  // why it was refused
  if (number != __NR_read) return sys6(number, list[0], list[1], list[2], list[3], list[4], list[5]);
  const size_t length = std::min(static_cast<size_t>(list[2]), static_cast<size_t>(stream.end - stream.at));
  memcpy(reinterpret_cast<void*>(list[1]), stream.at, length);
  stream.at += length;
  return static_cast<long>(length);
}

}  // namespace godwit::portable

#define sys redirected
#include "portable/runtime/arena.cc"
#include "portable/runtime/details.cc"
#include "portable/runtime/hash.cc"
#include "portable/runtime/restore.cc"
#include "portable/runtime/text.cc"
#undef sys

// ---- What the rest of the runtime would supply.

namespace godwit::portable {
namespace {

constexpr uint64_t kArena = UINT64_C(0x700000000000), kArenaSize = UINT64_C(64) << 20;
alignas(GODWIT_PAGE) char neutral_data[16 * GODWIT_PAGE];

}  // namespace

bool arrives() { return false; }
void Lock::take() {}
void Lock::give() {}
int put_aside(int fd) { return fd; }
// Never reached: they come behind the checks.
void close_foreign_descriptors(int) { __builtin_trap(); }
bool restore_descriptor(const godwit_image_descriptor&, const char*, Line&) { __builtin_trap(); }
void end_filling() { __builtin_trap(); }
bool finish_descriptor(const godwit_image_descriptor&, const char*, Line&) { __builtin_trap(); }
bool publish_descriptor(const godwit_image_descriptor&, const char*, Line&) { __builtin_trap(); }
void publish_names() { __builtin_trap(); }
void withdraw_names() {}
void clocks_after_restore() { __builtin_trap(); }
void restore_signals() { __builtin_trap(); }
void raise_held_signals(uint64_t, bool) { __builtin_trap(); }
void refresh_request() { __builtin_trap(); }
void begin_restored_threads() { __builtin_trap(); }

namespace {

template <class T>
void append(std::string& to, const T& value) {
  to.append(reinterpret_cast<const char*>(&value), sizeof value);
}

/// Makes a stream of the input.
class Writer {
 public:
  explicit Writer(std::string_view input) : left_(input) {}

  std::string write() {
    put_header();
    while (take_record()) {
    }
    return std::move(out_);
  }
  std::vector<Region> areas;  ///< to be mapped before
  bool with_areas = false;

 private:
  void put_header() {
    godwit_image_header head = {};
    memcpy(head.magic, GODWIT_IMAGE_MAGIC, sizeof head.magic);
    head.version = GODWIT_IMAGE_VERSION;
    head.bytes = sizeof head;
    memcpy(head.family, godwit_program.family, sizeof head.family);
    head.data_start = godwit_program.data_start;
    head.data_end = godwit_program.data_end;
    head.arena = godwit_program.arena;
    head.arena_size = godwit_program.arena_size;
    head.digest = chain_ = xxh64(&head, offsetof(godwit_image_header, digest), 0);
    append(out_, head);
  }

  bool take_record() {
    constexpr size_t kHead = 7;
    if (left_.size() < kHead) return false;
    const auto flags = static_cast<uint8_t>(left_[0]);
    uint32_t address = 0;
    uint16_t length = 0;
    memcpy(&address, left_.data() + 1, sizeof address);
    memcpy(&length, left_.data() + 5, sizeof length);
    std::string payload(left_.substr(kHead, length));
    left_.remove_prefix(std::min(left_.size(), kHead + length));
    godwit_image_record record = {};
    record.type = flags & 7;
    const uint64_t bases[] = {0, godwit_program.data_start, godwit_program.arena, 0};
    record.address = address + bases[flags >> 4 & 3];
    if (record.type == 0) return take_areas(payload);
    if (record.type == GODWIT_IMAGE_REGIONS && flags & 64) payload = relative(payload);
    if (record.type == GODWIT_IMAGE_REGIONS) regions_ = payload;
    if (record.type == GODWIT_IMAGE_MEMORY && flags & 64) payload = arena_header(payload);
    record.length = payload.size();
    record.digest = xxh64(payload.data(), payload.size(), 0);
    if (record.type == GODWIT_IMAGE_END) record.digest = chain_ ^ (flags >> 7), record.address = count_;
    if (flags & 8) record.digest ^= 1;
    append(out_, record);
    out_ += payload;
    chain_ = xxh64(&record, sizeof record, chain_);
    ++count_;
    return true;
  }

  static std::string relative(std::string payload) {
    for (size_t at = 0; at + sizeof(Region) <= payload.size(); at += sizeof(Region)) {
      Region region;
      memcpy(&region, payload.data() + at, sizeof region);
      region.start += godwit_program.arena;
      memcpy(payload.data() + at, &region, sizeof region);
    }
    return payload;
  }

  bool take_areas(const std::string& payload) {
    const auto rows = relative(payload);
    if (rows.size() < sizeof(Region)) return true;
    areas.resize(std::min<size_t>(rows.size() / sizeof(Region), kMaxRegions));
    memcpy(areas.data(), rows.data(), areas.size() * sizeof(Region));
    with_areas = true;
    return true;
  }

  /// As the writer of an image has it; `payload` are its threads.
  std::string arena_header(const std::string& payload) const {
    static Header head;
    head = {};
    memcpy(head.head.magic, GODWIT_ARENA_MAGIC, sizeof head.head.magic);
    const size_t size = std::min(regions_.size(), sizeof head.regions);
    head.regions_used = static_cast<uint32_t>(size / sizeof(Region));
    memcpy(head.regions, regions_.data(), size);
    memcpy(head.threads, payload.data(), std::min(payload.size(), sizeof head.threads));
    return std::string(reinterpret_cast<const char*>(&head), offsetof(Header, regions) + size);
  }

  std::string_view left_;
  std::string out_, regions_;
  uint64_t chain_ = 0, count_ = 0;
};

/// As if the process had just been started.
void begin_anew() {
  announced_count = 0;
  process = {};
  cwd[0] = 0;
  if (descriptors) sys(__NR_munmap, descriptors, kDescriptorRoom);
  descriptors = nullptr;
  descriptors_used = 0;
  arena_map_again(announced, 0);
  sys(__NR_munmap, kArena, kHeaderSize);
}

/// Of these the restore relies on: a path goes the way of names, and an address is no longer than the kernel's of its family.
void check_socket(const godwit_image_socket& socket) {
  const bool is_path = socket.domain == 1 && socket.address_size != 0 && socket.address[2] != 0;
  if (is_path != ((socket.state & GODWIT_SOCKET_NAMED) != 0)) __builtin_trap();
  const uint32_t most = socket.domain == 1 ? 110 : socket.domain == 2 ? 16 : 28;
  if (socket.address_size > most || socket.peer_size > most) __builtin_trap();
  if (socket.address_size != 0 && socket.address[0] != socket.domain) __builtin_trap();
  if (socket.peer_size != 0 && socket.peer[0] != socket.domain) __builtin_trap();
}

/// Nobody computes with more of a timer's numbers, and there is no address to bind one of a pair to.
void check_object(const godwit_image_descriptor& descriptor, const char* detail) {
  constexpr uint64_t kMost = INT64_MAX;
  if (descriptor.kind == GODWIT_FD_TIMER) {
    const auto& timer = *reinterpret_cast<const godwit_image_timer*>(detail);
    if (timer.due > kMost || timer.interval > kMost || timer.ticks > kMost) __builtin_trap();
  } else if (descriptor.kind == GODWIT_FD_PAIR) {
    const auto& socket = *reinterpret_cast<const godwit_image_socket*>(detail);
    if (socket.domain != 1 || socket.address_size != 0 || socket.peer_size != 0) __builtin_trap();
  } else if (descriptor.kind == GODWIT_FD_PIPE) {
    if (reinterpret_cast<const godwit_image_pipe*>(detail)->capacity == 0) __builtin_trap();
  }
  const bool unread = descriptor.kind == GODWIT_FD_UNREAD;
  if (!unread && descriptor.detail_size > GODWIT_IMAGE_DETAIL_MAX) __builtin_trap();
}

/// What it has accepted is there.
void use_it() {
  uint64_t found = 0;
  for (uint32_t i = 0; i < announced_count; ++i)
    for (uint64_t at = announced[i].start; at < announced[i].start + announced[i].length; at += GODWIT_PAGE)
      found += *reinterpret_cast<const volatile unsigned char*>(at);
  for (const char& c : neutral_data) found += *const_cast<const volatile char*>(&c);
  for (uint64_t at = 0; at < descriptors_used;) {
    const auto& descriptor = *reinterpret_cast<const godwit_image_descriptor*>(descriptors + at);
    const char* detail = descriptors + at + sizeof descriptor;
    if (descriptor.kind <= GODWIT_FD_DEVICE && strlen(detail) > descriptor.detail_size) __builtin_trap();
    check_object(descriptor, detail);
    if (descriptor.kind == GODWIT_FD_SOCKET) check_socket(*reinterpret_cast<const godwit_image_socket*>(detail));
    for (uint64_t i = 0; i < descriptor.detail_size; ++i) found += static_cast<unsigned char>(detail[i]);
    at += described_size(descriptor);
  }
  for (const Thread& thread : header().threads)
    if (thread.number && !thread.ended) found += *reinterpret_cast<const volatile unsigned char*>(thread.shadow);
  if (found == UINT64_MAX) __builtin_trap();
}

}  // namespace
}  // namespace godwit::portable

extern "C" {
extern const struct godwit_program godwit_program = {
    .magic = {'G', 'O', 'D', 'W', 'I', 'T', 'P', '1'},
    .family = "lp64le",
    .name = "fuzz",
    .data_start = reinterpret_cast<uint64_t>(godwit::portable::neutral_data),
    .data_end = reinterpret_cast<uint64_t>(godwit::portable::neutral_data) + sizeof godwit::portable::neutral_data,
    .arena = godwit::portable::kArena,
    .arena_size = godwit::portable::kArenaSize};
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace godwit::portable;
  begin_anew();
  std::string_view input(reinterpret_cast<const char*>(data), size);
  const bool raw = !input.empty() && input[0] == '\xff';
  Writer writer(raw ? std::string_view() : input);
  const auto bytes = raw ? std::string(input.substr(1)) : writer.write();
  stream = {bytes.data(), bytes.data() + bytes.size()};
  try {
    if (writer.with_areas) {
      const auto count = static_cast<uint32_t>(writer.areas.size());
      if (!arena_rows_are_sound(writer.areas.data(), count) || !arena_map_again(writer.areas.data(), count)) return 0;
    }
    read_records(0, read_header(0));
    check_tables();
    use_it();
  } catch (const Refused&) {
  }
  return 0;
}
