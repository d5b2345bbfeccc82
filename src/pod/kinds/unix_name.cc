#include "pod/kinds/unix_name.h"

#include <sched.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <filesystem>
#include <thread>

#include "base/log.h"
#include "base/sys.h"

namespace godwit::pod {
namespace {

constexpr size_t kNameOffset = offsetof(sockaddr_un, sun_path);

// Runs `action` in a thread whose working directory and, if asked, root are `directory`.
Result<void> inside(const std::string& root, const std::string& directory,
                    const std::function<Result<void>()>& action) {
  Result<void> result;
  std::thread([&] {
    if (::unshare(CLONE_FS) != 0) {
      result = fail_errno(errno, "unshare(CLONE_FS)");
    } else if (!root.empty() && ::chroot(root.c_str()) != 0) {
      result = fail_errno(errno, "chroot to " + root);
    } else if (::chdir(directory.c_str()) != 0) {
      result = fail_errno(errno, "chdir to " + directory);
    } else {
      result = action();
    }
  }).join();
  return result;
}

}  // namespace

Result<UnixAddress> unix_address(std::string_view name) {
  UnixAddress out;
  if (name.empty() || name.size() > sizeof(out.address.sun_path)) {
    return fail(Code::kCorrupt, "a UNIX socket's name of " + std::to_string(name.size()) + " bytes");
  }
  out.address.sun_family = AF_UNIX;
  std::memcpy(out.address.sun_path, name.data(), name.size());
  out.length = static_cast<socklen_t>(kNameOffset + name.size());
  return out;
}

Result<std::string> unix_name(const Fd& socket, bool peer) {
  struct {
    sockaddr_un address;
    char more[8];  // Linux may give one byte more than sun_path holds (unix(7), BUGS)
  } a{};
  socklen_t length = sizeof(a);
  auto* address = reinterpret_cast<sockaddr*>(&a.address);
  const int error =
      peer ? ::getpeername(socket.get(), address, &length) : ::getsockname(socket.get(), address, &length);
  if (error != 0) return fail_errno(errno, peer ? "getpeername" : "getsockname");
  if (length <= kNameOffset) return std::string();
  const std::string_view bytes(a.address.sun_path, std::min<size_t>(length - kNameOffset, sizeof(a.address.sun_path)));
  if (bytes[0] == '\0') return std::string(bytes);
  return std::string(bytes.substr(0, bytes.find('\0')));
}

Result<void> with_identity(uint32_t uid, uint32_t gid, const std::function<Result<void>()>& action) {
  if (uid == ::geteuid() && gid == ::getegid()) return action();
  Result<void> result;
  const int dumpable = ::prctl(PR_GET_DUMPABLE);
  std::thread([&] {
    // The raw calls change this thread only; glibc's would change all. The thread ends with its identity.
    if (::syscall(SYS_setresgid, -1, gid, -1) != 0 || ::syscall(SYS_setresuid, -1, uid, -1) != 0) {
      log::warn("a socket's SO_PEERCRED is not kept: taking on uid={} gid={} isn't allowed", uid, gid);
    }
    result = action();
  }).join();
  ::prctl(PR_SET_DUMPABLE, dumpable);  // the change of identity cleared it for the whole process
  return result;
}

Result<StagedName> StagedName::bind(const Fd& socket, const std::string& name, const std::string& beside) {
  TRY(const UnixAddress address, unix_address(name));
  if (name[0] == '\0') return fail(Code::kCorrupt, "an abstract name has no file");
  StagedName staged;
  std::string pattern = beside + "/.godwit-XXXXXX";
  if (::mkdtemp(pattern.data()) == nullptr) return fail_errno(errno, "making a directory in " + beside);
  staged.owned_.directory = pattern;
  // A relative name starts deep enough that no ".." in its 108 bytes leaves the directory: the root stops them.
  const std::filesystem::path start = "/w";
  const auto inner = (start / std::string(name)).lexically_normal();
  staged.file_ = staged.owned_.directory + inner.string();
  TRY_DO(sys::make_dirs(staged.owned_.directory + "/w"));
  TRY_DO(sys::make_dirs(std::filesystem::path(staged.file_).parent_path().string()));
  TRY_DO(inside(staged.owned_.directory, "/w", [&]() -> Result<void> {
    if (::bind(socket.get(), address.get(), address.length) != 0) return fail_errno(errno, "binding " + name);
    return {};
  }));
  return staged;
}

Result<void> StagedName::set_attributes(uint32_t uid, uint32_t gid, uint32_t mode) const {
  if (::chmod(file_.c_str(), mode & 07777) != 0) return fail_errno(errno, "chmod " + file_);
  if (::lchown(file_.c_str(), uid, gid) != 0)
    log::warn("the owner of a socket's name isn't kept: {}", std::strerror(errno));
  return {};
}

Result<void> StagedName::reach(const std::function<Result<void>(const UnixAddress&)>& action) const {
  const std::filesystem::path file(file_);
  TRY(const UnixAddress address, unix_address(file.filename().string()));
  return inside({}, file.parent_path().string(), [&] { return action(address); });
}

Result<void> StagedName::publish(const std::string& path) {
  TRY_DO(sys::rename(file_, path));
  file_ = path;
  TRY_DO(sys::remove_tree(owned_.directory));
  owned_.directory.clear();
  return {};
}

StagedName::~StagedName() {
  if (owned_.directory.empty()) return;
  if (auto removed = sys::remove_tree(owned_.directory); !removed) {
    log::warn("a socket's staging directory stays behind: {}", removed.error().message());
  }
}

}  // namespace godwit::pod
