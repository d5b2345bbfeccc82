// Names of UNIX sockets, and doing things under another identity.
//
// A path name has two sides: the bytes that getsockname(2) and clients' getpeername(2) show, and the file that
// connect(2) looks up. bind(2) makes both at once, once, and listen(2) wants it done, long before the commit, when the
// source may still own that very file. So the socket is bound in a directory of its own beside the final place, by a
// thread whose root is that directory: the bytes come out right, the file lies aside, and after the commit one rename(2)
// puts it in its place. The kernel finds the socket by the file's inode, which a rename keeps (net/unix/af_unix.c,
// unix_find_bsd). Whatever happens before, removing the directory takes every trace away.
#pragma once

#include <sys/socket.h>
#include <sys/un.h>

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "base/fd.h"
#include "base/result.h"

namespace godwit::pod {

struct UnixAddress {
  sockaddr_un address{};
  socklen_t length = 0;
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&address); }
};
/// From the bytes of sun_path; at most 108 of them.
Result<UnixAddress> unix_address(std::string_view name);
/// The bytes of sun_path of getsockname/getpeername (`peer`); empty when there is no name.
Result<std::string> unix_name(const Fd& socket, bool peer);

/// Runs `action` in a thread with this effective identity, where it differs from ours: what connect(2), listen(2) and
/// socketpair(2) record for SO_PEERCRED.
Result<void> with_identity(uint32_t uid, uint32_t gid, const std::function<Result<void>()>& action);

/// A path name that was bound aside; its destructor removes what is left.
class StagedName {
 public:
  StagedName() = default;
  StagedName(StagedName&& other) noexcept = default;
  StagedName& operator=(StagedName&& other) noexcept = default;
  StagedName(const StagedName&) = delete;
  StagedName& operator=(const StagedName&) = delete;
  ~StagedName();

  /// Binds `socket` to `name` with the file in a new directory below `beside`.
  static Result<StagedName> bind(const Fd& socket, const std::string& name, const std::string& beside);
  /// The inode has this owner and mode from now on.
  Result<void> set_attributes(uint32_t uid, uint32_t gid, uint32_t mode) const;
  /// Runs `action` where this address leads to the socket bound here, whose own name is what the other side then sees.
  Result<void> reach(const std::function<Result<void>(const UnixAddress&)>& action) const;
  /// Puts the file at `path`, replacing what is there.
  Result<void> publish(const std::string& path);

 private:
  struct Owned {
    std::string directory;  ///< empty: nothing to remove
    Owned() = default;
    Owned(Owned&& o) noexcept : directory(std::move(o.directory)) { o.directory.clear(); }
    Owned& operator=(Owned&& o) noexcept {
      std::swap(directory, o.directory);
      return *this;
    }
  };
  Owned owned_;
  std::string file_;  ///< where the file lies
};

}  // namespace godwit::pod
