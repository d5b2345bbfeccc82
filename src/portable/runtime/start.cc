// The entry of a portable program on one architecture.
//
// The kernel's stack is used only to get going. The first thread then runs on a stack of the runtime's own, because its size
// must not depend on the machine: the same recursion needs more room on one architecture than on another, and it must be
// possible to re-enter everywhere what one of them held. It costs nothing where it isn't touched.
//
// The environment tells the runtime, and not the program, what to do:
//
//     GODWIT_ARGV0                what argv[0] shall be at the first start (the program was started through a cache)
//     GODWIT_RESTORE_FD           go on from the image that this descriptor gives
//     GODWIT_RESTORE_COMMIT_FD    but only after the commit: restore.cc
//     GODWIT_RESTORE_FROM         wait at this abstract socket for the memory and the image: arrive.cc
//     GODWIT_ARCH, GODWIT_EMULATOR    were for the package's starting script; not the program's, which may go elsewhere
//     GODWIT_TEST_STOP_AFTER, GODWIT_TEST_IMAGE    for tests: at the n-th adaptation point write the image, exit with status 42
//
// Native thread-local storage holds the runtime's few variables only (the program's own are neutral memory at __godwit_tp). All
// begin as zero, and they are reached in the local-exec model, at offsets from the thread pointer that the linker has chosen:
//
//     x86_64            below it; at it lies its own address
//     aarch64           above it, after 16 bytes
//     riscv64           above it
//     s390x             below it
//     armhf             above it, after 8 bytes
//
// So a block of zeros on both sides is all that it takes. What PT_TLS says isn't asked: a program whose headers lie in no
// segment, as a linker script may have it, gets no address of them from the kernel (AT_PHDR).
#include <asm/mman.h>
#include <linux/auxvec.h>
#include <linux/mman.h>

#include "portable/runtime/runtime.h"

extern "C" {
GODWIT_THREAD uint32_t __godwit_state;
GODWIT_THREAD char* __godwit_sp;
GODWIT_THREAD char* __godwit_tp;
uint32_t __godwit_request;
}

