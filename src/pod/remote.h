// System calls in another process.
//
// A *trampoline* is 64 KiB in the other process: a page of code, a table of call records, 32 KiB of scratch data. One
// ptrace round runs a whole batch: the code walks the records, makes each call and stores what it returned. A single
// round costs 4–50 µs (wake-ups), a call in a batch 0.1 µs (measured, docs/design/pod.md), so callers collect batches.
//
//     Batch batch;
//     const auto brk = batch.add(SYS_brk, 0);
//     TRY_DO(remote.run(thread, batch));
//     const int64_t end = batch.result(brk);      // or the negated errno, as the kernel gives it
//
// Two ways to get one: install() puts it into a frozen process of a unit and remove() takes it out without a trace;
// SharedTrampoline maps one in this process at an address that the processes to be restored inherit, so that records
// and scratch need no copying.
//
// Threads: as Tracee.
#pragma once

#include <sys/types.h>

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "pod/proc.h"
#include "pod/tracee.h"

namespace godwit::pod {

/// An address in another process: not to be dereferenced here.
enum class RemoteAddress : uint64_t {};
inline uint64_t raw(RemoteAddress a) { return static_cast<uint64_t>(a); }
inline RemoteAddress operator+(RemoteAddress a, uint64_t n) { return RemoteAddress{raw(a) + n}; }

/// One record as the trampoline's code reads it.
struct CallRecord {
  int64_t number = 0;
  std::array<uint64_t, 6> arguments{};
  int64_t result = 0;
};
static_assert(sizeof(CallRecord) == 64);

class Batch {
 public:
  /// Adds a call; gives its index. Arguments are converted as the kernel takes them.
  template <typename... A>
  size_t add(long number, A... arguments) {
    static_assert(sizeof...(A) <= 6);
    calls_.push_back({number, {convert(arguments)...}, 0});
    return calls_.size() - 1;
  }
  /// As add(); a negative result makes Remote::run fail with `what`.
  template <typename... A>
  size_t must(std::string_view what, long number, A... arguments) {
    const size_t i = add(number, arguments...);
    musts_.push_back({i, what});
    return i;
  }
  int64_t result(size_t index) const { return calls_[index].result; }
  bool empty() const { return calls_.empty(); }
  size_t size() const { return calls_.size(); }
  void clear() {
    calls_.clear();
    musts_.clear();
  }

 private:
  friend class Remote;
  struct Must {
    size_t index;
    std::string_view what;  // a literal
  };
  template <typename T>
  static uint64_t convert(T value) {
    if constexpr (std::is_pointer_v<T>)
      return reinterpret_cast<uint64_t>(value);
    else if constexpr (std::is_enum_v<T>)
      return static_cast<uint64_t>(value);
    else
      return static_cast<uint64_t>(static_cast<int64_t>(value));
  }
  std::vector<CallRecord> calls_;
  std::vector<Must> musts_;
};

inline constexpr size_t kTrampolineSize = 65536;
inline constexpr size_t kScratchSize = 32768;

/// Copies memory of another process that it may read itself.
Result<void> read_memory(pid_t pid, uint64_t address, std::span<std::byte> out);
/// Likewise, whatever the protection of its areas (process_vm_readv, then /proc/PID/mem). In a keeper "/proc" is the
/// unit's, where the same number is somebody else: so it is never opened by that name.
Result<void> read_memory(const ProcFs& proc, pid_t pid, uint64_t address, std::span<std::byte> out);
Result<void> write_memory(const ProcFs& proc, pid_t pid, uint64_t address, std::span<const std::byte> data);
template <typename T>
Result<T> read_object(pid_t pid, uint64_t address) {
  T value{};
  TRY_DO(read_memory(pid, address, std::as_writable_bytes(std::span(&value, 1))));
  return value;
}

/// A trampoline in this process at an address that is free here and in all of `avoid`; children inherit it.
class SharedTrampoline {
 public:
  static Result<SharedTrampoline> map(std::span<const MapEntry> avoid);
  SharedTrampoline(SharedTrampoline&& other) noexcept : address_(std::exchange(other.address_, nullptr)) {}
  SharedTrampoline(const SharedTrampoline&) = delete;
  ~SharedTrampoline();
  std::byte* address() const { return address_; }

 private:
  explicit SharedTrampoline(std::byte* address) : address_(address) {}
  std::byte* address_ = nullptr;
};

class Remote {
 public:
  /// Puts a trampoline into the process of `leader` (held). `maps` are its areas.
  static Result<Remote> install(const ProcFs& proc, const Tracee& leader, std::span<const MapEntry> maps);
  /// The trampoline that process `pid` inherited from this process.
  static Remote inherited(pid_t pid, const SharedTrampoline& shared);

  /// Runs the batch in a held thread of the process. Records keep their results. `answers` gets what is then in the scratch
  /// memory, from its start.
  Result<void> run(const Tracee& thread, Batch& batch, std::span<std::byte> answers = {});
  /// One call; the value, or the error that it returned.
  Result<int64_t> call(const Tracee& thread, long number, std::span<const uint64_t> arguments);
  template <typename... A>
  Result<int64_t> call(const Tracee& thread, long number, A... arguments) {
    Batch batch;
    batch.add(number, arguments...);
    TRY_DO(run(thread, batch));
    return check(number, batch.result(0));
  }
  /// Runs one call up to its end like run(), but lets the caller see clone events: gives the wait status of the first stop.
  Result<int> start_single(const Tracee& thread, long number, std::span<const uint64_t> arguments);

  /// For inherited trampolines: lets the thread use an AMX tile, and release it.
  Result<void> use_tiles(const Tracee& thread);

  /// Takes the trampoline out again (install() only). Also done by nobody: a process that is to die keeps it.
  Result<void> remove(const Tracee& leader);

  RemoteAddress base() const { return base_; }
  RemoteAddress scratch() const;
  /// The scratch memory as this process sees it; null unless inherited.
  std::byte* local_scratch() const;
  Result<void> write_scratch(size_t offset, std::span<const std::byte> data);
  Result<void> read_scratch(size_t offset, std::span<std::byte> out) const;
  bool covers(uint64_t start, uint64_t end) const { return start < raw(base_) + kTrampolineSize && raw(base_) < end; }
  /// Takes the trampoline out of a list of areas. The kernel makes one area of it and a neighbour with the same
  /// permissions, so what lies beside it in such an area stays: it is the program's.
  void cut_out(std::vector<MapEntry>& areas) const;
  /// For inherited trampolines: a single-step address is needed to unmap it; any `syscall` instruction of the process.
  static Result<RemoteAddress> find_syscall(pid_t pid, std::span<const MapEntry> maps);
  /// One call by single-stepping a syscall instruction at `at`: needs no trampoline.
  static Result<int64_t> step_call(const Tracee& thread, RemoteAddress at, long number,
                                   std::span<const uint64_t> arguments);

  static Result<int64_t> check(long number, int64_t result);

 private:
  Result<void> run_part(const Tracee& thread, std::span<CallRecord> part, std::span<std::byte> answers);
  Result<void> put_records(std::span<CallRecord> part);
  pid_t pid_ = 0;
  bool has_code_ = true;  ///< else it goes there with the first records
  RemoteAddress base_{};
  RemoteAddress syscall_at_{};  ///< an instruction by which install() mapped it, and remove() unmaps it
  std::byte* local_ = nullptr;
};

}  // namespace godwit::pod
