// Addresses in the initial data of a big-endian target.
//
// Neutral data is little-endian (pass/adapt.cc), but what the linker writes into it, the addresses of other data and of thunks, it
// writes in the target's order. The adapter has left a list of these places in a section; when the executable is there,
// the bytes of each are turned over in the file. At run time nothing is left to do, and constants stay constant.
#include <elf.h>
#include <endian.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <string_view>

#include "base/base.h"
#include "portable/compiler/link.h"
#include "portable/pass/adapt.h"

namespace godwit::portable {
namespace {

/// As it stands among the names of sections, its zero included.
constexpr std::string_view kName(kSwapSection, std::char_traits<char>::length(kSwapSection) + 1);
constexpr size_t kLargestFile = size_t{2} << 30;

/// The executable as ld.lld has just written it. What lies outside of the file reads as zero.
class Executable {
 public:
  explicit Executable(std::string_view bytes) : bytes_(bytes), head_(at<Elf64_Ehdr>(0)) {}

  /// The list's bytes; empty when there is none.
  [[nodiscard]] std::string list() const {
    const auto names = section(be16toh(head_.e_shstrndx));
    for (unsigned i = 0; i < be16toh(head_.e_shnum); ++i) {
      const auto header = section(i);
      const size_t name = be64toh(names.sh_offset) + be32toh(header.sh_name);
      const size_t start = be64toh(header.sh_offset);
      if (name < bytes_.size() && start < bytes_.size() && bytes_.substr(name).starts_with(kName))
        return std::string(bytes_.substr(start, be64toh(header.sh_size)));
    }
    return {};
  }

  /// Where in the file a place in memory lies; nothing for what has no bytes there.
  [[nodiscard]] std::optional<size_t> offset_of(uint64_t address, uint64_t size) const {
    for (unsigned i = 0; i < be16toh(head_.e_phnum); ++i) {
      const auto segment = at<Elf64_Phdr>(be64toh(head_.e_phoff) + i * sizeof(Elf64_Phdr));
      const uint64_t start = be64toh(segment.p_vaddr), bytes = be64toh(segment.p_filesz);
      if (be32toh(segment.p_type) != PT_LOAD || address < start || size > bytes || address - start > bytes - size)
        continue;
      const size_t offset = be64toh(segment.p_offset) + (address - start);
      return offset <= bytes_.size() && size <= bytes_.size() - offset ? std::optional(offset) : std::nullopt;
    }
    return std::nullopt;
  }

 private:
  template <class T>
  [[nodiscard]] T at(size_t offset) const {
    T value{};
    if (offset < bytes_.size()) bytes_.copy(reinterpret_cast<char*>(&value), sizeof value, offset);
    return value;
  }
  [[nodiscard]] Elf64_Shdr section(unsigned index) const {
    return at<Elf64_Shdr>(be64toh(head_.e_shoff) + index * sizeof(Elf64_Shdr));
  }

  std::string_view bytes_;
  Elf64_Ehdr head_;
};

/// A row of the list, as pass/adapt_globals.cc makes it.
struct Word {
  uint64_t address, size;
};

}  // namespace

Result<void> swap_words(const fs::path& executable) {
  TRY(auto bytes, io::read_file(executable.string(), kLargestFile));
  const Executable file(bytes);
  const std::string list = file.list();
  for (size_t at = 0; at + sizeof(Word) <= list.size(); at += sizeof(Word)) {
    Word word{};
    std::memcpy(&word, list.data() + at, sizeof word);
    const uint64_t size = be64toh(word.size);
    const auto offset = file.offset_of(be64toh(word.address), size);
    if (!offset)
      return fail(Code::kFailed, fmt::format("{}: there is no word at {:#x} to turn over",
                                             executable.filename().string(), be64toh(word.address)));
    const auto first = bytes.begin() + static_cast<ptrdiff_t>(*offset);
    std::reverse(first, first + static_cast<ptrdiff_t>(size));
  }
  return io::replace_file(executable.string(), bytes, 0777);
}

}  // namespace godwit::portable
