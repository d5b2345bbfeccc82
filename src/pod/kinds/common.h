// What several kinds need: fields of fdinfo, opening again what a descriptor refers to, hostile state.
#pragma once

#include <fcntl.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "base/text.h"
#include "godwit/pod.pb.h"
#include "pod/kinds.h"

namespace godwit::pod::kinds {

/// Magic numbers of statfs(2) that linux/magic.h of Debian 12 partly lacks.
inline constexpr uint64_t kProcMagic = 0x9fa0, kSysfsMagic = 0x62656572, kCgroup2Magic = 0x63677270,
                          kCgroupMagic = 0x27e0eb, kDebugfsMagic = 0x64626720, kTracefsMagic = 0x74726163,
                          kSecurityfsMagic = 0x73636673, kNsfsMagic = 0x6e736673, kHugetlbfsMagic = 0x958458f6,
                          kSecretmemMagic = 0x5345434d, kMqueueMagic = 0x19800202, kBpffsMagic = 0xcafe4a11,
                          kPidfsMagic = 0x50494446;

/// O_TMPFILE without its O_DIRECTORY part, which is how F_GETFL shows it beside O_DIRECTORY.
inline constexpr unsigned kTmpfileBit = O_TMPFILE & ~O_DIRECTORY;

/// The value of a line "KEY:  value" of fdinfo, without blanks around it; nullopt when there is no such line.
std::optional<std::string_view> fdinfo_field(std::string_view fdinfo, std::string_view key);
/// The same as a number; an absent or odd one is Code::kFailed (an older kernel).
Result<uint64_t> fdinfo_number(std::string_view fdinfo, std::string_view key, int base);
Result<uint64_t> parse_number(std::string_view text, int base);

/// A new description of what `fd` refers to, through /proc/self/fd. Without O_NOFOLLOW, which would refuse that link: it
/// counted when the file was opened the first time, and shows in F_GETFL only.
Result<Fd> reopen(const Fd& proc_dir, const Fd& fd, unsigned flags);

/// Flags of F_GETFL as open(2) may get them again: without what creates, empties or makes a nameless file.
unsigned open_flags(const pb::OpenFile& file);

/// The description that holds what all descriptions of one inode share: the one with the smallest id.
FileId first_of_inode(DumpContext& ctx, const OpenFileView& view);
/// The description that file_at() gives for this view; it is always known.
Result<FileId> own_id(DumpContext& ctx, const OpenFileView& view);

/// `link` without " (deleted)".
std::string without_deleted(std::string_view link);
bool marked_deleted(std::string_view link);

/// Gives a new inode its owner and mode. An ordinary user may not give files away: for an inode that has no name the
/// owner hardly matters, so that is no error.
Result<void> set_owner(const Fd& fd, uint32_t uid, uint32_t gid, uint32_t mode);

/// Copies the first `size` bytes of `content` into `target`, leaving holes where `content` has none. More than `content`
/// holds is Code::kCorrupt.
Result<void> fill(const Fd& content, const Fd& target, uint64_t size);

template <typename Message>
Result<Message> parse_state(const pb::OpenFile& file) {
  Message state;
  if (!state.ParseFromString(file.state())) {
    return fail(Code::kCorrupt, "file " + std::to_string(file.id()) + ": its state isn't that of a " + file.kind());
  }
  return state;
}

}  // namespace godwit::pod::kinds
