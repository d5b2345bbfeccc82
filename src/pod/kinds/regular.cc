// Regular files and directories that can be opened again by their path. Files without one (deleted, O_TMPFILE) are
// another kind, as are files of /proc that belong to a process.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/sys.h"
#include "godwit/pod.pb.h"
#include "godwit/pod_kinds_regular.pb.h"
#include "pod/kinds/all.h"
#include "pod/kinds/common.h"

namespace godwit::pod {
namespace {

bool matches(const OpenFileView& view) {
  return (S_ISREG(view.st.st_mode) || S_ISDIR(view.st.st_mode)) && view.link.starts_with('/') && view.st.st_nlink > 0;
}

Result<void> dump(DumpContext& ctx, const OpenFileView& view, pb::OpenFile& out) {
  pb::RegularFile file;
  file.set_path(view.link);
  file.set_directory(S_ISDIR(view.st.st_mode));
  file.set_size(static_cast<uint64_t>(view.st.st_size));
  const bool writes = (view.flags & O_ACCMODE) != O_RDONLY;
  const auto use = file.directory() ? wire::FileDemand::DIRECTORY
                   : writes         ? wire::FileDemand::OPEN_WRITE
                                    : wire::FileDemand::OPEN_READ;
  ctx.demand_file(file.path(), use, file.size(), view.object);
  out.set_state(file.SerializeAsString());
  return {};
}

Result<Fd> restore(RestoreContext&, const pb::OpenFile& file) {
  pb::RegularFile state;
  if (!state.ParseFromString(file.state())) return fail(Code::kCorrupt, "the state of a regular file can't be parsed");
  // What created or emptied the file then must not do so again.
  const int flags = static_cast<int>(kinds::open_flags(file)) | O_NOCTTY;
  TRY(Fd fd, sys::open(state.path(), flags | (state.directory() ? O_DIRECTORY : 0)));
  TRY(const auto st, sys::stat(fd));
  if (!state.directory() && !S_ISREG(st.st_mode))
    return fail(Code::kFailed, state.path() + " is no longer a regular file");
  return fd;
}

}  // namespace

const FileKind kRegularKind = {
    .name = "regular", .matches = matches, .dump = dump, .restore = restore, .schema = "godwit.pod.v1.RegularFile"};

}  // namespace godwit::pod
