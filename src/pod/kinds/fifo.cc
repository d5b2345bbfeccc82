// Named pipes (mkfifo). Their content belongs to the inode, in the memory of one machine: the destination's is another
// one even on a shared file system. But on *one* machine the frozen source still holds the inode, with its unread bytes:
// opening it by name there would join the copy to the original. So an inode that anybody holds open is not used: a new
// one is made beside it, and takes the name when the unit runs (activate).
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <map>
#include <memory>

#include "base/pki.h"
#include "base/sys.h"
#include "pod/kinds/all.h"
#include "pod/kinds/common.h"
#include "pod/kinds/pipe_content.h"

namespace godwit::pod {
namespace {

using namespace kinds;

bool matches(const OpenFileView& view) { return S_ISFIFO(view.st.st_mode) && view.link.starts_with('/'); }

Result<void> dump(DumpContext& ctx, const OpenFileView& view, pb::OpenFile& out) {
  pb::FifoEnd state;
  PipeEnds ends = find_ends(ctx, view);
  TRY(const uint64_t unread, unread_bytes(view.ours));
  if (ends.writer && !ends.tree_writer && unread == 0) {
    // A reader that never had a writer is not hung up, and looks as if a writer were left. Reading would tell (end of file
    // or EAGAIN), and so does tee, which takes nothing.
    TRY(auto scratch, sys::pipe());
    ends.writer = ::tee(view.ours.get(), scratch.second.get(), 1, SPLICE_F_NONBLOCK) < 0 && errno == EAGAIN;
  }
  if (ends.outside()) {
    ctx.refuse("fifo-outside", view.object, view.link);
    return {};
  }
  state.set_had_writer(ends.hung_up || ends.tree_writer);
  if (const FileId first = first_of_inode(ctx, view); first != 0 && first < out.id()) {
    state.set_same_as(first);
  } else {
    state.set_path(without_deleted(view.link));
    state.set_deleted(view.st.st_nlink == 0);
    TRY(*state.mutable_content(), save_content(ctx, view));
    state.set_mode(view.st.st_mode & 07777);
    state.set_uid(view.st.st_uid);
    state.set_gid(view.st.st_gid);
    const auto slash = state.path().rfind('/');
    if (!state.deleted() && slash != 0)
      ctx.demand_file(state.path().substr(0, slash), wire::FileDemand::DIRECTORY, 0, view.object);
  }
  out.set_state(state.SerializeAsString());
  return {};
}

// Does anybody on this machine have it open? A writer is let in only if there is a reader; a new reader is hung up or
// gets end of file unless there is a writer.
bool held_by_someone(const std::string& path) {
  if (sys::open(path, O_WRONLY | O_NONBLOCK)) return true;
  const auto reader = sys::open(path, O_RDONLY | O_NONBLOCK);
  if (!reader) return true;
  char byte = 0;
  return ::read(reader->get(), &byte, 1) != 0;
}

// FIFOs that wait to take their names. What is left of it when the restore is discarded must not stay in the directory.
struct Staged {
  struct Names {
    std::string now, then;
  };
  std::map<FileId, Names> names;
  Staged() = default;
  Staged(const Staged&) = delete;
  Staged& operator=(const Staged&) = delete;
  ~Staged() {
    for (const auto& [id, name] : names) (void)sys::unlink(name.now);
  }
};
Staged& staged(RestoreContext& ctx) {
  auto& memory = ctx.memory("fifo");
  if (!memory) memory = std::make_shared<Staged>();
  return *static_cast<Staged*>(memory.get());
}

// The path to open: the FIFO itself, or one that will take its place.
Result<std::string> make_inode(RestoreContext& ctx, const pb::FifoEnd& state, FileId id) {
  std::string path = state.deleted() ? ctx.scratch_dir() + "/fifo-" + pki::random_hex(8) : state.path();
  if (!state.deleted()) {
    const auto st = sys::lstat(path);
    if (st && !S_ISFIFO(st->st_mode)) return fail(Code::kFailed, path + " is not a FIFO here");
    if (st && !held_by_someone(path)) return path;
    if (st) path += ".godwit-" + pki::random_hex(8);
  }
  if (::mkfifo(path.c_str(), 0600) != 0) return fail_errno(errno, "making the FIFO " + path);
  if (!state.deleted() && path != state.path()) staged(ctx).names[id] = {path, state.path()};
  return path;
}

Result<Fd> restore(RestoreContext& ctx, const pb::OpenFile& file) {
  TRY(const auto state, parse_state<pb::FifoEnd>(file));
  // O_NONBLOCK against waiting for the other side; the engine puts the true flags on afterwards.
  const unsigned flags = (open_flags(file) & ~static_cast<unsigned>(O_DIRECT)) | O_NONBLOCK;
  // A reader sees POLLHUP only if a writer has been there since it was opened. O_RDWR is one, and never waits (fifo(7)).
  const bool needs_other_side =
      pipe_side(flags) != PipeSide::kReader || state.had_writer() || state.content().records_size() > 0;
  if (state.same_as() != 0) {
    // Through the first: also right when the name leads elsewhere by now.
    TRY(const Fd* first, ctx.file(state.same_as()));
    Fd both;
    if (needs_other_side) {
      TRY(both, reopen(ctx.proc_dir(), *first, O_RDWR | O_NONBLOCK));
    }
    return reopen(ctx.proc_dir(), *first, flags);
  }
  TRY(const std::string path, make_inode(ctx, state, file.id()));
  Fd both;
  if (needs_other_side) {
    TRY(both, sys::open(path, O_RDWR | O_NONBLOCK));
  }
  TRY(Fd fd, sys::open(path, static_cast<int>(flags)));
  if (state.deleted()) TRY_DO(sys::unlink(path));
  TRY_DO(set_owner(fd, state.uid(), state.gid(), state.mode()));
  TRY_DO(load_content(state.content(), both.valid() ? both : fd));
  return fd;
}

Result<void> activate(RestoreContext& ctx, const pb::OpenFile& file, const Fd&) {
  auto& names = staged(ctx).names;
  const auto waiting = names.find(file.id());
  if (waiting == names.end()) return {};
  const auto name = waiting->second;
  TRY_DO(sys::rename(name.now, name.then));
  names.erase(waiting);
  return {};
}

}  // namespace

const FileKind kFifoKind = {.name = "fifo",
                            .matches = matches,
                            .dump = dump,
                            .restore = restore,
                            .activate = activate,
                            .schema = "godwit.pod.v1.FifoEnd"};

}  // namespace godwit::pod
