// Paths that can't lead out: every name that came from a file or a peer is opened through here.
//
// Two ways of resolving, both by openat2(2) (Linux 5.6):
//   * Beneath: no symbolic link is followed, no `..`, no absolute path, no magic link: for trees that travel;
//   * InRoot: symbolic links are followed as if `root` were "/": for looking up a path on this host.
// Paths may be longer than PATH_MAX: they are walked in stages.
#pragma once

#include <sys/stat.h>

#include <string>
#include <string_view>

#include "base/fd.h"
#include "base/result.h"

namespace godwit::files {

/// A tree's paths may be longer than PATH_MAX (4096), because programs make such trees by chdir and mkdir. This bounds
/// what a hostile peer can make us allocate and walk.
inline constexpr size_t kMaxPath = 64 << 10;
inline constexpr size_t kMaxName = 255;  ///< NAME_MAX of every Linux file system

/// A relative path fit for a tree: components of 1 to 255 bytes, none "." or "..", no NUL, no slash at an end.
/// The empty path is the tree's root. Others are Code::kCorrupt.
Result<void> check_relative(std::string_view path);
/// The same for an absolute path ("/" is fine).
Result<void> check_absolute(std::string_view path);

/// Opens `path` (which passed check_relative, or "" for root itself) below `root`.
/// ELOOP or EXDEV in the error: somebody put a symbolic link or a mount trick in the way.
Result<Fd> open_beneath(const Fd& root, std::string_view path, int flags, mode_t mode = 0);
/// The directory that holds `path`, and the last component in `name`. `path` isn't empty.
Result<Fd> open_parent_beneath(const Fd& root, std::string_view path, std::string& name);
/// Opens an absolute path as seen with `root` as the root directory; links inside are followed, magic links are not.
Result<Fd> open_in_root(const Fd& root, const std::string& path, int flags);
/// lstat below root.
Result<struct stat> stat_beneath(const Fd& root, std::string_view path);

/// "a/b/c" → "a/b"; "a" → "". And the last component.
std::string_view parent_of(std::string_view path);
std::string_view name_of(std::string_view path);
/// "a" + "b" → "a/b"; "" + "b" → "b".
std::string join(std::string_view parent, std::string_view name);
// Some calls take no O_PATH descriptor but through /proc/self/fd. A keeper lives in its unit's mount namespace, where
// /proc is that of the unit's PID namespace and has no `self` for it; so /proc is held open from before it went there.

/// Opens and holds this process's /proc. A keeper calls it before it enters its unit's mount namespace; else the first
/// function below that needs it does.
void hold_proc();
/// The same object, opened for real (from O_PATH, or with other flags). Not for symbolic links.
Result<Fd> reopen(const Fd& object, int flags);
/// The object's path as the kernel knows it.
Result<std::string> real_path(const Fd& object);
/// chmod of an O_PATH descriptor's object.
Result<void> change_mode(const Fd& object, mode_t mode);
/// Removes `name` in a directory with all in it; a missing one is no error. Follows no link and leaves mounts alone.
Result<void> remove_beneath(const Fd& dir, const std::string& name);

}  // namespace godwit::files
