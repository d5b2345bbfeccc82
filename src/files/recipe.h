// Recipe: how to make one file again: its name, metadata, and content as a list of chunks. A plain value.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "files/chunk.h"

namespace godwit::files {

/// What kind of object a recipe makes. The numbers are on the wire. Sockets and devices have none: they don't travel.
enum class Kind : uint8_t {
  kRegular = 1,
  kDirectory = 2,
  kSymlink = 3,
  kFifo = 4,
  kWhiteout = 5,  ///< only in a view's layer: an overlay's note that the file below was deleted (char device 0:0)
};
std::string_view kind_name(Kind kind);

struct Attribute {
  std::string name;
  std::string value;
  bool operator==(const Attribute&) const = default;
};

struct Recipe {
  std::string path;  ///< in a tree relative to its root ("" is the root itself); in a demand absolute
  Kind kind = Kind::kRegular;
  uint32_t mode = 0;  ///< the low 12 bits only
  uint32_t uid = 0;
  uint32_t gid = 0;
  int64_t mtime_ns = 0;               ///< since 1970
  std::vector<Attribute> attributes;  ///< extended attributes that travel (see attributes.h), sorted by name
  Content content;                    ///< regular files
  std::string target;                 ///< symbolic links: what it says, unresolved
  std::string hard_link_to;           ///< in a tree: the path of an earlier regular file this is another name of
  bool operator==(const Recipe&) const = default;
};

// Bounds on what a peer may claim, each checked before anything is allocated or made from it.
inline constexpr uint64_t kMaxFileSize = INT64_MAX;      ///< loff_t
inline constexpr uint64_t kMaxPieces = 1u << 24;         ///< 16 TiB of data in one file: the largest ext4 file
inline constexpr size_t kMaxTarget = 4095;               ///< PATH_MAX less the NUL
inline constexpr size_t kMaxAttributes = 256;            ///< per file
inline constexpr size_t kMaxAttributeName = 255;         ///< XATTR_NAME_MAX
inline constexpr size_t kMaxAttributeValue = 64u << 10;  ///< XATTR_SIZE_MAX

/// Whether a recipe can be true: everything but its path (trees and demands differ there). Else Code::kCorrupt.
Result<void> check_recipe(const Recipe& recipe);

/// When and what a file was when it was looked at. Equal stamps mean equal content if `settled` (see hash.h).
struct Stamp {
  uint64_t device = 0;
  uint64_t inode = 0;
  uint64_t size = 0;
  int64_t mtime_ns = 0;
  int64_t ctime_ns = 0;
  bool operator==(const Stamp&) const = default;
  static Stamp of(const struct stat& st);
};

/// Which inode a file is: for naming files that must be read again whatever their times say.
struct FileKey {
  uint64_t device = 0;
  uint64_t inode = 0;
  auto operator<=>(const FileKey&) const = default;
};

/// The recipe's metadata from stat (kind, mode, owner, time); content, target and attributes stay empty.
/// Sockets and devices are Code::kRefused.
Result<Recipe> recipe_from_stat(std::string path, const struct stat& st);

}  // namespace godwit::files
