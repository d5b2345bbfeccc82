#include "pod/remote.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>

#include "base/io.h"
#include "base/sys.h"
#include "pod/vdso.h"

namespace godwit::pod {
namespace {

constexpr size_t kPage = 4096;
constexpr size_t kRecordsOffset = kPage;
constexpr size_t kScratchOffset = kTrampolineSize - kScratchSize;
constexpr size_t kMaxRecords = (kScratchOffset - kRecordsOffset) / sizeof(CallRecord);
constexpr size_t kBatchEntry = 16;

// Offset 0: one call with the registers as they are. Offset 16: rbx = first record, rbp = how many.
constexpr unsigned char kCode[] = {
    0x0f, 0x05,                                                  // syscall
    0xcc,                                                        // int3
    0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x48, 0x8b, 0x03,  // mov rax, [rbx]
    0x48, 0x8b, 0x7b, 0x08,  // mov rdi, [rbx+8]
    0x48, 0x8b, 0x73, 0x10,  // mov rsi, [rbx+16]
    0x48, 0x8b, 0x53, 0x18,  // mov rdx, [rbx+24]
    0x4c, 0x8b, 0x53, 0x20,  // mov r10, [rbx+32]
    0x4c, 0x8b, 0x43, 0x28,  // mov r8, [rbx+40]
    0x4c, 0x8b, 0x4b, 0x30,  // mov r9, [rbx+48]
    0x0f, 0x05,  // syscall
    0x48, 0x89, 0x43, 0x38,  // mov [rbx+56], rax
    0x48, 0x83, 0xc3, 0x40,  // add rbx, 64
    0x48, 0xff, 0xcd,  // dec rbp
    0x75, 0xd6,  // jnz to the first mov
    0xcc,  // int3
};

// Uses the AMX tiles once: rbx = a tile configuration. By hand, for the assembler in use may not know them.
constexpr size_t kTilesEntry = 128;
constexpr unsigned char kTilesCode[] = {
    0xc4, 0xe2, 0x78, 0x49, 0x03,  // ldtilecfg [rbx]
    0xc4, 0xe2, 0x7b, 0x49, 0xc0,  // tilezero tmm0
    0xc4, 0xe2, 0x78, 0x49, 0xc0,  // tilerelease
    0xcc,  // int3
};
static_assert(sizeof kCode <= kTilesEntry);

std::string pid_name(pid_t pid) { return "pid " + std::to_string(pid); }

// Registers for a call: orig_rax = -1 keeps the kernel from restarting whatever call the thread was interrupted in.
user_regs_struct call_regs(const Tracee& thread, uint64_t rip) {
  user_regs_struct r = thread.regs();
  r.rip = rip;
  r.orig_rax = ~0ull;
  r.rax = 0;
  // The direction flag and single-step flag of the interrupted code must not reach ours.
  r.eflags &= ~0x500ull;
  return r;
}

void set_arguments(user_regs_struct& r, long number, std::span<const uint64_t> a) {
  auto at = [&](size_t i) { return i < a.size() ? a[i] : 0; };
  r.rax = static_cast<uint64_t>(number);
  r.rdi = at(0);
  r.rsi = at(1);
  r.rdx = at(2);
  r.r10 = at(3);
  r.r8 = at(4);
  r.r9 = at(5);
}

constexpr std::array kSyscall = {std::byte{0x0f}, std::byte{0x05}};  // the instruction

std::optional<uint64_t> find_syscall_in(std::span<const std::byte> code) {
  const auto found = std::ranges::search(code, kSyscall);
  if (found.empty()) return std::nullopt;
  return static_cast<uint64_t>(found.begin() - code.begin());
}

// Where this kernel's vDSO has one: nearly every process has the same vDSO.
const std::optional<uint64_t>& syscall_in_vdso() {
  static const auto kAt = find_syscall_in(own_vdso());
  return kAt;
}

Result<void> expect_trap(const Tracee& thread, int status) {
  if (WSTOPSIG(status) == SIGTRAP && status >> 16 == 0) return {};
  TRY(const auto regs, thread.get_regs());
  return fail(Code::kFailed, "remote system call in thread " + std::to_string(thread.tid()) + " stopped with status " +
                                 std::to_string(status) + " at rip " + std::to_string(regs.rip));
}

}  // namespace

Result<void> read_memory(pid_t pid, uint64_t address, std::span<std::byte> out) {
  iovec local{out.data(), out.size()};
  iovec remote{reinterpret_cast<void*>(address), out.size()};
  const ssize_t n = ::process_vm_readv(pid, &local, 1, &remote, 1, 0);
  if (n == static_cast<ssize_t>(out.size())) return {};
  return fail_errno(n < 0 ? errno : EFAULT, "memory of " + pid_name(pid));
}

Result<void> read_memory(const ProcFs& proc, pid_t pid, uint64_t address, std::span<std::byte> out) {
  if (read_memory(pid, address, out)) return {};
  // An area without PROT_READ: /proc/PID/mem reads it all the same (FOLL_FORCE).
  TRY(const Fd mem, proc.open(pid, "mem", O_RDONLY));
  TRY_IN("memory of " + pid_name(pid), io::pread_full(mem.get(), out, address));
  return {};
}

Result<void> write_memory(const ProcFs& proc, pid_t pid, uint64_t address, std::span<const std::byte> data) {
  iovec local{const_cast<std::byte*>(data.data()), data.size()};
  iovec remote{reinterpret_cast<void*>(address), data.size()};
  const ssize_t n = ::process_vm_writev(pid, &local, 1, &remote, 1, 0);
  if (n == static_cast<ssize_t>(data.size())) return {};
  TRY(const Fd mem, proc.open(pid, "mem", O_RDWR));
  TRY_IN("memory of " + pid_name(pid), io::pwrite_full(mem.get(), data, address));
  return {};
}

Result<void> Remote::use_tiles(const Tracee& thread) {
  struct {
    uint8_t palette = 1, start_row = 0, reserved[14]{};
    uint16_t columns[16] = {64};
    uint8_t rows[16] = {16};
  } const configuration;  // Intel SDM vol. 2, LDTILECFG
  static_assert(sizeof configuration == 64);
  TRY_DO(write_scratch(0, std::as_bytes(std::span(&configuration, 1))));
  auto regs = call_regs(thread, raw(base_) + kTilesEntry);
  regs.rbx = raw(scratch());
  TRY_DO(thread.set_regs(regs));
  TRY(const int status, thread.cont_and_wait(PTRACE_CONT));
  return expect_trap(thread, status);
}

Result<SharedTrampoline> SharedTrampoline::map(std::span<const MapEntry> avoid) {
  // The places where nothing usually lies: above a non-PIE program's heap, below the PIE and mmap regions.
  for (uint64_t candidate = 0x1000'0000'0000; candidate < 0x5000'0000'0000; candidate += 0x0010'0000'0000) {
    bool free = true;
    for (const auto& m : avoid) free = free && (candidate + kTrampolineSize <= m.start || m.end <= candidate);
    if (!free) continue;
    void* p = ::mmap(reinterpret_cast<void*>(candidate), kTrampolineSize, PROT_READ | PROT_WRITE | PROT_EXEC,
                     MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    if (p == MAP_FAILED) continue;
    std::memcpy(p, kCode, sizeof kCode);
    std::memcpy(static_cast<std::byte*>(p) + kTilesEntry, kTilesCode, sizeof kTilesCode);
    return SharedTrampoline(static_cast<std::byte*>(p));
  }
  return fail(Code::kFailed, "no free address for the trampoline");
}

SharedTrampoline::~SharedTrampoline() {
  if (address_ != nullptr) ::munmap(address_, kTrampolineSize);
}

Result<RemoteAddress> Remote::find_syscall(pid_t pid, std::span<const MapEntry> maps) {
  // The vDSO first (it falls back to real calls), then any code the program has mapped.
  for (const bool vdso : {true, false}) {
    for (const auto& m : maps) {
      if ((m.name == "[vdso]") != vdso || (m.prot & PROT_EXEC) == 0 || m.name == "[vsyscall]") continue;
      if (vdso && syscall_in_vdso()) {
        const RemoteAddress at{m.start + *syscall_in_vdso()};
        std::array<std::byte, kSyscall.size()> there{};
        if (read_memory(pid, raw(at), there) && there == kSyscall) return at;
      }
      std::vector<std::byte> code(std::min<uint64_t>(m.end - m.start, 1u << 20));
      if (!read_memory(pid, m.start, code)) continue;
      if (const auto at = find_syscall_in(code)) return RemoteAddress{m.start + *at};
    }
  }
  return fail(Code::kRefused, pid_name(pid) + " has no syscall instruction in its code");
}

Result<int64_t> Remote::step_call(const Tracee& thread, RemoteAddress at, long number,
                                  std::span<const uint64_t> arguments) {
  auto regs = call_regs(thread, raw(at));
  set_arguments(regs, number, arguments);
  TRY_DO(thread.set_regs(regs));
  TRY(const int status, thread.cont_and_wait(PTRACE_SINGLESTEP));
  TRY_DO(expect_trap(thread, status));
  TRY(const auto after, thread.get_regs());
  return check(number, static_cast<int64_t>(after.rax));
}

Result<Remote> Remote::install(const ProcFs& proc, const Tracee& leader, std::span<const MapEntry> maps) {
  TRY(const auto at, find_syscall(leader.tid(), maps));
  const auto map = [&](uint64_t address, uint64_t size, int prot) -> Result<uint64_t> {
    const int flags = MAP_PRIVATE | MAP_ANONYMOUS | (address != 0 ? MAP_FIXED : 0);
    const uint64_t arguments[] = {address, size, static_cast<uint64_t>(prot), static_cast<uint64_t>(flags), ~0ull, 0};
    TRY(const int64_t mapped, step_call(leader, at, SYS_mmap, arguments));
    return static_cast<uint64_t>(mapped);
  };
  auto base = map(0, kTrampolineSize, PROT_READ | PROT_WRITE | PROT_EXEC);
  const bool writable = base.has_value();
  if (!base) {
    // A program may forbid that for itself (prctl(PR_SET_MDWE)): then the code has a page without PROT_WRITE.
    base = map(0, kTrampolineSize, PROT_READ | PROT_WRITE);
    if (base) base = map(*base, kPage, PROT_READ | PROT_EXEC);
  }
  if (!base) return std::unexpected(base.error());
  if (!writable) TRY_DO(write_memory(proc, leader.tid(), *base, std::as_bytes(std::span(kCode))));
  Remote remote;
  remote.has_code_ = !writable;
  remote.pid_ = leader.tid();
  remote.base_ = RemoteAddress{*base};
  remote.syscall_at_ = at;
  return remote;
}

Remote Remote::inherited(pid_t pid, const SharedTrampoline& shared) {
  Remote remote;
  remote.pid_ = pid;
  remote.local_ = shared.address();
  remote.base_ = RemoteAddress{reinterpret_cast<uint64_t>(shared.address())};
  return remote;
}

void Remote::cut_out(std::vector<MapEntry>& areas) const {
  const uint64_t start = raw(base_), end = start + kTrampolineSize;
  std::vector<MapEntry> kept;
  kept.reserve(areas.size());
  for (MapEntry& area : areas) {
    if (!covers(area.start, area.end)) {
      kept.push_back(std::move(area));
      continue;
    }
    if (area.start < start) {
      kept.push_back(area);
      kept.back().end = start;
    }
    if (area.end > end) {
      kept.push_back(std::move(area));
      kept.back().start = end;  // anonymous, so its offset is 0
    }
  }
  areas = std::move(kept);
}

Result<void> Remote::remove(const Tracee& leader) {
  const uint64_t arguments[] = {raw(base_), kTrampolineSize};
  TRY_DO(step_call(leader, syscall_at_, SYS_munmap, arguments));
  return {};
}

RemoteAddress Remote::scratch() const { return base_ + kScratchOffset; }
std::byte* Remote::local_scratch() const { return local_ == nullptr ? nullptr : local_ + kScratchOffset; }

Result<void> Remote::write_scratch(size_t offset, std::span<const std::byte> data) {
  if (offset > kScratchSize || data.size() > kScratchSize - offset)
    return fail(Code::kFailed, "more than the scratch memory holds");
  if (local_ != nullptr) {
    std::memcpy(local_scratch() + offset, data.data(), data.size());
    return {};
  }
  iovec local{const_cast<std::byte*>(data.data()), data.size()};
  iovec remote{reinterpret_cast<void*>(raw(scratch()) + offset), data.size()};
  if (::process_vm_writev(pid_, &local, 1, &remote, 1, 0) != static_cast<ssize_t>(data.size())) {
    return fail_errno(errno, "process_vm_writev to " + pid_name(pid_));
  }
  return {};
}

Result<void> Remote::read_scratch(size_t offset, std::span<std::byte> out) const {
  if (local_ != nullptr) {
    std::memcpy(out.data(), local_scratch() + offset, out.size());
    return {};
  }
  return read_memory(pid_, raw(scratch()) + offset, out);
}

Result<void> Remote::put_records(std::span<CallRecord> part) {
  if (local_ != nullptr) {
    std::memcpy(local_ + kRecordsOffset, part.data(), part.size_bytes());
    return {};
  }
  const std::array<iovec, 2> local{
      {{part.data(), part.size_bytes()}, {const_cast<unsigned char*>(kCode), has_code_ ? 0 : sizeof kCode}}};
  const std::array<iovec, 2> there{{{reinterpret_cast<void*>(raw(base_) + kRecordsOffset), local[0].iov_len},
                                    {reinterpret_cast<void*>(raw(base_)), local[1].iov_len}}};
  const ssize_t n = ::process_vm_writev(pid_, local.data(), local.size(), there.data(), there.size(), 0);
  if (n != static_cast<ssize_t>(local[0].iov_len + local[1].iov_len))
    return fail_errno(n < 0 ? errno : EFAULT, "process_vm_writev to " + pid_name(pid_));
  has_code_ = true;
  return {};
}

Result<void> Remote::run_part(const Tracee& thread, std::span<CallRecord> part, std::span<std::byte> answers) {
  const uint64_t records = raw(base_) + kRecordsOffset;
  TRY_DO(put_records(part));
  auto regs = call_regs(thread, raw(base_) + kBatchEntry);
  regs.rbx = records;
  regs.rbp = part.size();
  TRY_DO(thread.set_regs(regs));
  TRY(const int status, thread.cont_and_wait(PTRACE_CONT));
  TRY_DO(expect_trap(thread, status));
  if (local_ != nullptr) {
    std::memcpy(part.data(), local_ + kRecordsOffset, part.size_bytes());
    if (!answers.empty()) std::memcpy(answers.data(), local_scratch(), answers.size());
    return {};
  }
  const std::array<iovec, 2> local{{{part.data(), part.size_bytes()}, {answers.data(), answers.size()}}};
  const std::array<iovec, 2> there{{{reinterpret_cast<void*>(records), part.size_bytes()},
                                    {reinterpret_cast<void*>(raw(scratch())), answers.size()}}};
  const ssize_t n = ::process_vm_readv(pid_, local.data(), local.size(), there.data(), there.size(), 0);
  if (n == static_cast<ssize_t>(part.size_bytes() + answers.size())) return {};
  return fail_errno(n < 0 ? errno : EFAULT, "memory of " + pid_name(pid_));
}

Result<void> Remote::run(const Tracee& thread, Batch& batch, std::span<std::byte> answers) {
  for (size_t i = 0; i < batch.calls_.size(); i += kMaxRecords) {
    const size_t n = std::min(kMaxRecords, batch.calls_.size() - i);
    const bool last = i + n == batch.calls_.size();
    TRY_DO(run_part(thread, std::span(batch.calls_).subspan(i, n), last ? answers : std::span<std::byte>()));
  }
  for (const auto& must : batch.musts_) {
    auto r = check(batch.calls_[must.index].number, batch.result(must.index));
    if (!r) return std::unexpected(r.error().in(must.what));
  }
  return {};
}

Result<int64_t> Remote::call(const Tracee& thread, long number, std::span<const uint64_t> arguments) {
  CallRecord record{number, {}, 0};
  std::copy_n(arguments.begin(), std::min<size_t>(arguments.size(), 6), record.arguments.begin());
  TRY_DO(run_part(thread, std::span(&record, 1), {}));
  return check(number, record.result);
}

Result<int> Remote::start_single(const Tracee& thread, long number, std::span<const uint64_t> arguments) {
  auto regs = call_regs(thread, raw(base_));
  set_arguments(regs, number, arguments);
  TRY_DO(thread.set_regs(regs));
  return thread.cont_and_wait(PTRACE_CONT);
}

Result<int64_t> Remote::check(long number, int64_t result) {
  if (result < 0 && result > -4096)
    return fail_errno(static_cast<int>(-result), "remote system call " + std::to_string(number));
  return result;
}

}  // namespace godwit::pod
