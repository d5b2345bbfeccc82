// Files whose content the kernel makes when they are read: /proc, /sys, control groups. They are opened again by path,
// after the processes exist, because a path of /proc names a process by its PID in the tree, and PIDs are kept.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <algorithm>

#include "base/sys.h"
#include "godwit/pod_kinds_files.pb.h"
#include "pod/kinds/all.h"
#include "pod/kinds/common.h"

namespace godwit::pod {
namespace {

using namespace kinds;

bool matches(const OpenFileView& view) {
  constexpr uint64_t kFilesystems[] = {kProcMagic, kSysfsMagic, kCgroup2Magic, kCgroupMagic};
  return (S_ISREG(view.st.st_mode) || S_ISDIR(view.st.st_mode) || S_ISLNK(view.st.st_mode)) &&
         view.link.starts_with('/') && std::ranges::find(kFilesystems, view.filesystem) != std::end(kFilesystems);
}

// What forbids it; empty when nothing does.
struct Objection {
  std::string_view code;
  std::string detail;
};
Objection objection(DumpContext& ctx, const OpenFileView& view) {
  const bool writes = (view.flags & O_ACCMODE) != O_RDONLY && (view.flags & O_PATH) == 0;
  if (view.filesystem != kProcMagic) {
    if (writes) return {"kernel-file-write", view.link};
    return {};
  }
  const auto parts = split(view.link, '/');  // proc, PID, …
  if (parts.size() < 2) return {};
  // A descriptor of these that was written to holds a trigger (Documentation/accounting/psi.rst), which can't be read.
  if (parts[1] == "pressure" && writes) return {"kernel-file-write", view.link};
  const auto pid = parse_number(parts[1], 10);
  if (!pid) return {};
  if (!ctx.host_pid(static_cast<pid_t>(*pid))) return {"proc-outside", view.link};
  return {};
}

Result<void> dump(DumpContext& ctx, const OpenFileView& view, pb::OpenFile& out) {
  if (const auto [code, detail] = objection(ctx, view); !code.empty()) {
    ctx.refuse(code, view.object, detail);
    return {};
  }
  pb::KernelFile state;
  state.set_path(view.link);
  state.set_filesystem(view.filesystem);
  state.set_directory(S_ISDIR(view.st.st_mode));
  out.set_state(state.SerializeAsString());
  out.set_late(true);
  return {};
}

Result<Fd> restore(RestoreContext&, const pb::OpenFile& file) {
  TRY(const auto state, parse_state<pb::KernelFile>(file));
  TRY(Fd fd,
      sys::open(state.path(), static_cast<int>(open_flags(file)) | O_NOCTTY | (state.directory() ? O_DIRECTORY : 0)));
  struct statfs fs{};
  if (::fstatfs(fd.get(), &fs) != 0) return fail_errno(errno, "statfs of " + state.path());
  if (static_cast<uint64_t>(fs.f_type) != state.filesystem()) {
    return fail(Code::kFailed, state.path() + " is on another kind of file system here");
  }
  return fd;
}

}  // namespace

const FileKind kKernelFileKind = {
    .name = "kernel-file", .matches = matches, .dump = dump, .restore = restore, .schema = "godwit.pod.v1.KernelFile"};

}  // namespace godwit::pod
