// Anonymous pipes. The description with the smallest id of a pipe makes it, with content and capacity, and leaves the
// other end for the next one; further descriptions of an end are opened through it (/proc/self/fd), as they were made.
//
// A pipe that leads out of the tree is refused, except standard streams when the caller has others for their place
// (DumpContext::may_inherit). Bytes that wait in such an input can't be carried: they can't be put into a stream that
// belongs to the caller.
#include <fcntl.h>
#include <sys/stat.h>

#include "base/sys.h"
#include "pod/kinds/all.h"
#include "pod/kinds/common.h"
#include "pod/kinds/pipe_content.h"

namespace godwit::pod {
namespace {

using namespace kinds;

bool matches(const OpenFileView& view) { return S_ISFIFO(view.st.st_mode) && view.link.starts_with("pipe:["); }

Result<void> dump_outside(DumpContext& ctx, const OpenFileView& view, pb::PipeEnd& state) {
  TRY(const uint64_t unread, unread_bytes(view.ours));
  const bool input = pipe_side(view.flags) != PipeSide::kWriter;
  if (!ctx.may_inherit(view)) {
    ctx.refuse("pipe-outside", view.object, view.link);
  } else if (input && unread > 0) {
    ctx.refuse("pipe-outside", view.object, view.link + " with " + std::to_string(unread) + " unread bytes");
  } else {
    state.set_inherit(view.link);
    state.set_inherit_fd(view.fd);
  }
  return {};
}

Result<void> dump(DumpContext& ctx, const OpenFileView& view, pb::OpenFile& out) {
  pb::PipeEnd state;
  const PipeEnds ends = find_ends(ctx, view);
  const FileId first = first_of_inode(ctx, view);
  if (ends.outside()) {
    TRY_DO(dump_outside(ctx, view, state));
  } else if (first != 0 && first < out.id()) {
    state.set_same_as(first);
  } else {
    TRY(*state.mutable_content(), save_content(ctx, view));
    state.set_other_end(ends.tree_reader && ends.tree_writer);
    state.set_mode(view.st.st_mode & 07777);
    state.set_uid(view.st.st_uid);
    state.set_gid(view.st.st_gid);
  }
  out.set_state(state.SerializeAsString());
  return {};
}

std::string shelf_name(FileId first, PipeSide side) {
  return "pipe:" + std::to_string(first) + (side == PipeSide::kReader ? ":reader" : ":writer");
}

// pipe2() ends and opened ones differ in one thing that can be seen: O_LARGEFILE, which open(2) adds.
bool from_pipe2(const pb::OpenFile& file) {
  constexpr unsigned kLargeFile = 0100000;
  return (file.flags() & (kLargeFile | O_PATH)) == 0 && pipe_side(file.flags()) != PipeSide::kBoth;
}

Result<Fd> end_of(RestoreContext& ctx, const pb::OpenFile& file, FileId first, const Fd& any_end) {
  const auto kept = ctx.shelf().find(shelf_name(first, pipe_side(file.flags())));
  if (from_pipe2(file) && kept != ctx.shelf().end()) {
    Fd end = std::move(kept->second);
    ctx.shelf().erase(kept);
    return end;
  }
  // O_DIRECT is for F_SETFL: open(2) refuses it for a pipe.
  return reopen(ctx.proc_dir(), any_end, open_flags(file) & ~static_cast<unsigned>(O_DIRECT));
}

Result<Fd> restore(RestoreContext& ctx, const pb::OpenFile& file) {
  TRY(const auto state, parse_state<pb::PipeEnd>(file));
  if (!state.inherit().empty()) return ctx.inherit(state.inherit_fd(), state.inherit());
  if (state.same_as() != 0) {
    TRY(const Fd* first, ctx.file(state.same_as()));
    return end_of(ctx, file, state.same_as(), *first);
  }
  TRY(auto ends, sys::pipe());
  auto& [reader, writer] = ends;
  TRY_DO(set_owner(reader, state.uid(), state.gid(), state.mode()));
  TRY_DO(load_content(state.content(), writer));
  TRY(Fd spare, sys::dup(reader.get()));  // an end to open others through, whatever happens to the two
  ctx.shelf().insert_or_assign(shelf_name(file.id(), PipeSide::kReader), std::move(reader));
  ctx.shelf().insert_or_assign(shelf_name(file.id(), PipeSide::kWriter), std::move(writer));
  auto fd = end_of(ctx, file, file.id(), spare);
  if (!state.other_end()) {
    ctx.shelf().erase(shelf_name(file.id(), PipeSide::kReader));
    ctx.shelf().erase(shelf_name(file.id(), PipeSide::kWriter));
  }
  return fd;
}

// An end that no description took would keep the pipe from hanging up.
Result<void> connect(RestoreContext& ctx, const pb::OpenFile& file, const Fd&) {
  ctx.shelf().erase(shelf_name(file.id(), PipeSide::kReader));
  ctx.shelf().erase(shelf_name(file.id(), PipeSide::kWriter));
  return {};
}

}  // namespace

const FileKind kPipeKind = {.name = "pipe",
                            .matches = matches,
                            .dump = dump,
                            .restore = restore,
                            .connect = connect,
                            .schema = "godwit.pod.v1.PipeEnd"};

}  // namespace godwit::pod
