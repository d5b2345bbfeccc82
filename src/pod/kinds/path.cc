// Descriptors opened with O_PATH: they name a file and can't read it, whatever it is (also a socket or a symbolic link).
// Files without a name (deleted) and files of /proc are other kinds, which open with O_PATH when the flags say so.
#include <fcntl.h>
#include <sys/stat.h>

#include "base/sys.h"
#include "godwit/pod_kinds_files.pb.h"
#include "pod/kinds/all.h"
#include "pod/kinds/common.h"

namespace godwit::pod {
namespace {

using namespace kinds;

bool matches(const OpenFileView& view) { return (view.flags & O_PATH) != 0; }

Result<void> dump(DumpContext& ctx, const OpenFileView& view, pb::OpenFile& out) {
  if (!view.link.starts_with('/') || marked_deleted(view.link)) {
    ctx.refuse("path-descriptor", view.object, view.link);
    return {};
  }
  pb::PathDescriptor state;
  state.set_path(view.link);
  state.set_file_type(view.st.st_mode & S_IFMT);
  // Only ordinary files and directories can be carried to a host that lacks them; others must be there.
  if (S_ISREG(view.st.st_mode)) {
    ctx.demand_file(view.link, wire::FileDemand::OPEN_READ, static_cast<uint64_t>(view.st.st_size), view.object);
  } else if (S_ISDIR(view.st.st_mode)) {
    ctx.demand_file(view.link, wire::FileDemand::DIRECTORY, 0, view.object);
  }
  out.set_state(state.SerializeAsString());
  return {};
}

Result<Fd> restore(RestoreContext&, const pb::OpenFile& file) {
  TRY(const auto state, parse_state<pb::PathDescriptor>(file));
  TRY(Fd fd, sys::open(state.path(), static_cast<int>(open_flags(file) | O_PATH)));
  TRY(const auto st, sys::stat(fd));
  if ((st.st_mode & S_IFMT) != state.file_type())
    return fail(Code::kFailed, state.path() + " is another type of file here");
  return fd;
}

}  // namespace

const FileKind kPathKind = {.name = "path",
                            .matches = matches,
                            .dump = dump,
                            .restore = restore,
                            .schema = "godwit.pod.v1.PathDescriptor",
                            .sets_own_flags = true};

}  // namespace godwit::pod
