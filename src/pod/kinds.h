// The kinds of kernel object that a descriptor can refer to: one row each in kinds.cc, one file each in kinds/.
//
// A row knows how to recognise its object, how to dump it while the tree is frozen, and how to make it again. Everything
// that all open files have in common (sharing between descriptors, flags, offset, owner, close-on-exec) is done once, by
// the caller: a kind's `state` holds only what is its own.
//
// To add a row:
//   1. proto/godwit/pod_kinds_<kind>.proto   the schema of its state (register it in proto/CMakeLists.txt)
//   2. src/pod/kinds/<kind>.cc               `extern const FileKind k<Kind>Kind;` with the functions below
//   3. src/pod/kinds.cc                      the row; the first row that matches wins
//   4. tests/cr/<family>.cc                  a program that uses the object and checks itself
//   5. src/pod/refusals.cc                   a row for each state of it that can't be moved (docs/limits.md is made from it)
//   docs/howto/add-a-kernel-object.md walks through one.
//
// Stages of a restore, and what exists in each:
//   restore()    in the engine, in the unit's namespaces, before its processes exist. `late` files: after they exist.
//   connect()    all files exist (ask RestoreContext::file), all processes exist and are stopped, descriptors installed.
//   activate()   after the commit, just before the first thread runs: what would disturb the source if done earlier
//                (locks on files that both hosts see, binding a name that the source still holds) and what would notice
//                the restore itself (inotify watches) or go on meanwhile (timers). It may wait, bounded, for the source
//                to go, so the source must hear of the commit before activate() is called. Whatever can be found out
//                to fail is to be found out earlier: after the commit there is nothing to go back to.
#pragma once

#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/fd.h"
#include "base/result.h"
#include "engine/engine.h"

namespace google::protobuf {
class Message;
}
namespace godwit::pod::v1 {
class OpenFile;
class SharedMemory;
class FileLock;
class PodState;
}  // namespace godwit::pod::v1

