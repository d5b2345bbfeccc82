// Addresses in the initial data of a big-endian target.
//
// Neutral data is little-endian (pass/adapt.cc), but what the linker writes into it, the addresses of other data and of thunks, it
// writes in the target's order. The adapter has left a list of these places in a section; when the executable is there,
// the bytes of each are turned over in the file. At run time nothing is left to do, and constants stay constant.
#include <fmt/format.h>
#include <llvm/Object/ELFObjectFile.h>

#include <algorithm>

#include "base/base.h"
#include "portable/compiler/link.h"
#include "portable/pass/adapt.h"

namespace godwit::portable {
namespace {

using Elf = llvm::object::ELFFile<llvm::object::ELF64BE>;

constexpr size_t kLargestFile = size_t{2} << 30;

/// Where in the file a place in memory lies; nothing for what has no bytes there.
std::optional<uint64_t> offset_of(llvm::ArrayRef<llvm::object::ELF64BE::Phdr> segments, uint64_t address,
                                  uint64_t size) {
  for (const auto& segment : segments)
    if (segment.p_type == llvm::ELF::PT_LOAD && address >= segment.p_vaddr && size <= segment.p_filesz &&
        address - segment.p_vaddr <= segment.p_filesz - size)
      return segment.p_offset + (address - segment.p_vaddr);
  return std::nullopt;
}

Result<void> swap_in(std::string& bytes, const std::string& name) {
  const auto wrong = [&](llvm::Error error) {
    return fail(Code::kCorrupt, fmt::format("{}: {}", name, llvm::toString(std::move(error))));
  };
  // What is read of the headers stays valid while bytes change elsewhere.
  auto elf = Elf::create(bytes);
  if (!elf) return wrong(elf.takeError());
  auto segments = elf->program_headers();
  if (!segments) return wrong(segments.takeError());
  auto sections = elf->sections();
  if (!sections) return wrong(sections.takeError());
  for (const auto& section : *sections) {
    auto called = elf->getSectionName(section);
    if (!called) return wrong(called.takeError());
    if (*called != kSwapSection) continue;
    const std::string list = bytes.substr(section.sh_offset, section.sh_size);
    for (size_t at = 0; at + 16 <= list.size(); at += 16) {
      const uint64_t address = llvm::support::endian::read64be(list.data() + at);
      const uint64_t size = llvm::support::endian::read64be(list.data() + at + 8);
      const auto offset = offset_of(*segments, address, size);
      if (!offset || *offset + size > bytes.size())
        return fail(Code::kFailed, fmt::format("{}: there is no word at {:#x} to turn over", name, address));
      std::reverse(bytes.begin() + static_cast<ptrdiff_t>(*offset),
                   bytes.begin() + static_cast<ptrdiff_t>(*offset + size));
    }
  }
  return {};
}

}  // namespace

Result<void> swap_words(const fs::path& executable) {
  TRY(auto bytes, io::read_file(executable.string(), kLargestFile));
  TRY_DO(swap_in(bytes, executable.filename().string()));
  return io::replace_file(executable.string(), bytes, 0777);
}

}  // namespace godwit::portable
