// Descriptors that can't be moved, each by the row of the refusal table that says why; and, as the last row of the table
// of kinds, whatever nobody knows.
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>

#include "pod/kinds/all.h"
#include "pod/kinds/common.h"

namespace godwit::pod {
namespace {

using namespace kinds;

struct Anonymous {
  std::string_view link;  // how the link starts
  std::string_view code;
};
constexpr Anonymous kAnonymous[] = {
    {"anon_inode:[io_uring]", "io-uring"},
    {"anon_inode:[userfaultfd]", "userfaultfd"},
    {"anon_inode:[fanotify]", "fanotify"},
    {"anon_inode:[perf_event]", "perf-event"},
    {"anon_inode:bpf", "bpf"},
    {"anon_inode:[bpf", "bpf"},
    {"anon_inode:bpf_link", "bpf"},
    {"anon_inode:kvm", "kvm"},
    {"anon_inode:[kvm", "kvm"},
    {"anon_inode:seccomp notify", "seccomp-notify"},
    {"anon_inode:[fscontext]", "mount-context"},
    {"anon_inode:[landlock-ruleset]", "landlock-ruleset"},
    {"anon_inode:landlock-ruleset", "landlock-ruleset"},
    {"anon_inode:[aio]", "aio"},
    {"/[aio] (deleted)", "aio"},
    {"/secretmem (deleted)", "secretmem"},
    {"anon_inode:dmabuf", "gpu"},
    {"/dmabuf:", "gpu"},
    {"anon_inode:sync_file", "gpu"},
    {"anon_inode:i915", "gpu"},
    {"anon_inode:[vfio", "device"},
    {"anon_inode:[uhid", "device"},
};

struct Filesystem {
  uint64_t magic;
  std::string_view code;
};
constexpr Filesystem kFilesystems[] = {
    {kNsfsMagic, "namespace-file"},          {kHugetlbfsMagic, "hugetlb"},
    {kSecretmemMagic, "secretmem"},          {kMqueueMagic, "mqueue"},
    {kDebugfsMagic, "kernel-file-write"},    {kTracefsMagic, "kernel-file-write"},
    {kSecurityfsMagic, "kernel-file-write"}, {kBpffsMagic, "bpf"},
};

// Documentation/admin-guide/devices.txt of the kernel; majors that are handed out at boot are known by their path.
std::string_view device_code(const OpenFileView& view) {
  if (S_ISBLK(view.st.st_mode)) return "block-device";
  if (view.link == "/dev/kvm") return "kvm";
  if (view.link == "/dev/userfaultfd") return "userfaultfd";
  if (view.link == "/dev/fuse") return "fuse";
  if (view.link.starts_with("/dev/nvidia") || view.link.starts_with("/dev/dri/") || view.link == "/dev/kfd")
    return "gpu";
  return "device";
}

std::string_view refusal_code(const OpenFileView& view) {
  const auto* anonymous =
      std::ranges::find_if(kAnonymous, [&](const Anonymous& a) { return view.link.starts_with(a.link); });
  if (anonymous != std::end(kAnonymous)) return anonymous->code;
  const auto* fs = std::ranges::find(kFilesystems, view.filesystem, &Filesystem::magic);
  if (fs != std::end(kFilesystems)) return fs->code;
  return {};
}

bool matches_known(const OpenFileView& view) { return !refusal_code(view).empty(); }

Result<void> dump_known(DumpContext& ctx, const OpenFileView& view, pb::OpenFile&) {
  ctx.refuse(refusal_code(view), view.object, view.link);
  return {};
}

bool matches_rest(const OpenFileView&) { return true; }

Result<void> dump_rest(DumpContext& ctx, const OpenFileView& view, pb::OpenFile&) {
  const bool device = S_ISCHR(view.st.st_mode) || S_ISBLK(view.st.st_mode);
  ctx.refuse(device ? device_code(view) : "file-kind", view.object, view.link);
  return {};
}

Result<Fd> restore(RestoreContext&, const pb::OpenFile& file) {
  return fail(Code::kCorrupt, "file " + std::to_string(file.id()) + " is said to be of a kind that can't be restored");
}

}  // namespace

const FileKind kUnsupportedKind = {
    .name = "unsupported", .matches = matches_known, .dump = dump_known, .restore = restore};
const FileKind kUnknownKind = {.name = "unknown", .matches = matches_rest, .dump = dump_rest, .restore = restore};

}  // namespace godwit::pod
