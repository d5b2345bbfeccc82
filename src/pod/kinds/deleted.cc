// Files and directories without a name: deleted ones, and those made with O_TMPFILE. Their bytes travel with the unit.
//
// One inode may have several descriptions (opened through /proc/PID/fd, or before it was deleted). The one with the
// smallest id carries the content, the others are opened through it.
//
// A description can also look deleted while its inode has another name (a hard link made earlier, or linkat(2) of an
// O_TMPFILE). The kernel doesn't say which; most often it is in the same directory, so that is searched. Found: nothing
// is carried, the file is opened by that name. Not found: a reader gets a copy, a writer is refused.
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <vector>

#include "base/sys.h"
#include "godwit/pod_kinds_files.pb.h"
#include "pod/kinds/all.h"
#include "pod/kinds/common.h"

namespace godwit::pod {
namespace {

using namespace kinds;

bool matches(const OpenFileView& view) {
  return (S_ISREG(view.st.st_mode) || S_ISDIR(view.st.st_mode)) && view.link.starts_with('/') &&
         (view.st.st_nlink == 0 || marked_deleted(view.link));
}

std::string parent_of(const std::string& path) {
  const auto slash = path.rfind('/');
  return slash == 0 || slash == path.npos ? "/" : path.substr(0, slash);
}

// The directory where the file was made or had its name, by every way that may lead there: the link is as seen from this
// process's root; inside another mount namespace only the holder's root leads there.
std::vector<Fd> ways_to(DumpContext& ctx, const OpenFileView& view, const std::string& dir) {
  std::vector<Fd> ways;
  for (const std::string& start : {dir, "self/root" + dir, std::to_string(view.host_pid) + "/root" + dir}) {
    auto opened = start[0] == '/' ? sys::open(start, O_RDONLY | O_DIRECTORY)
                                  : sys::open_at(ctx.proc_dir(), start, O_RDONLY | O_DIRECTORY);
    if (opened) ways.push_back(*std::move(opened));
  }
  return ways;
}

// Another name of the inode in the directory where its lost one was; empty when there is none.
std::string other_name(DumpContext& ctx, const OpenFileView& view) {
  const std::string dir = parent_of(without_deleted(view.link));
  for (const Fd& way : ways_to(ctx, view, dir)) {
    const auto names = sys::list_dir_at(way, ".");
    if (!names) continue;
    for (const auto& name : *names) {
      const auto st = sys::stat_at(way, name, AT_SYMLINK_NOFOLLOW);
      if (st && st->st_ino == view.st.st_ino && st->st_dev == view.st.st_dev)
        return dir == "/" ? "/" + name : dir + "/" + name;
    }
  }
  return {};
}

bool is_tmpfile(const OpenFileView& view) {
  // The kernel calls an O_TMPFILE "/dir/#INODE (deleted)".
  return without_deleted(view.link).ends_with("/#" + std::to_string(view.st.st_ino));
}

Result<void> dump_named(DumpContext& ctx, const OpenFileView& view, const std::string& name, pb::DeletedFile& state) {
  state.set_path(name);
  const bool writes = (view.flags & O_ACCMODE) != O_RDONLY;
  const auto use = state.directory() ? wire::FileDemand::DIRECTORY
                   : writes          ? wire::FileDemand::OPEN_WRITE
                                     : wire::FileDemand::OPEN_READ;
  ctx.demand_file(name, use, static_cast<uint64_t>(view.st.st_size), view.object);
  return {};
}

Result<void> dump_content(DumpContext& ctx, const OpenFileView& view, pb::DeletedFile& state) {
  state.set_size(static_cast<uint64_t>(view.st.st_size));
  state.set_mode(view.st.st_mode & 07777);
  state.set_uid(view.st.st_uid);
  state.set_gid(view.st.st_gid);
  state.set_mtime_ns(int64_t{view.st.st_mtim.tv_sec} * 1'000'000'000 + view.st.st_mtim.tv_nsec);
  if (state.directory()) return {};
  // A file that an earlier restore made lies where no path of the unit leads (make_nameless): it has no home to go back to.
  const std::string home = parent_of(without_deleted(view.link));
  if (is_tmpfile(view) && !ways_to(ctx, view, home).empty()) {
    state.set_home(home);
    ctx.demand_file(home, wire::FileDemand::DIRECTORY, 0, view.object);
  }
  if (state.size() == 0 || ctx.inspecting()) return {};
  TRY(Fd reader, reopen(ctx.proc_dir(), view.ours, O_RDONLY));
  TRY(const uint32_t space, ctx.add_contents(std::move(reader), state.size()));
  state.set_space(space);
  return {};
}

Result<void> dump(DumpContext& ctx, const OpenFileView& view, pb::OpenFile& out) {
  pb::DeletedFile state;
  state.set_directory(S_ISDIR(view.st.st_mode));
  const FileId first = first_of_inode(ctx, view);
  if (first != 0 && first < out.id()) {
    state.set_same_as(first);
    out.set_state(state.SerializeAsString());
    return {};
  }
  const std::string name = view.st.st_nlink > 0 ? other_name(ctx, view) : std::string();
  if (!name.empty()) {
    TRY_DO(dump_named(ctx, view, name, state));
  } else if (view.st.st_nlink > 0 && (view.flags & O_ACCMODE) != O_RDONLY) {
    ctx.refuse("deleted-linked", view.object, without_deleted(view.link));
    return {};
  } else {
    TRY_DO(dump_content(ctx, view, state));
  }
  out.set_state(state.SerializeAsString());
  return {};
}

// A nameless file on the unit's own storage. Not every file system knows O_TMPFILE: then one that is deleted at once.
Result<Fd> make_nameless(const std::string& dir) {
  auto made = sys::open(dir, O_TMPFILE | O_EXCL | O_RDWR, 0600);
  if (made || (made.error().errnum != EOPNOTSUPP && made.error().errnum != EISDIR && made.error().errnum != ENOENT))
    return made;
  std::string name = dir + "/deleted-XXXXXX";
  Fd fd(::mkostemp(name.data(), O_CLOEXEC));
  if (!fd.valid()) return fail_errno(errno, "making " + name);
  TRY_DO(sys::unlink(name));
  return fd;
}

Result<Fd> restore_directory(RestoreContext& ctx, const pb::OpenFile& file) {
  std::string name = ctx.scratch_dir() + "/deleted-XXXXXX";
  if (::mkdtemp(name.data()) == nullptr) return fail_errno(errno, "making " + name);
  auto fd = sys::open(name, static_cast<int>(open_flags(file)) | O_DIRECTORY);
  if (::rmdir(name.c_str()) != 0) return fail_errno(errno, "removing " + name);
  return fd;
}

Result<void> fill_nameless(RestoreContext& ctx, const pb::DeletedFile& state, const Fd& base) {
  if (::ftruncate(base.get(), static_cast<off_t>(state.size())) != 0) {
    return fail_errno(errno, "making a deleted file " + std::to_string(state.size()) + " bytes long");
  }
  if (state.space() != 0) {
    TRY(const Fd* content, ctx.contents(state.space()));
    TRY_DO(fill(*content, base, state.size()));
    if (::lseek(base.get(), 0, SEEK_SET) < 0) return fail_errno(errno, "lseek");
  }
  const timespec modified{state.mtime_ns() / 1'000'000'000, state.mtime_ns() % 1'000'000'000};
  const timespec times[2] = {{0, UTIME_OMIT}, modified};
  if (::futimens(base.get(), times) != 0 && errno != EPERM) return fail_errno(errno, "futimens of a deleted file");
  return {};
}

Result<Fd> restore(RestoreContext& ctx, const pb::OpenFile& file) {
  TRY(const auto state, parse_state<pb::DeletedFile>(file));
  if (state.same_as() != 0) {
    TRY(const Fd* first, ctx.file(state.same_as()));
    return reopen(ctx.proc_dir(), *first, open_flags(file));
  }
  if (!state.path().empty()) return sys::open(state.path(), static_cast<int>(open_flags(file)));
  if (state.directory()) return restore_directory(ctx, file);

  const bool tmpfile =
      (file.flags() & kTmpfileBit) != 0 && (file.flags() & O_ACCMODE) != O_RDONLY && (file.flags() & O_PATH) == 0;
  const int wanted = static_cast<int>((open_flags(file) & ~static_cast<unsigned>(O_APPEND)) | O_TMPFILE);
  Fd base;
  bool is_final = false;
  if (!state.home().empty()) {
    // The very flags of the original, so that the description needs no second opening.
    auto made = sys::open(state.home(), tmpfile ? wanted : O_TMPFILE | O_RDWR, 0600);
    if (made) {
      base = *std::move(made);
      is_final = tmpfile;
    }
  }
  if (!base.valid()) {
    TRY(base, make_nameless(ctx.scratch_dir()));
  }
  TRY_DO(set_owner(base, state.uid(), state.gid(), state.mode()));
  TRY_DO(fill_nameless(ctx, state, base));
  if (is_final) return base;
  return reopen(ctx.proc_dir(), base, open_flags(file));
}

}  // namespace

const FileKind kDeletedKind = {
    .name = "deleted", .matches = matches, .dump = dump, .restore = restore, .schema = "godwit.pod.v1.DeletedFile"};

}  // namespace godwit::pod
