// HashCache: one file an inode, named "<device>-<inode>" in hexadecimal:
//
//     offset  length   what
//          0       8   "GWHC0001"
//          8       8   size of the file
//         16       8   mtime, nanoseconds
//         24       8   ctime, nanoseconds
//         32       8   number n of pieces
//         40    40 n   pieces: index (8), chunk name (32)
//    40+40 n      32   SHA-256 of all before
//
// Little-endian. It is written whole and renamed into place; readers that find anything else forget it.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstring>

#include "base/io.h"
#include "base/sys.h"
#include "files/hash.h"

namespace godwit::files {
namespace {

constexpr std::string_view kMagic = "GWHC0001";
constexpr size_t kHead = 40;
constexpr size_t kPiece = 40;
constexpr size_t kSum = 32;
constexpr uint64_t kMaxKept = 1u << 20;  // pieces: 1 TiB of data, a 40 MiB entry; larger files are hashed each time

std::string entry_name(const Stamp& stamp) {
  char text[40];
  std::snprintf(text, sizeof text, "%llx-%llx", static_cast<unsigned long long>(stamp.device),
                static_cast<unsigned long long>(stamp.inode));
  return text;
}

template <typename T>
void put(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}
uint64_t get(std::string_view in, size_t at) {
  uint64_t value;
  std::memcpy(&value, in.data() + at, sizeof value);
  return value;
}

std::string head_of(const Stamp& stamp, uint64_t pieces) {
  std::string out(kMagic);
  put(out, stamp.size);
  put(out, stamp.mtime_ns);
  put(out, stamp.ctime_ns);
  put(out, pieces);
  return out;
}

}  // namespace

Result<HashCache> HashCache::open(const std::string& directory) {
  TRY_DO(sys::make_dirs(directory, 0700));
  TRY(auto dir, sys::open(directory, O_RDONLY | O_DIRECTORY));
  return HashCache(directory, std::move(dir));
}

bool HashCache::find(const Stamp& stamp, Content& content) const {
  if (stamp.size < kWorthwhile) return false;
  auto text = io::read_file_at(dir_, entry_name(stamp), kHead + kMaxKept * kPiece + kSum);
  if (!text || text->size() < kHead + kSum) return false;
  const uint64_t count = get(*text, 32);
  if (count > kMaxKept || text->size() != kHead + count * kPiece + kSum) return false;
  if (!text->starts_with(head_of(stamp, count))) return false;
  const std::string_view body(text->data(), text->size() - kSum);
  if (chunk_id_of(std::as_bytes(std::span(body))).raw() != std::string_view(*text).substr(body.size())) return false;
  Content found;
  found.size = stamp.size;
  found.pieces.resize(count);
  for (size_t i = 0; i < count; ++i) {
    const size_t at = kHead + i * kPiece;
    found.pieces[i].index = get(body, at);
    std::memcpy(found.pieces[i].id.bytes.data(), body.data() + at + 8, 32);
  }
  content = std::move(found);
  return true;
}

void HashCache::keep(const Stamp& stamp, const Content& content) {
  if (stamp.size < kWorthwhile || content.pieces.size() > kMaxKept) return;
  std::string text = head_of(stamp, content.pieces.size());
  text.reserve(kHead + content.pieces.size() * kPiece + kSum);
  for (const Content::Piece& piece : content.pieces) {
    put(text, piece.index);
    text += piece.id.raw();
  }
  text += chunk_id_of(std::as_bytes(std::span(text))).raw();
  static std::atomic<unsigned> serial{0};
  const std::string temporary = "tmp." + std::to_string(::getpid()) + "." + std::to_string(serial++);
  // A cache that can't be written (full disk) is only slower: failures are no one's business.
  auto file = sys::open_at(dir_, temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
  if (!file) return;
  const bool good = io::write_full(file->get(), text).has_value() &&
                    ::renameat(dir_.get(), temporary.c_str(), dir_.get(), entry_name(stamp).c_str()) == 0;
  if (!good) ::unlinkat(dir_.get(), temporary.c_str(), 0);
}

Result<void> HashCache::trim(size_t entries) {
  TRY(auto names, sys::list_dir(path_));
  if (names.size() <= entries) return {};
  std::vector<std::pair<int64_t, std::string>> by_age;
  for (std::string& name : names)
    if (auto st = sys::stat_at(dir_, name, AT_SYMLINK_NOFOLLOW))
      by_age.emplace_back(Stamp::of(*st).mtime_ns, std::move(name));
  std::ranges::sort(by_age);
  for (size_t i = 0; i + entries < by_age.size(); ++i) ::unlinkat(dir_.get(), by_age[i].second.c_str(), 0);
  return {};
}

}  // namespace godwit::files
