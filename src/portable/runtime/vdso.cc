// clock_gettime without a system call: the function that the kernel maps into every process (vdso(7)). Where there is none, as
// under qemu, the call is made. What a library would do with dlsym is done here by hand: the vDSO is an ELF image in memory, its
// dynamic section leads to its symbols.
#include <linux/elf.h>

#include "portable/runtime/runtime.h"

namespace godwit::portable {
namespace {

using ClockGettime = long (*)(int, Timespec*);
ClockGettime clock_gettime;

#if defined(__aarch64__)
constexpr const char* kName = "__kernel_clock_gettime";
#else
constexpr const char* kName = "__vdso_clock_gettime";
#endif

struct Tables {
  uint64_t bias = 0;  ///< what is added to addresses in the image
  const Elf64_Dyn* dynamic = nullptr;
  const Elf64_Sym* symbols = nullptr;
  const char* names = nullptr;
  uint64_t count = 0;
};

void find_segments(uint64_t image, Tables& tables) {
  const auto& head = *reinterpret_cast<const Elf64_Ehdr*>(image);
  const auto* segments = reinterpret_cast<const Elf64_Phdr*>(image + head.e_phoff);
  bool loaded = false;
  for (int i = 0; i < head.e_phnum; ++i) {
    if (segments[i].p_type == PT_LOAD && !loaded) {
      tables.bias = image + segments[i].p_offset - segments[i].p_vaddr;
      loaded = true;
    }
    if (segments[i].p_type == PT_DYNAMIC) {
      tables.dynamic = reinterpret_cast<const Elf64_Dyn*>(image + segments[i].p_offset);
    }
  }
}

void find_symbols(Tables& tables) {
  const uint32_t* hash = nullptr;
  for (const auto* entry = tables.dynamic; entry->d_tag != DT_NULL; ++entry) {
    const uint64_t address = tables.bias + entry->d_un.d_ptr;
    if (entry->d_tag == DT_SYMTAB) tables.symbols = reinterpret_cast<const Elf64_Sym*>(address);
    if (entry->d_tag == DT_STRTAB) tables.names = reinterpret_cast<const char*>(address);
    if (entry->d_tag == DT_HASH) hash = reinterpret_cast<const uint32_t*>(address);
  }
  if (hash) {
    tables.count = hash[1];
  } else if (tables.names > reinterpret_cast<const char*>(tables.symbols)) {
    // Only a GNU hash, which doesn't say how many: the names follow the symbols.
    const auto bytes = static_cast<uint64_t>(tables.names - reinterpret_cast<const char*>(tables.symbols));
    tables.count = bytes / sizeof(Elf64_Sym);
  }
}

}  // namespace

void use_vdso(uint64_t image) {
  if constexpr (kNarrow) return;  // an image of another class
  Tables tables;
  find_segments(image, tables);
  if (!tables.dynamic) return;
  find_symbols(tables);
  if (!tables.symbols || !tables.names) return;
  for (uint64_t i = 0; i < tables.count; ++i) {
    const Elf64_Sym& symbol = tables.symbols[i];
    if (symbol.st_shndx && equal(tables.names + symbol.st_name, kName)) {
      clock_gettime = reinterpret_cast<ClockGettime>(tables.bias + symbol.st_value);
    }
  }
}

long read_clock(int clock, Timespec* now) {
  return clock_gettime ? clock_gettime(clock, now) : sys(__NR_clock_gettime, clock, now);
}

}  // namespace godwit::portable
