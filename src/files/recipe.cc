#include "files/recipe.h"

#include <sys/sysmacros.h>

#include "files/attributes.h"
#include "files/beneath.h"

namespace godwit::files {

std::string_view kind_name(Kind kind) {
  switch (kind) {
    case Kind::kRegular: return "regular file";
    case Kind::kDirectory: return "directory";
    case Kind::kSymlink: return "symbolic link";
    case Kind::kFifo: return "FIFO";
    case Kind::kWhiteout: return "whiteout";
  }
  return "unknown";
}

namespace {

Result<void> check_content(const Recipe& r) {
  const auto bad = [&](const std::string& why) {
    return fail(Code::kCorrupt, "the recipe of '" + r.path.substr(0, 200) + "' " + why);
  };
  const Content& c = r.content;
  if (c.size > kMaxFileSize) return bad("claims " + std::to_string(c.size) + " bytes");
  if (c.pieces.size() > kMaxPieces) return bad("has " + std::to_string(c.pieces.size()) + " chunks");
  const uint64_t count = c.size / kChunkSize + (c.size % kChunkSize != 0 ? 1 : 0);
  uint64_t next = 0;
  for (const Content::Piece& piece : c.pieces) {
    if (piece.index < next || piece.index >= count) return bad("has chunks out of order or behind its end");
    next = piece.index + 1;
  }
  return {};
}

Result<void> check_attributes(const Recipe& r) {
  const auto bad = [&](const std::string& why) {
    return fail(Code::kCorrupt, "the recipe of '" + r.path.substr(0, 200) + "' " + why);
  };
  if (r.attributes.size() > kMaxAttributes) return bad("has more than 256 extended attributes");
  const Attribute* last = nullptr;
  for (const Attribute& a : r.attributes) {
    if (a.name.empty() || a.name.size() > kMaxAttributeName || a.name.find('\0') != std::string::npos)
      return bad("has an extended attribute with an impossible name");
    if (a.value.size() > kMaxAttributeValue) return bad("has an extended attribute of more than 64 KiB");
    if (!attribute_travels(a.name)) return bad("has the extended attribute '" + a.name + "', which may not travel");
    if (last != nullptr && !(last->name < a.name)) return bad("has extended attributes out of order");
    last = &a;
  }
  return {};
}

}  // namespace

Result<void> check_recipe(const Recipe& r) {
  const auto bad = [&](const std::string& why) {
    return fail(Code::kCorrupt, "the recipe of '" + r.path.substr(0, 200) + "' " + why);
  };
  if (r.kind < Kind::kRegular || r.kind > Kind::kWhiteout)
    return bad("is of the unknown kind " + std::to_string(static_cast<int>(r.kind)));
  if (r.mode > 07777) return bad("has an impossible mode");
  const bool regular = r.kind == Kind::kRegular && r.hard_link_to.empty();
  if (!regular && (r.content.size != 0 || !r.content.pieces.empty()))
    return bad("has content, but is no file of its own");
  if ((r.kind == Kind::kSymlink) == r.target.empty()) return bad("has a link target where none belongs, or lacks one");
  if (r.target.size() > kMaxTarget || r.target.find('\0') != std::string::npos)
    return bad("has an impossible link target");
  if (!r.hard_link_to.empty() && r.kind != Kind::kRegular) return bad("is a hard link, but no regular file");
  TRY_DO(check_content(r));
  return check_attributes(r);
}

Stamp Stamp::of(const struct stat& st) {
  constexpr int64_t kSecond = 1'000'000'000;
  return {st.st_dev, st.st_ino, static_cast<uint64_t>(st.st_size), st.st_mtim.tv_sec * kSecond + st.st_mtim.tv_nsec,
          st.st_ctim.tv_sec * kSecond + st.st_ctim.tv_nsec};
}

Result<Recipe> recipe_from_stat(std::string path, const struct stat& st) {
  Recipe r;
  r.path = std::move(path);
  r.mode = st.st_mode & 07777u;
  r.uid = st.st_uid;
  r.gid = st.st_gid;
  r.mtime_ns = Stamp::of(st).mtime_ns;
  switch (st.st_mode & S_IFMT) {
    case S_IFREG: r.kind = Kind::kRegular; return r;
    case S_IFDIR: r.kind = Kind::kDirectory; return r;
    case S_IFLNK: r.kind = Kind::kSymlink; return r;
    case S_IFIFO: r.kind = Kind::kFifo; return r;
    case S_IFCHR:
      if (st.st_rdev == makedev(0, 0)) {
        r.kind = Kind::kWhiteout;
        return r;
      }
      return fail(Code::kRefused, r.path + " is a device");
    case S_IFBLK: return fail(Code::kRefused, r.path + " is a device");
    case S_IFSOCK: return fail(Code::kRefused, r.path + " is a socket");
    default: return fail(Code::kRefused, r.path + " is of an unknown kind");
  }
}

}  // namespace godwit::files