namespace godwit::pod {

namespace pb = v1;
using FileId = uint32_t;

/// One open file description as the capture sees it, through one of the descriptors that refer to it.
struct OpenFileView {
  const Fd& ours;  ///< a duplicate in this process: *shares offset and flags with the unit*: put back what you change
  struct stat st;  ///< fstat of it
  std::string link;  ///< what /proc/PID/fd/N points to: "/tmp/x (deleted)", "socket:[123]", "anon_inode:[eventfd]"
  std::string fdinfo;  ///< text of /proc/PID/fdinfo/N
  pid_t host_pid;  ///< a process that holds it, as this process sees it
  pid_t pid;  ///< the same, as the tree itself sees it
  int fd;  ///< its number there
  uint64_t filesystem;  ///< f_type of fstatfs
  unsigned flags;  ///< F_GETFL
  std::string object;  ///< "fd 7 of pid 42 (python3)": for blockers and errors
};

/// One descriptor of one process of the tree. Processes that share a table (CLONE_FILES) appear once.
struct HeldDescriptor {
  pid_t host_pid;
  pid_t pid;
  int fd;
  FileId file;
  mode_t mode;  ///< st_mode of the file: most of them can be passed over by it
  unsigned flags;  ///< F_GETFL of it
  const Fd* ours;  ///< our duplicate
  const std::string* fdinfo;  ///< of the description, seen through the first descriptor that was found
};

/// What a kind may ask for during a dump. The tree is frozen (inspecting: it may be running, see inspecting()).
class DumpContext {
 public:
  virtual ~DumpContext() = default;
  /// True when this is only a look (`godwit check`, the start of a move): find blockers, read no contents.
  virtual bool inspecting() const = 0;
  /// Adds a blocker by its code in the refusal table (refusals.cc); `object` as in OpenFileView::object.
  virtual void refuse(std::string_view code, const std::string& object, const std::string& detail = {}) = 0;
  /// The description that a descriptor of a process of the tree refers to; kNotFound when the process has no such
  /// descriptor (for instance an epoll target that was closed but is held elsewhere).
  virtual Result<FileId> file_at(pid_t host_pid, int fd) = 0;
  /// The description equal to `fd` of this process (by kcmp). If no descriptor of the tree refers to it (it is only in
  /// flight in a socket, or watched by an epoll), it is dumped too and given an id.
  virtual Result<FileId> file_of(const Fd& fd, const std::string& object) = 0;
  /// All descriptions whose stat has this device and inode.
  virtual std::vector<FileId> files_with_inode(dev_t device, ino_t inode) = 0;
  /// Every descriptor of the tree, by process and number: for what belongs to (process, descriptor) pairs, as POSIX
  /// locks do, or can only be found by kcmp, as an epoll target whose number was closed.
  virtual std::vector<HeldDescriptor> descriptors() = 0;
  /// The /proc in which this process finds itself ("self/fd/N") and `host_pid`s. After entering a unit's mount namespace
  /// the path "/proc" shows another PID namespace, so kinds never use that path.
  virtual const Fd& proc_dir() = 0;
  /// What a clock shows to the unit now (it may live in a time namespace).
  virtual Nanos clock(clockid_t clock) = 0;
  /// True when this description is a standard stream (0, 1, 2) that leads out of the tree, and the caller wants it
  /// replaced at the restore by the restoring command's own stream (RestoreContext::inherit) instead of a refusal.
  virtual bool may_inherit(const OpenFileView&) { return false; }
  /// True when the tree is a unit: it lives in namespaces of its own, which nobody else can enter but the engine.
  virtual bool is_unit() const { return false; }
  /// Pid in the tree's own view of a process this process sees as `host_pid`; kNotFound when it isn't in the tree.
  virtual Result<pid_t> pid_in_tree(pid_t host_pid) = 0;
  virtual Result<pid_t> host_pid(pid_t pid_in_tree) = 0;
  /// Runs one system call in the (frozen) process; the value or the error it returned. Not while inspecting.
  virtual Result<int64_t> remote_call(pid_t host_pid, long number, std::span<const uint64_t> arguments) = 0;
  /// 32 KiB of scratch memory in that process for remote_call's pointers; valid until the next call for another process.
  virtual Result<uint64_t> remote_scratch(pid_t host_pid) = 0;
  virtual Result<void> remote_write(pid_t host_pid, uint64_t address, std::span<const std::byte> data) = 0;
  virtual Result<void> remote_read(pid_t host_pid, uint64_t address, std::span<std::byte> data) = 0;
  /// Says that the destination needs this path (and how: wire::FileDemand::Use); the file layer carries or checks it.
  virtual void demand_file(const std::string& path, int use, uint64_t size, const std::string& used_by) = 0;
  /// Contents that are too large for `state` (a deleted file, a memfd): gives the id of a new shared space of `size`
  /// bytes whose bytes are read from `content` and travel like memory. Restore gets them by RestoreContext::contents.
  virtual Result<uint32_t> add_contents(Fd content, uint64_t size) = 0;
  /// Host pids of the tree's processes that aren't zombies, parents first.
  virtual std::vector<pid_t> processes() = 0;
  /// True when established connections are to be carried as closed ones (--tcp close) and so are no blockers.
  virtual bool close_connections() const { return false; }
  /// What a family of kinds remembers during one dump (its netlink socket, the objects seen): null at first.
  std::shared_ptr<void>& memory(std::string_view family) { return memory_[std::string(family)]; }

