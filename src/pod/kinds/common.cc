#include "pod/kinds/common.h"

#include <sys/sendfile.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>

#include "base/sys.h"

namespace godwit::pod::kinds {

std::optional<std::string_view> fdinfo_field(std::string_view fdinfo, std::string_view key) {
  for (const std::string_view line : split(fdinfo, '\n')) {
    if (!line.starts_with(key) || line.size() <= key.size() || line[key.size()] != ':') continue;
    std::string_view value = line.substr(key.size() + 1);
    const auto from = value.find_first_not_of(" \t");
    if (from == value.npos) return std::string_view{};
    value.remove_prefix(from);
    return value.substr(0, value.find_last_not_of(" \t") + 1);
  }
  return std::nullopt;
}

Result<uint64_t> parse_number(std::string_view text, int base) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (error != std::errc() || end != text.data() + text.size()) {
    return fail(Code::kFailed, "\"" + std::string(text) + "\" is not a number");
  }
  return value;
}

Result<uint64_t> fdinfo_number(std::string_view fdinfo, std::string_view key, int base) {
  const auto text = fdinfo_field(fdinfo, key);
  if (!text) return fail(Code::kFailed, "this kernel's fdinfo has no line \"" + std::string(key) + "\"");
  return parse_number(*text, base);
}

Result<Fd> reopen(const Fd& proc_dir, const Fd& fd, unsigned flags) {
  const int without_nofollow = static_cast<int>(flags) & ~O_NOFOLLOW;
  return sys::open_at(proc_dir, "self/fd/" + std::to_string(fd.get()), without_nofollow | O_NOCTTY);
}

unsigned open_flags(const pb::OpenFile& file) {
  unsigned flags = file.flags() & ~static_cast<unsigned>(O_CREAT | O_EXCL | O_TRUNC | O_NOCTTY);
  if ((flags & kTmpfileBit) != 0) flags &= ~static_cast<unsigned>(O_TMPFILE);
  return flags;
}

FileId first_of_inode(DumpContext& ctx, const OpenFileView& view) {
  const auto ids = ctx.files_with_inode(view.st.st_dev, view.st.st_ino);
  return ids.empty() ? 0 : *std::ranges::min_element(ids);
}

Result<FileId> own_id(DumpContext& ctx, const OpenFileView& view) { return ctx.file_at(view.host_pid, view.fd); }

namespace {
constexpr std::string_view kDeleted = " (deleted)";
}
bool marked_deleted(std::string_view link) { return link.ends_with(kDeleted); }
std::string without_deleted(std::string_view link) {
  if (marked_deleted(link)) link.remove_suffix(kDeleted.size());
  return std::string(link);
}

Result<void> set_owner(const Fd& fd, uint32_t uid, uint32_t gid, uint32_t mode) {
  TRY(const auto st, sys::stat(fd));
  if ((st.st_uid != uid || st.st_gid != gid) && ::fchown(fd.get(), uid, gid) != 0 && errno != EPERM &&
      errno != EINVAL) {
    return fail_errno(errno, "fchown to " + std::to_string(uid) + ":" + std::to_string(gid));
  }
  if ((st.st_mode & 07777) != (mode & 07777) && ::fchmod(fd.get(), mode & 07777) != 0)
    return fail_errno(errno, "fchmod");
  return {};
}

Result<void> fill(const Fd& content, const Fd& target, uint64_t size) {
  TRY(const auto st, sys::stat(content));
  if (size > static_cast<uint64_t>(st.st_size)) {
    return fail(Code::kCorrupt, "a file of " + std::to_string(size) + " bytes has only " + std::to_string(st.st_size) +
                                    " in the image");
  }
  const auto end = static_cast<off_t>(size);
  for (off_t at = 0; at < end;) {
    at = ::lseek(content.get(), at, SEEK_DATA);
    if (at < 0 && errno != ENXIO) return fail_errno(errno, "looking for data");
    if (at < 0 || at >= end) break;
    off_t stop = ::lseek(content.get(), at, SEEK_HOLE);
    if (stop < 0) return fail_errno(errno, "looking for holes");
    stop = std::min(stop, end);
    if (::lseek(target.get(), at, SEEK_SET) < 0) return fail_errno(errno, "lseek");
    while (at < stop) {
      const ssize_t n =
          ::sendfile(target.get(), content.get(), &at, static_cast<size_t>(std::min<off_t>(stop - at, 1 << 30)));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return fail_errno(errno, "copying the content of a file");
      if (n == 0) return fail(Code::kFailed, "copying the content of a file: its end came early");
    }
  }
  return {};
}

}  // namespace godwit::pod::kinds
