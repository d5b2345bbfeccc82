// The file that holds a program for several architectures.
//
// An ELF file is for one machine, and only the kernel's own "#!" lets one file start anywhere without being installed
// (binfmt_misc needs root). So the file begins with a few lines of shell; the executables follow, each at a multiple of 4096.
// The first start on a machine puts the right one into a cache under its digest; later ones find it there. The script tells the
// program its own name in GODWIT_ARGV0, and whoever saves it where it came from in GODWIT_PROGRAM. GODWIT_ARCH overrides what
// `uname -m` says: on a node whose other architecture is emulated, the shell is the host's.
//
// In a checkpoint the image comes last. The script leads it to the runtime as a descriptor that stands at its first byte: dd
// reads whole blocks up to there, from the same open file.
//
// Behind the script's last command the block has lines that no shell reads: `#part NAME BLOCK SIZE SHA256` for each part and
// `#image BLOCK`. They are the index.
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>

#include "base/base.h"
#include "portable/portable.h"

namespace godwit::portable {
namespace {

constexpr std::string_view kFirstLine = "#!/bin/sh\n# A portable program, made by godwit cc";
constexpr uint64_t kPartMax = uint64_t{1} << 32;
constexpr size_t kPartsMax = 8;  // with names of 16 characters all of them fit into the first block

/// Words of an index line; numbers must be all digits.
bool read_number(std::string_view text, uint64_t& number) {
  const auto [end, trouble] = std::from_chars(text.data(), text.data() + text.size(), number);
  return trouble == std::errc() && end == text.data() + text.size() && !text.empty();
}

std::vector<std::string_view> words_of(std::string_view line) {
  std::vector<std::string_view> words;
  while (!line.empty()) {
    const size_t space = std::min(line.find(' '), line.size());
    words.push_back(line.substr(0, space));
    line.remove_prefix(std::min(space + 1, line.size()));
  }
  return words;
}

/// They become words of a shell script again when a checkpoint is written.
bool is_architecture(std::string_view word) {
  return !word.empty() && word.size() <= 16 &&
         std::ranges::all_of(word, [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_'; });
}
bool is_digest(std::string_view word) {
  return word.size() == 64 &&
         std::ranges::all_of(word, [](char c) { return (c >= 'a' && c <= 'f') || (c >= '0' && c <= '9'); });
}

bool read_part(const std::vector<std::string_view>& words, Part& part) {
  if (words.size() != 5 || !is_architecture(words[1]) || !is_digest(words[4])) return false;
  part.architecture = words[1];
  part.digest = words[4];
  return read_number(words[2], part.block) && read_number(words[3], part.size) && part.size > 0 &&
         part.size <= kPartMax && part.block > 0 && part.block <= kPartMax;
}

}  // namespace

uint64_t Package::blocks() const {
  uint64_t end = 1;
  for (const Part& p : parts) end = std::max(end, p.block + (p.size + kBlock - 1) / kBlock);
  return end;
}

std::string starting_script(const Package& package) {
  std::string cases, names, index;
  for (const Part& p : package.parts) {
    cases += fmt::format("  {}) o={} n={} h={} ;;\n", p.architecture, p.block, p.size, p.digest);
    names += fmt::format("{}{}", names.empty() ? "" : ", ", p.architecture);
    index += fmt::format("#part {} {} {} {}\n", p.architecture, p.block, p.size, p.digest);
  }
  std::string image;
  if (package.image_block != 0) {
    image =
        fmt::format("exec 3< \"$0\" && dd bs={} count={} <&3 >/dev/null 2>&1 || exit 126\nexport GODWIT_RESTORE_FD=3\n",
                    kBlock, package.image_block);
    index += fmt::format("#image {}\n", package.image_block);
  }
  std::string text = fmt::format(R"SH({}: this script, then one executable for each of its architectures.
m=${{GODWIT_ARCH:-$(uname -m)}}
case $m in armv[78]*) m=armhf ;; esac
case $m in
{}  *) echo "$0: made for {}, this is a machine with $m" >&2; exit 126 ;;
esac
d=${{GODWIT_CACHE:-${{XDG_CACHE_HOME:-${{HOME:-/nonexistent}}/.cache}}/godwit/programs}}
f=$d/$h
if [ ! -x "$f" ]; then
  if ! mkdir -p "$d" 2>/dev/null || [ ! -w "$d" ]; then
    d=${{TMPDIR:-/tmp}}/godwit-programs-$(id -u)
    f=$d/$h
    mkdir -m 700 "$d" 2>/dev/null
    # Nobody else's folder: what lies there is run.
    if [ ! -O "$d" ] || [ -L "$d" ]; then echo "$0: $d isn't yours; set GODWIT_CACHE to a folder" >&2; exit 126; fi
  fi
  t=$(mktemp "$d/.new.XXXXXX") && tail -c +$((o * {} + 1)) "$0" | head -c "$n" > "$t" && [ "$(wc -c < "$t")" = "$n" ] &&
    chmod 755 "$t" && mv -f "$t" "$f" || {{ echo "$0: can't put the program for $m into $d" >&2; exit 126; }}
fi
{}case $0 in /*) p=$0 ;; *) p=$PWD/$0 ;; esac
GODWIT_ARGV0=$0 GODWIT_PROGRAM=$p exec $GODWIT_EMULATOR "$f" "$@"
exit 126
{})SH",
                                 kFirstLine, cases, names, kBlock, image, index);
  GODWIT_CHECK(text.size() <= kBlock);
  text.resize(kBlock, '\n');
  return text;
}

Result<Package> read_package(const Fd& file) {
  std::string block(kBlock, '\0');
  const ssize_t got = ::pread(file.get(), block.data(), block.size(), 0);
  if (got < 0) return fail_errno(errno, "reading the file's first block");
  if (static_cast<uint64_t>(got) != kBlock || !block.starts_with(kFirstLine))
    return fail(Code::kCorrupt, "not a program that godwit cc made, nor a checkpoint of one");
  TRY(const auto state, sys::stat(file));
  Package package;
  const std::string_view text = block;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    const auto words = words_of(text.substr(at, end - at));
    at = end + 1;
    if (words.empty()) continue;
    Part part;
    if (words[0] == "#part") {
      if (!read_part(words, part) || package.parts.size() >= kPartsMax ||
          part.block * kBlock + part.size > static_cast<uint64_t>(state.st_size))
        return fail(Code::kCorrupt, "its index names a part that can't be in it");
      package.parts.push_back(std::move(part));
    } else if (words[0] == "#image") {
      if (words.size() != 2 || !read_number(words[1], package.image_block) ||
          package.image_block > static_cast<uint64_t>(state.st_size) / kBlock)
        return fail(Code::kCorrupt, "its index names an image that can't be in it");
    }
  }
  if (package.parts.empty()) return fail(Code::kCorrupt, "its index has no parts");
  if (package.image_block != 0 && package.image_block < package.blocks())
    return fail(Code::kCorrupt, "its image would lie in a part");
  return package;
}

}  // namespace godwit::portable
