#include "files/attributes.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "base/sys.h"
#include "files/beneath.h"

namespace godwit::files {
namespace {

constexpr std::string_view kTravelling[] = {"security.capability", "system.posix_acl_access",
                                            "system.posix_acl_default", "trusted.overlay.opaque",
                                            "user.overlay.opaque"};

// Extended attributes need a descriptor that is open for real. Symbolic links can't have those that travel; and opening a
// FIFO could be noticed by the program at its other end.
bool can_have_attributes(mode_t mode) { return S_ISREG(mode) || S_ISDIR(mode); }

constexpr int kOpen = O_RDONLY | O_NONBLOCK | O_NOCTTY;

Result<std::vector<std::string>> attribute_names(const Fd& object) {
  std::string buffer(4096, '\0');
  for (;;) {
    const ssize_t n = ::flistxattr(object.get(), buffer.data(), buffer.size());
    if (n >= 0) {
      buffer.resize(static_cast<size_t>(n));
      break;
    }
    if (errno == ENOTSUP || errno == ENOENT) return std::vector<std::string>{};
    if (errno != ERANGE || buffer.size() >= (1u << 20)) return fail_errno(errno, "list of extended attributes");
    buffer.resize(buffer.size() * 2);
  }
  std::vector<std::string> names;
  for (size_t at = 0; at < buffer.size();) {
    std::string name(buffer.c_str() + at);
    at += name.size() + 1;
    if (attribute_travels(name)) names.push_back(std::move(name));
  }
  std::ranges::sort(names);
  return names;
}

Result<std::vector<Attribute>> attributes_of(const Fd& object) {
  TRY(auto names, attribute_names(object));
  std::vector<Attribute> attributes;
  for (std::string& name : names) {
    std::string value(kMaxAttributeValue, '\0');
    const ssize_t n = ::fgetxattr(object.get(), name.c_str(), value.data(), value.size());
    if (n < 0 && (errno == ENODATA || errno == ENOTSUP)) continue;  // removed meanwhile
    if (n < 0) return fail_errno(errno, "reading the extended attribute " + name);
    value.resize(static_cast<size_t>(n));
    if (attributes.size() == kMaxAttributes) return fail(Code::kRefused, "more than 256 extended attributes");
    attributes.push_back({std::move(name), std::move(value)});
  }
  return attributes;
}

Result<void> set_attributes(const Fd& object, const std::vector<Attribute>& wanted) {
  auto open = reopen(object, kOpen);
  if (!open && open.error().errnum == EACCES && wanted.empty()) return {};  // an owner who may not read his own file
  if (!open) return std::unexpected(std::move(open).error());
  TRY(auto present, attributes_of(*open));
  for (const Attribute& old : present) {
    if (std::ranges::find(wanted, old.name, &Attribute::name) != wanted.end()) continue;
    if (::fremovexattr(open->get(), old.name.c_str()) < 0 && errno != ENODATA)
      return fail_errno(errno, "removing the extended attribute " + old.name);
  }
  for (const Attribute& a : wanted) {
    if (std::ranges::find(present, a) != present.end()) continue;
    if (::fsetxattr(open->get(), a.name.c_str(), a.value.data(), a.value.size(), 0) < 0)
      return fail_errno(errno, "setting the extended attribute " + a.name);
  }
  return {};
}

}  // namespace

bool attribute_travels(std::string_view name) {
  if (std::ranges::find(kTravelling, name) != std::end(kTravelling)) return true;
  return name.starts_with("user.") && !name.starts_with("user.overlay.");
}

Result<std::vector<Attribute>> read_attributes(const Fd& object) {
  TRY(auto st, sys::stat(object));
  if (!can_have_attributes(st.st_mode)) return std::vector<Attribute>{};
  TRY(auto open, reopen(object, kOpen));
  return attributes_of(open);
}

Result<void> set_metadata(const Fd& object, const Recipe& recipe, const MetadataOptions& options) {
  TRY(auto st, sys::stat(object));
  bool chowned = false;
  if (st.st_uid != recipe.uid || st.st_gid != recipe.gid) {
    if (::fchownat(object.get(), "", recipe.uid, recipe.gid, AT_EMPTY_PATH) == 0) {
      chowned = true;
    } else if (options.keep_owner || (errno != EPERM && errno != EINVAL)) {
      return fail_errno(errno, "giving '" + recipe.path + "' to uid " + std::to_string(recipe.uid) + " gid " +
                                   std::to_string(recipe.gid));
    }
  }
  if (recipe.kind != Kind::kSymlink && recipe.kind != Kind::kWhiteout) {
    if (can_have_attributes(st.st_mode)) TRY_IN(recipe.path, set_attributes(object, recipe.attributes));
    if (chowned || (st.st_mode & 07777u) != recipe.mode || !recipe.attributes.empty())
      TRY_IN(recipe.path, change_mode(object, recipe.mode));
  }
  if (Stamp::of(st).mtime_ns == recipe.mtime_ns) return {};
  constexpr int64_t kSecond = 1'000'000'000;
  int64_t seconds = recipe.mtime_ns / kSecond;
  int64_t nanos = recipe.mtime_ns % kSecond;
  if (nanos < 0) {
    nanos += kSecond;
    --seconds;
  }
  const std::array<timespec, 2> times = {timespec{0, UTIME_OMIT}, timespec{seconds, nanos}};
  // With AT_EMPTY_PATH an O_PATH descriptor does, also of a symbolic link (Linux 5.8 and glibc 2.34 let it through).
  if (::utimensat(object.get(), "", times.data(), AT_EMPTY_PATH) < 0)
    return fail_errno(errno, "setting the time of '" + recipe.path + "'");
  return {};
}

}  // namespace godwit::files
