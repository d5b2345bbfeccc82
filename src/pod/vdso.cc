#include "pod/vdso.h"

#include <elf.h>
#include <sys/auxv.h>

#include <cstring>

#include "image/image.h"

namespace godwit::pod {
namespace {

template <typename T>
Result<T> read_at(std::span<const std::byte> image, uint64_t offset) {
  if (offset > image.size() || image.size() - offset < sizeof(T))
    return fail(Code::kCorrupt, "a vDSO image that ends early");
  T value;
  std::memcpy(&value, image.data() + offset, sizeof value);
  return value;
}

// jmp *0(%rip); .quad target
constexpr unsigned char kJump[] = {0xff, 0x25, 0, 0, 0, 0};
constexpr size_t kJumpSize = sizeof kJump + sizeof(uint64_t);

struct Dynamic {
  uint64_t symbols = 0, strings = 0, strings_size = 0, hash = 0;
};

Result<Dynamic> find_dynamic(std::span<const std::byte> image, const Elf64_Ehdr& header) {
  for (unsigned i = 0; i < header.e_phnum; i++) {
    TRY(const auto segment, read_at<Elf64_Phdr>(image, header.e_phoff + i * sizeof(Elf64_Phdr)));
    if (segment.p_type != PT_DYNAMIC) continue;
    Dynamic found;
    for (uint64_t at = segment.p_offset;; at += sizeof(Elf64_Dyn)) {
      TRY(const auto entry, read_at<Elf64_Dyn>(image, at));
      if (entry.d_tag == DT_NULL) return found;
      if (entry.d_tag == DT_SYMTAB) found.symbols = entry.d_un.d_ptr;
      if (entry.d_tag == DT_STRTAB) found.strings = entry.d_un.d_ptr;
      if (entry.d_tag == DT_STRSZ) found.strings_size = entry.d_un.d_val;
      if (entry.d_tag == DT_HASH) found.hash = entry.d_un.d_ptr;
    }
  }
  return fail(Code::kCorrupt, "a vDSO without a dynamic section");
}

// The number of symbols. Without DT_HASH (kernels from 6.9 on may have only DT_GNU_HASH) the table ends where the strings
// begin, which is how every linker lays them out.
Result<uint64_t> symbol_count(std::span<const std::byte> image, const Dynamic& dynamic) {
  if (dynamic.hash != 0) {
    TRY(const auto chains, read_at<uint32_t>(image, dynamic.hash + 4));
    return chains;
  }
  if (dynamic.strings <= dynamic.symbols) return fail(Code::kCorrupt, "a vDSO whose symbols have no end");
  return (dynamic.strings - dynamic.symbols) / sizeof(Elf64_Sym);
}

}  // namespace

Result<std::map<std::string, uint64_t>> vdso_symbols(std::span<const std::byte> image) {
  TRY(const auto header, read_at<Elf64_Ehdr>(image, 0));
  if (std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 || header.e_machine != EM_X86_64)
    return fail(Code::kCorrupt, "not a vDSO image");
  TRY(const auto dynamic, find_dynamic(image, header));
  TRY(const uint64_t count, symbol_count(image, dynamic));
  if (count > image.size() / sizeof(Elf64_Sym)) return fail(Code::kCorrupt, "a vDSO with more symbols than bytes");
  std::map<std::string, uint64_t> found;
  for (uint64_t i = 0; i < count; i++) {
    TRY(const auto symbol, read_at<Elf64_Sym>(image, dynamic.symbols + i * sizeof(Elf64_Sym)));
    if (ELF64_ST_TYPE(symbol.st_info) != STT_FUNC || symbol.st_shndx == SHN_UNDEF) continue;
    if (symbol.st_value >= image.size() || image.size() - symbol.st_value < kJumpSize)
      return fail(Code::kCorrupt, "a vDSO symbol outside of the image");
    std::string name;
    for (uint64_t at = dynamic.strings + symbol.st_name;; at++) {
      TRY(const char c, read_at<char>(image, at));
      if (c == '\0' || name.size() > 100) break;
      name += c;
    }
    found[name] = symbol.st_value;
  }
  return found;
}

const std::vector<std::byte>& own_vdso() {
  // Its length comes from its own headers and not from /proc, which in a unit's mount namespace shows other processes. The
  // kernel maps whole pages up to the end of the file (arch/x86/entry/vdso), and the section headers are its last part.
  static const std::vector<std::byte> image = [] {
    const auto base = ::getauxval(AT_SYSINFO_EHDR);
    if (base == 0) return std::vector<std::byte>();
    Elf64_Ehdr header;
    std::memcpy(&header, reinterpret_cast<const void*>(base), sizeof header);
    constexpr uint64_t kPage = 4096;
    const uint64_t length = header.e_shoff + uint64_t{header.e_shnum} * header.e_shentsize;
    const auto* bytes = reinterpret_cast<const std::byte*>(base);
    return std::vector<std::byte>(bytes, bytes + (length + kPage - 1) / kPage * kPage);
  }();
  return image;
}

const std::string& own_vdso_digest() {
  static const std::string digest = [] {
    if (own_vdso().empty()) return std::string();
    const auto id = image::sha256(own_vdso());
    return std::string(reinterpret_cast<const char*>(id.bytes.data()), id.bytes.size());
  }();
  return digest;
}

Result<std::vector<std::byte>> redirect_vdso(std::span<const std::byte> old_image, uint64_t new_base) {
  TRY(const auto old_symbols, vdso_symbols(old_image));
  TRY(const auto new_symbols, vdso_symbols(own_vdso()));
  std::vector<std::byte> image(old_image.begin(), old_image.end());
  for (const auto& [name, offset] : old_symbols) {
    // Each function has two names, "__vdso_time" and "time"; either will do.
    auto target = new_symbols.find(name);
    if (target == new_symbols.end()) target = new_symbols.find("__vdso_" + name);
    if (target == new_symbols.end()) return fail(Code::kRefused, "this kernel's vDSO has no " + name);
    const uint64_t address = new_base + target->second;
    std::memcpy(image.data() + offset, kJump, sizeof kJump);
    std::memcpy(image.data() + offset + sizeof kJump, &address, sizeof address);
  }
  return image;
}

}  // namespace godwit::pod
