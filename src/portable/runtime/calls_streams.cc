// Calls that write or read a stream, and that the stop may cut short: what a program that isn't disturbed gets as a whole, it gets
// as a whole here, too. The rest is done where the unit goes on.
#include "portable/runtime/kernel_message.h"
#include "portable/runtime/runtime.h"

namespace godwit::portable {
namespace {

constexpr int64_t kMostVectors = 1024;
constexpr int64_t kWaitForAll = 0x100;  // MSG_WAITALL

/// issue(bytes that are done already); size() is only asked for when that was right.
template <class Size, class Issue>
int64_t in_parts(Call& call, Size size, Issue issue) {
  uint64_t done = call.resumed ? call.progress : 0;
  for (;;) {
    const int64_t result = issue(done);
    call.progress = done;
    if (result == kStopHere) return result;
    if (failed(result)) return done ? static_cast<int64_t>(done) : result;
    done += static_cast<uint64_t>(result);
    if (!result || !read_shared(stopping) || done >= size()) return static_cast<int64_t>(done);
  }
}

uint64_t size_of(const Vector* vectors, uint64_t count) {
  uint64_t size = 0;
  for (uint64_t i = 0; i < count; ++i) size += vectors[i].length;
  return size;
}

/// The same without the first `done` bytes. How many they are now.
uint64_t without(const Vector* vectors, uint64_t count, uint64_t done, Vector* out) {
  uint64_t used = 0;
  for (uint64_t i = 0; i < count; ++i) {
    const uint64_t less = done < vectors[i].length ? done : vectors[i].length;
    done -= less;
    if (less == vectors[i].length) continue;
    out[used++] = {static_cast<char*>(vectors[i].base) + less, static_cast<size_t>(vectors[i].length - less)};
  }
  return used;
}

}  // namespace

int64_t call_write(Call& call) {
  constexpr uint64_t kMostBytes = 0x7ffff000;  // the kernel writes no more at once, and a narrow register holds no more
  const uint64_t wanted = static_cast<uint64_t>(call.a[2]), size = wanted < kMostBytes ? wanted : kMostBytes;
  return in_parts(
      call, [&] { return size; },
      [&](uint64_t done) {
        return wait(call, call.a[0], call.a[1] + static_cast<int64_t>(done), static_cast<int64_t>(size - done), 0, 0,
                    0);
      });
}

int64_t call_writev(Call& call) {
  const auto* vectors = reinterpret_cast<const Vector*>(call.a[1]);
  const int64_t count = call.a[2];
  if (count < 0 || count > kMostVectors) return wait(call);
  Vector rest[kMostVectors];
  return in_parts(
      call, [&] { return size_of(vectors, static_cast<uint64_t>(count)); },
      [&](uint64_t done) {
        if (!done) return wait(call);
        const uint64_t left = without(vectors, static_cast<uint64_t>(count), done, rest);
        return wait(call, call.a[0], reinterpret_cast<long>(rest), static_cast<int64_t>(left), 0, 0, 0);
      });
}

int64_t call_sendto(Call& call) {
  const auto size = static_cast<uint64_t>(call.a[2]);
  return in_parts(
      call, [&] { return size; },
      [&](uint64_t done) {
        if (!done) return wait(call);
        return wait(call, call.a[0], call.a[1] + static_cast<int64_t>(done), static_cast<int64_t>(size - done),
                    call.a[3], call.a[4], call.a[5]);
      });
}

int64_t call_recvfrom(Call& call) {
  if (!(call.a[3] & kWaitForAll)) return wait(call);
  const auto size = static_cast<uint64_t>(call.a[2]);
  return in_parts(
      call, [&] { return size; },
      [&](uint64_t done) {
        if (!done) return wait(call);
        return wait(call, call.a[0], call.a[1] + static_cast<int64_t>(done), static_cast<int64_t>(size - done),
                    call.a[3], call.a[4], call.a[5]);
      });
}

/// What is passed besides bytes goes with the first of them.
int64_t send_all(Call& call) {
  const auto* message = reinterpret_cast<const Message*>(call.a[1]);
  Vector rest[kMostVectors];
  return in_parts(
      call, [&] { return size_of(message->vectors, message->vector_count); },
      [&](uint64_t done) {
        if (!done) return wait(call);
        Message more = *message;
        more.vectors = rest;
        more.vector_count = static_cast<size_t>(without(message->vectors, message->vector_count, done, rest));
        more.control = nullptr;
        more.control_length = 0;
        return wait(call, call.a[0], reinterpret_cast<long>(&more), call.a[2], 0, 0, 0);
      });
}

}  // namespace godwit::portable
