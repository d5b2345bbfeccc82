// Executables, and the proof that they agree.
//
// Each is linked statically by ld.lld from the program's object, the runtime of its target and libgcc, by a linker script
// that puts thunks and neutral data at the family's addresses. Native code comes first, at 0x18000000: within the 128 MiB
// that an aarch64 branch reaches from the thunks. Writable neutral data is one range, [__godwit_data_start, __godwit_data_end),
// which is what an image holds of it; zeros at its end take no room in the file.
#include <fcntl.h>
#include <fmt/format.h>
#include <llvm/Object/ELFObjectFile.h>
#include <llvm/Support/Program.h>

#include <fstream>
#include <map>

#include "portable/abi.h"
#include "portable/compiler/link.h"
#include "portable/pass/adapt.h"
#include "portable/pass/support.h"

namespace godwit::portable {
namespace {

constexpr uint64_t kCode = 0x18000000;

/// Parts with different rights begin on pages of their own: the linker doesn't see to that when it has a script. The first
/// follows the program headers at once, or they would not be loaded and the runtime couldn't find its thread-locals.
std::string linker_script(const Target& target) {
  // Of 32-bit address space only what an executable claims is sure to be free.
  const auto arena = target.narrow ? fmt::format("  .godwit.arena {:#x} (NOLOAD) : {{ . += {:#x}; }}\n",
                                                 GODWIT_LOW_ARENA, GODWIT_LOW_ARENA_SIZE)
                                   : std::string();
  return fmt::format(R"(ENTRY(_start)
SECTIONS {{
  . = {:#x} + SIZEOF_HEADERS;
  .rodata : {{ *(.rodata .rodata.*) *(.eh_frame) }}
  {} : {{ KEEP(*({})) }}
  . = ALIGN(0x1000);
  .text : {{ *(.text .text.*) }}
  . = ALIGN(0x1000);
  .tdata : {{ *(.tdata .tdata.*) }}
  .tbss : {{ *(.tbss .tbss.*) }}
  . = ALIGN(0x1000);
  .data : {{ *(.data .data.* .sdata .sdata.*) }}
  .got : {{ *(.got .got.*) }}
  .bss : {{ *(.sbss .sbss.*) *(.bss) *(EXCLUDE_FILE() .bss.[!g]*) }}
  .godwit.thunks {:#x} : {{ KEEP(*(.godwit.thunks)) }}
  .godwit.constants ALIGN(0x1000) : {{ KEEP(*({})) }}
  .godwit.data {:#x} : {{ __godwit_data_start = .; KEEP(*({})) }}
  .godwit.zeros : {{ KEEP(*({})) . = ALIGN(0x1000); __godwit_data_end = .; }}
{}  /DISCARD/ : {{ *(.comment) *(.note.GNU-stack) *(.riscv.attributes) *(.llvm_addrsig) *(.ARM.attributes .ARM.exidx* .ARM.extab*) }}
}}
)",
                     kCode, kSwapSection, kSwapSection, GODWIT_THUNKS, kConstantSection, GODWIT_DATA, kDataSection,
                     kZeroSection, arena);
}

Result<void> run_linker(const std::vector<std::string>& words) {
  const auto linker = llvm::sys::findProgramByName("ld.lld-19");
  if (!linker) return fail(Code::kSystem, "ld.lld-19 isn't installed (package lld-19)");
  std::vector<llvm::StringRef> arguments(words.begin(), words.end());
  std::string trouble;
  const int status = llvm::sys::ExecuteAndWait(*linker, arguments, std::nullopt, {}, 0, 0, &trouble);
  if (status != 0) return fail(Code::kFailed, fmt::format("ld.lld-19 failed {}", trouble));
  return {};
}

using Symbols = std::map<std::string, uint64_t>;

/// Where neutral code can point: thunks, data, constants.
bool is_shared(uint64_t address) { return address >= GODWIT_THUNKS && address < (UINT64_C(1) << 31); }

Result<Symbols> shared_symbols(const fs::path& executable) {
  auto file = llvm::object::ObjectFile::createObjectFile(executable.string());
  if (!file) return fail(Code::kFailed, llvm::toString(file.takeError()));
  Symbols symbols;
  std::map<std::string, unsigned>
      seen;  // local symbols may share a name: the n-th of one target is the n-th of the other
  for (const auto& symbol : file->getBinary()->symbols()) {
    const auto name = llvm::expectedToOptional(symbol.getName());
    const auto address = llvm::expectedToOptional(symbol.getAddress());
    const auto type = llvm::expectedToOptional(symbol.getType());
    if (!name || !address || !is_shared(*address)) continue;
    // Not the sections', and not the mapping symbols ($x, $d) of some targets.
    if (name->empty() || name->starts_with("$") || type == llvm::object::SymbolRef::ST_Debug) continue;
    symbols[fmt::format("{}#{}", name->str(), seen[name->str()]++)] = *address;
  }
  return symbols;
}

}  // namespace

Result<void> assemble(const LinkOptions& options, const Target& target, const fs::path& object,
                      const fs::path& executable) {
  const auto script = fs::path(object).replace_extension(".ld");
  std::ofstream(script) << linker_script(target);
  std::vector<std::string> words{"ld.lld",
                                 "-static",
                                 "--gc-sections",
                                 "-z",
                                 "norelro",
                                 "-z",
                                 "noexecstack",
                                 "--build-id=none",
                                 "-T",
                                 script.string(),
                                 "-o",
                                 executable.string(),
                                 object.string(),
                                 (options.library / fmt::format("libgodwit-runtime-{}.a", target.name)).string(),
                                 fmt::format("-L{}", target.compiler_library),
                                 "-lgcc"};
  TRY_DO(run_linker(words));
  return target.big_endian ? swap_words(executable) : Result<void>();
}

Result<void> same_addresses(const std::vector<fs::path>& executables) {
  Symbols first;
  for (size_t i = 0; i < executables.size(); ++i) {
    TRY(auto symbols, shared_symbols(executables[i]));
    if (i == 0) {
      first = std::move(symbols);
      continue;
    }
    for (const auto& [name, address] : first) {
      const auto other = symbols.find(name);
      if (other == symbols.end() || other->second != address)
        return fail(Code::kFailed,
                    fmt::format("'{}' lies at {:#x} in {} and {} in {}: godwit cc is wrong, please report it", name,
                                address, executables[0].filename().string(),
                                other == symbols.end() ? "nowhere" : fmt::format("at {:#x}", other->second),
                                executables[i].filename().string()));
    }
  }
  return {};
}

}  // namespace godwit::portable
