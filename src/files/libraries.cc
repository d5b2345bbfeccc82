#include "files/libraries.h"

#include <elf.h>
#include <fcntl.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <span>
#include <string_view>

#include "base/io.h"
#include "base/sys.h"
#include "files/beneath.h"

namespace godwit::files {
namespace {

constexpr const char* kUsualDirectories[] = {"/lib64", "/usr/lib64", "/lib", "/usr/lib"};
constexpr size_t kMaxHeaders = 128;           // of programs that we met: 13
constexpr uint64_t kMaxTable = 16u << 20;     // a dynamic section, or its strings
constexpr uint64_t kMaxLoaderCache = 8u << 20;

// The parts of one ELF file that are asked for. What doesn't fit in the file isn't there.
class ElfFile {
 public:
  static std::optional<ElfFile> read(const Fd& file) {
    ElfFile elf;
    Elf64_Ehdr head{};
    if (!at(file, 0, std::as_writable_bytes(std::span(&head, 1)))) return std::nullopt;
    if (std::memcmp(head.e_ident, ELFMAG, SELFMAG) != 0 || head.e_ident[EI_CLASS] != ELFCLASS64 ||
        head.e_machine != EM_X86_64 || head.e_phentsize != sizeof(Elf64_Phdr) || head.e_phnum > kMaxHeaders)
      return std::nullopt;
    elf.headers_.resize(head.e_phnum);
    if (!at(file, head.e_phoff, std::as_writable_bytes(std::span(elf.headers_)))) return std::nullopt;
    for (const Elf64_Phdr& header : elf.headers_) {
      if (header.p_type == PT_INTERP) elf.interpreter_ = text(file, header.p_offset, header.p_filesz).c_str();
      if (header.p_type == PT_DYNAMIC) elf.read_dynamic(file, header);
    }
    return elf;
  }
  const std::string& interpreter() const { return interpreter_; }
  const std::vector<std::string>& needed() const { return needed_; }
  const std::string& run_path() const { return run_path_; }

 private:
  static bool at(const Fd& file, uint64_t offset, std::span<std::byte> out) {
    return offset < (1ull << 62) && io::pread_full(file.get(), out, offset).has_value();
  }
  static std::string text(const Fd& file, uint64_t offset, uint64_t size) {
    std::string out(std::min(size, kMaxTable), '\0');
    return at(file, offset, std::as_writable_bytes(std::span(out))) ? out : std::string();
  }

  void read_dynamic(const Fd& file, const Elf64_Phdr& header) {
    std::vector<Elf64_Dyn> entries(std::min(header.p_filesz, kMaxTable) / sizeof(Elf64_Dyn));
    if (!at(file, header.p_offset, std::as_writable_bytes(std::span(entries)))) return;
    const auto value = [&](Elf64_Sxword tag) -> uint64_t {
      const auto found = std::ranges::find(entries, tag, &Elf64_Dyn::d_tag);
      return found == entries.end() ? 0 : found->d_un.d_val;
    };
    const std::string strings = text(file, offset_of(value(DT_STRTAB)), value(DT_STRSZ));
    const auto string_at = [&](uint64_t offset) {
      return offset < strings.size() ? std::string(strings.c_str() + offset) : std::string();
    };
    for (const Elf64_Dyn& entry : entries) {
      if (entry.d_tag == DT_NULL) break;
      if (entry.d_tag == DT_NEEDED) needed_.push_back(string_at(entry.d_un.d_val));
    }
    if (const uint64_t at = std::max(value(DT_RUNPATH), value(DT_RPATH)); at != 0) run_path_ = string_at(at);
  }

  // Where in the file an address lies.
  uint64_t offset_of(uint64_t address) const {
    for (const Elf64_Phdr& header : headers_)
      if (header.p_type == PT_LOAD && address >= header.p_vaddr && address - header.p_vaddr < header.p_filesz)
        return address - header.p_vaddr + header.p_offset;
    return UINT64_MAX;
  }

  std::vector<Elf64_Phdr> headers_;
  std::string interpreter_, run_path_;
  std::vector<std::string> needed_;
};

// /etc/ld.so.cache as ldconfig(8) of glibc 2.32 and later writes it: a header, `count` entries, strings; offsets are from
// the start. (Older ones put an obsolete table in front, and still do with --format=compat: not read.)
std::map<std::string, std::string> read_loader_cache(const Fd& root) {
  struct Head {
    char magic[20];
    uint32_t count, strings_size;
    uint32_t rest[5];
  };
  struct Entry {
    int32_t flags;
    uint32_t name, path, os_version;
    uint64_t hwcap;
  };
  constexpr int32_t kX8664Libc6 = 0x0303;
  std::map<std::string, std::string> paths;
  const auto file = open_in_root(root, "/etc/ld.so.cache", O_RDONLY);
  if (!file) return paths;
  const auto text = io::read_all(file->get(), kMaxLoaderCache);
  Head head{};
  if (!text || text->size() < sizeof head) return paths;
  std::memcpy(&head, text->data(), sizeof head);
  if (std::string_view(head.magic, sizeof head.magic) != "glibc-ld.so.cache1.1") return paths;
  const auto string_at = [&](uint32_t at) {
    return at < text->size() ? std::string(text->c_str() + at) : std::string();
  };
  for (size_t i = 0; i < head.count && sizeof head + (i + 1) * sizeof(Entry) <= text->size(); i++) {
    Entry entry{};
    std::memcpy(&entry, text->data() + sizeof head + i * sizeof entry, sizeof entry);
    // Others than 0 are builds for newer CPUs (glibc-hwcaps), which the plain one can stand in for.
    if (entry.flags == kX8664Libc6 && entry.hwcap == 0) paths.emplace(string_at(entry.name), string_at(entry.path));
  }
  return paths;
}

}  // namespace

bool Libraries::there(const std::string& path) const {
  return check_absolute(path).has_value() && open_in_root(root_, path, O_PATH).has_value();
}

std::string Libraries::find(const std::string& name, const std::string& run_path, const std::string& origin) {
  if (name.find('/') != std::string::npos) return there(name) ? name : "";
  for (size_t at = 0; at < run_path.size();) {
    const size_t end = std::min(run_path.find(':', at), run_path.size());
    std::string dir = run_path.substr(at, end - at);
    at = end + 1;
    for (const std::string_view word : {"${ORIGIN}", "$ORIGIN"})
      if (const size_t found = dir.find(word); found != std::string::npos) dir.replace(found, word.size(), origin);
    const std::string path = std::filesystem::path(dir + "/" + name).lexically_normal();  // $ORIGIN/../lib is common
    if (there(path)) return path;
  }
  if (!cache_) cache_ = read_loader_cache(root_);
  if (const auto cached = cache_->find(name); cached != cache_->end() && there(cached->second)) return cached->second;
  for (const char* dir : kUsualDirectories)
    if (std::string path = std::string(dir) + "/" + name; there(path)) return path;
  return {};
}

std::vector<std::string> Libraries::of(const std::string& path) {
  std::vector<std::string> found;
  const auto file = open_in_root(root_, path, O_RDONLY | O_NONBLOCK);
  if (!file) return found;
  const auto elf = ElfFile::read(*file);
  if (!elf) return found;
  if (there(elf->interpreter())) found.push_back(elf->interpreter());
  for (const std::string& name : elf->needed())
    if (std::string library = find(name, elf->run_path(), std::string(parent_of(path))); !library.empty())
      found.push_back(std::move(library));
  return found;
}

}  // namespace godwit::files