namespace godwit::portable {
namespace {

constexpr uint64_t kFirstStack = kNarrow ? UINT64_C(128) << 20 : UINT64_C(256) << 20;
/// A part of the arena that is the same wherever the program runs, the low arena's being smaller.
uint64_t neutral_stack() {
  return godwit_program.arena_size >= GODWIT_ARENA_SIZE ? UINT64_C(1) << 30 : UINT64_C(1) << 27;
}
constexpr uint64_t kGuard = 65536;
/// On each side of a thread pointer; a multiple of any alignment that the variables could have.
constexpr uint64_t kThreadLocals = 1024;

struct Environment {
  int argc;
  char** argv;
  char** envp;
  const char* argv0;
  int64_t restore_fd = -1;
  int64_t commit_fd = -1;
  const char* restore_from;
};
Environment environment;

void set_thread_pointer(uint64_t tp) {
#if defined(__x86_64__)
  sys(__NR_arch_prctl, 0x1002 /* ARCH_SET_FS */, tp);
#elif defined(__aarch64__)
  asm volatile("msr tpidr_el0, %0" : : "r"(tp));
#elif defined(__arm__)
  sys(__ARM_NR_set_tls, tp);
#elif defined(__s390x__)
  // In two access registers, of 32 bits each.
  asm volatile("sar %%a0, %0\n\tsar %%a1, %1" : : "d"(static_cast<uint32_t>(tp >> 32)), "d"(static_cast<uint32_t>(tp)));
#else
  asm volatile("mv tp, %0" : : "r"(tp));
#endif
}

int64_t descriptor_number(const char* variable, const char* text) {
  const int64_t number = parse_number(text, GODWIT_IMAGE_FD_MAX);
  if (number < 0) fatal(variable, " isn't a descriptor's number: '", text, "'");
  return number;
}

/// Takes what is meant for the runtime out of the environment.
void read_environment() {
  const char* stop_after = nullptr;
  const char* image = nullptr;
  char** kept = environment.envp;
  for (char** entry = environment.envp; *entry; ++entry) {
    if (auto* number = after(*entry, "GODWIT_RESTORE_FD=")) {
      environment.restore_fd = descriptor_number("GODWIT_RESTORE_FD", number);
    } else if (auto* other = after(*entry, "GODWIT_RESTORE_COMMIT_FD=")) {
      environment.commit_fd = descriptor_number("GODWIT_RESTORE_COMMIT_FD", other);
    } else if (auto* from = after(*entry, "GODWIT_RESTORE_FROM=")) {
      environment.restore_from = from;
    } else if (after(*entry, "GODWIT_ARCH=") || after(*entry, "GODWIT_EMULATOR=")) {
      continue;
    } else if (auto* name = after(*entry, "GODWIT_ARGV0=")) {
      environment.argv0 = name;
    } else if (auto* points = after(*entry, "GODWIT_TEST_STOP_AFTER=")) {
      stop_after = points;
    } else if (auto* path = after(*entry, "GODWIT_TEST_IMAGE=")) {
      image = path;
    } else {
      *kept++ = *entry;
    }
  }
  *kept = nullptr;
  if (stop_after && image) {
    const int64_t points = parse_number(stop_after, UINT32_MAX);
    if (points < 0) fatal("GODWIT_TEST_STOP_AFTER isn't a number: '", stop_after, "'");
    test_stop_after(static_cast<uint32_t>(points), image);
  }
}

/// Copies argv or envp into `at`; its strings to `strings`, which moves on.
void copy_strings(char** from, const char* first, Le<uint64_t>* at, char*& strings) {
  for (uint64_t i = 0; from[i]; ++i) {
    const char* text = i == 0 && first ? first : from[i];
    const size_t size = length_of(text) + 1;
    memcpy(strings, text, size);
    at[i] = reinterpret_cast<uint64_t>(strings);
    strings += size;
  }
}

void copy_arguments() {
  uint64_t words = 0, bytes = environment.argv0 ? length_of(environment.argv0) + 1 : 0;
  char** const lists[] = {environment.argv, environment.envp};
  for (char** list : lists) {
    for (; *list; ++list, ++words) bytes += length_of(*list) + 1;
    ++words;
  }
  const uint64_t block = arena_take(page_up(words * 8 + bytes), PROT_READ | PROT_WRITE, GODWIT_REGION_ARGUMENTS);
  if (!block) fatal("no room in the arena for the arguments");
  auto* list = reinterpret_cast<Le<uint64_t>*>(block);
  auto* strings = reinterpret_cast<char*>(block + words * 8);
  Header& head = header();
  head.argc = static_cast<uint32_t>(environment.argc);
  head.argv = block;
  copy_strings(environment.argv, environment.argv0, list, strings);
  head.envp = block + (static_cast<uint64_t>(environment.argc) + 1) * 8;
  copy_strings(environment.envp, nullptr, list + environment.argc + 1, strings);
}

void start_afresh() {
  map_header();
  Header& head = header();
  head.head = {{}, godwit_program.data_start, godwit_program.data_end, godwit_program.arena_size};
  memcpy(head.head.magic, GODWIT_ARENA_MAGIC, sizeof head.head.magic);
  head.pid = static_cast<uint32_t>(sys(__NR_getpid));
  head.next_number = 2;
  copy_arguments();
  Thread& first = head.threads[0];
  first.number = 1;
  first.signal_mask = initial_signal_mask();
  first.stack = arena_take(neutral_stack(), PROT_READ | PROT_WRITE, GODWIT_REGION_STACK);
  first.stack_size = neutral_stack();
  if (!first.stack || !arena_take(kGuard, PROT_NONE, GODWIT_REGION_GUARD)) {
    fatal("no room in the arena for the first thread's stack");
  }
}

[[noreturn]] void on_own_stack(void*) {
  begin_first_thread();
  begin_signals();
  if (environment.restore_from) {
    const int socket = await_arrival(environment.restore_from);
    restore_image(socket, socket);
  } else if (environment.restore_fd >= 0) {
    restore_image(static_cast<int>(environment.restore_fd), static_cast<int>(environment.commit_fd));
  } else {
    start_afresh();
  }
  refresh_request();
  run_first_thread();
}

}  // namespace

uint64_t map_native_stack(uint64_t size) {
  const int64_t low = sys_mmap(nullptr, size + kGuard, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE);
  if (failed(low)) return 0;
  const auto stack = static_cast<uint64_t>(low) + kGuard;
  if (failed(sys(__NR_mprotect, stack, size, PROT_READ | PROT_WRITE))) {
    sys(__NR_munmap, low, size + kGuard);
    return 0;
  }
  return stack;
}

NativeTop prepare_native_stack(uint64_t low, uint64_t size) {
  const uint64_t tp = (low + size - kThreadLocals) & ~(kThreadLocals - 1);
  const uint64_t block = tp - kThreadLocals;
  memset(reinterpret_cast<void*>(block), 0, 2 * kThreadLocals);
#if defined(__x86_64__)
  *reinterpret_cast<uint64_t*>(tp) = tp;
#endif
  return {reinterpret_cast<void*>(block), reinterpret_cast<void*>(tp)};
}

}  // namespace godwit::portable

extern "C" [[noreturn]] void godwit_start(unsigned long* stack) {
  using namespace godwit::portable;
  environment.argc = static_cast<int>(stack[0]);
  environment.argv = reinterpret_cast<char**>(stack + 1);
  environment.envp = environment.argv + environment.argc + 1;
  char** end = environment.envp;
  while (*end) ++end;
  for (auto* entry = reinterpret_cast<unsigned long*>(end + 1); entry[0] != AT_NULL; entry += 2) {
    if (entry[0] == AT_SYSINFO_EHDR) use_vdso(entry[1]);
    if (entry[0] == AT_PAGESZ && entry[1] != GODWIT_PAGE) {
      fatal("this machine's pages have ", entry[1], " bytes, a portable program needs ", GODWIT_PAGE);
    }
  }
  read_environment();
  const uint64_t low = map_native_stack(kFirstStack);
  if (!low) fatal("no memory for the first thread's native stack");
  const NativeTop top = prepare_native_stack(low, kFirstStack);
  set_thread_pointer(reinterpret_cast<uint64_t>(top.tls));
  godwit_arch_on_stack(on_own_stack, nullptr, top.stack);
}