 private:
  std::map<std::string, std::shared_ptr<void>> memory_;
};

/// What a kind may ask for during a restore.
class RestoreContext {
 public:
  virtual ~RestoreContext() = default;
  /// The engine's own descriptor of a restored description. Stage connect() and later; in restore() only of files with
  /// a smaller id that aren't late.
  virtual Result<const Fd*> file(FileId id) = 0;
  /// As this process sees the restored process `pid_in_tree`. Late restore(), connect(), activate().
  virtual Result<pid_t> host_pid(pid_t pid_in_tree) = 0;
  /// Any restored process, as this process sees it: for what only asks for the tree's namespaces.
  virtual Result<pid_t> any_host_pid() { return ::getpid(); }
  virtual Result<int64_t> remote_call(pid_t pid_in_tree, long number, std::span<const uint64_t> arguments) = 0;
  virtual Result<uint64_t> remote_scratch(pid_t pid_in_tree) = 0;
  virtual Result<void> remote_write(pid_t pid_in_tree, uint64_t address, std::span<const std::byte> data) = 0;
  virtual Result<void> remote_read(pid_t pid_in_tree, uint64_t address, std::span<std::byte> data) = 0;
  /// The bytes that add_contents() carried, as a memfd of at least their size. They are complete in every stage: shared
  /// spaces are sent with the state, never left for post-copy. So restore() fills its object, before anybody maps it.
  virtual Result<const Fd*> contents(uint32_t space) = 0;
  /// A private directory on the unit's own storage, for files that exist only by descriptor (deleted, O_TMPFILE).
  virtual const std::string& scratch_dir() = 0;
  /// As in DumpContext.
  virtual const Fd& proc_dir() = 0;
  virtual Nanos clock(clockid_t clock) = 0;
  /// The restoring command's own descriptor that stands in for standard stream `fd`, which at the source was `link`.
  virtual Result<Fd> inherit(int fd, const std::string& link) {
    return fail(Code::kRefused, "standard stream " + std::to_string(fd) + " was " + link +
                                    ", which is outside of the tree; " +
                                    "the restore has no stream to put in its place");
  }
  /// Descriptors that one stage or kind leaves for another under a name of its own ("pipe:123:write"): the second end of a
  /// pair, a path that was looked up before the commit. What nobody took is closed with the context.
  std::map<std::string, Fd>& shelf() { return shelf_; }
  /// True when descriptors of established connections should be closed connections (--tcp close).
  virtual bool close_connections() const = 0;
  /// A new socket of AF_INET or AF_INET6, of the control group that the tree's own would be of.
  virtual Result<Fd> internet_socket(int domain, int type);
  /// What a family of kinds remembers during one restore; null at first. The context lives until resume() or discard()
  /// is done, so an object's destructor is the place to take away what was left outside of the processes (staged names).
  std::shared_ptr<void>& memory(std::string_view family) { return memory_[std::string(family)]; }
  /// For the engine: the end of a restore, as resume() and discard() do it.
  void forget_all() {
    shelf_.clear();
    memory_.clear();
  }

 private:
  std::map<std::string, Fd> shelf_;
  std::map<std::string, std::shared_ptr<void>> memory_;
};

struct FileKind {
  std::string_view name;
  /// Is this object of this kind? Must not change it.
  bool (*matches)(const OpenFileView& view);
  /// Fills out.state (and out.late). Blockers go to ctx.refuse() and are not errors.
  Result<void> (*dump)(DumpContext& ctx, const OpenFileView& view, pb::OpenFile& out);
  /// Makes the object; the caller sets flags and offset afterwards unless `sets_own_flags`.
  Result<Fd> (*restore)(RestoreContext& ctx, const pb::OpenFile& file);
  Result<void> (*connect)(RestoreContext& ctx, const pb::OpenFile& file, const Fd& fd) = nullptr;
  Result<void> (*activate)(RestoreContext& ctx, const pb::OpenFile& file, const Fd& fd) = nullptr;
  /// Parses `state` for image show and for validation: the message's full name in the schema.
  std::string_view schema = {};
  bool sets_own_flags = false;
};

/// Kinds of state that belong to the whole unit and to no descriptor (System V IPC, file locks).
struct SectionKind {
  std::string_view name;
  /// Gives the serialised state; empty when there is nothing of it. Called after all files were dumped.
  Result<std::string> (*dump)(DumpContext& ctx);
  /// Before processes exist and before the files' restore(); may be null.
  Result<void> (*restore)(RestoreContext& ctx, const std::string& state);
  Result<void> (*connect)(RestoreContext& ctx, const std::string& state);  ///< may be null
  Result<void> (*activate)(RestoreContext& ctx, const std::string& state);  ///< may be null
  std::string_view schema = {};
};

std::span<const FileKind* const> file_kinds();
std::span<const SectionKind* const> section_kinds();
/// Null when there is none (a foreign or newer image).
const FileKind* find_file_kind(std::string_view name);

}  // namespace godwit::pod
