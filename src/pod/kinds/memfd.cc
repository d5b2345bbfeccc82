// Files in memory, memfd_create(2). Like a deleted file, but named, and it may be sealed.
#include <fcntl.h>
#include <linux/memfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/sys.h"
#include "godwit/pod_kinds_memfd.pb.h"
#include "pod/kinds/all.h"
#include "pod/kinds/common.h"

#ifndef F_SEAL_EXEC
#define F_SEAL_EXEC 0x0020  // Linux 6.3
#endif

namespace godwit::pod {
namespace {

using namespace kinds;

constexpr std::string_view kPrefix = "/memfd:";
constexpr unsigned kSeals =
    F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_FUTURE_WRITE | F_SEAL_EXEC;

// F_SEAL_WRITE must be on before the file is mapped: a shared mapping for reading that was made earlier could still become
// writable, so the kernel would refuse the seal. F_SEAL_FUTURE_WRITE must come after: it lets those stay that are there.
// F_SEAL_SEAL is last by nature.
constexpr unsigned kLateSeals = F_SEAL_FUTURE_WRITE | F_SEAL_SEAL;

bool matches(const OpenFileView& view) {
  return S_ISREG(view.st.st_mode) && view.link.starts_with(kPrefix) && marked_deleted(view.link) &&
         view.st.st_nlink == 0;
}

Result<void> dump(DumpContext& ctx, const OpenFileView& view, pb::OpenFile& out) {
  if (view.filesystem == kHugetlbfsMagic) {
    ctx.refuse("hugetlb", view.object, view.link);
    return {};
  }
  pb::MemoryFile state;
  if (const FileId first = first_of_inode(ctx, view); first != 0 && first < out.id()) {
    state.set_same_as(first);
    out.set_state(state.SerializeAsString());
    return {};
  }
  TRY(Fd reader, reopen(ctx.proc_dir(), view.ours, O_RDONLY));
  const int seals = ::fcntl(reader.get(), F_GET_SEALS);
  if (seals < 0) return fail_errno(errno, view.object + ": reading its seals");
  if ((static_cast<unsigned>(seals) & ~kSeals) != 0) {
    ctx.refuse("memfd-seal", view.object, std::to_string(seals));
    return {};
  }
  state.set_name(without_deleted(view.link).substr(kPrefix.size()));
  state.set_seals(static_cast<uint32_t>(seals));
  state.set_size(static_cast<uint64_t>(view.st.st_size));
  state.set_mode(view.st.st_mode & 07777);
  state.set_uid(view.st.st_uid);
  state.set_gid(view.st.st_gid);
  if (state.size() != 0 && !ctx.inspecting()) {
    TRY(const uint32_t space, ctx.add_contents(std::move(reader), state.size()));
    state.set_space(space);
  }
  out.set_state(state.SerializeAsString());
  return {};
}

Result<void> add_seals(const pb::MemoryFile& state, const Fd& fd, unsigned seals) {
  if (seals != 0 && ::fcntl(fd.get(), F_ADD_SEALS, seals) != 0)
    return fail_errno(errno, "sealing memfd " + state.name());
  return {};
}

Result<Fd> restore(RestoreContext& ctx, const pb::OpenFile& file) {
  TRY(const auto state, parse_state<pb::MemoryFile>(file));
  if (state.same_as() != 0) {
    TRY(const Fd* first, ctx.file(state.same_as()));
    return reopen(ctx.proc_dir(), *first, open_flags(file));
  }
  TRY(Fd base, sys::memfd(state.name(), MFD_ALLOW_SEALING));
  TRY_DO(set_owner(base, state.uid(), state.gid(), state.mode()));
  if (::ftruncate(base.get(), static_cast<off_t>(state.size())) != 0) {
    return fail_errno(errno, "making a memfd " + std::to_string(state.size()) + " bytes long");
  }
  if (state.space() != 0) {
    TRY(const Fd* content, ctx.contents(state.space()));
    TRY_DO(fill(*content, base, state.size()));
    if (::lseek(base.get(), 0, SEEK_SET) < 0) return fail_errno(errno, "lseek");
  }
  TRY_DO(add_seals(state, base, state.seals() & ~kLateSeals));
  if ((file.flags() & O_ACCMODE) == O_RDWR && (file.flags() & O_PATH) == 0) return base;
  return reopen(ctx.proc_dir(), base, open_flags(file));
}

Result<void> connect(RestoreContext& ctx, const pb::OpenFile& file, const Fd& fd) {
  TRY(const auto state, parse_state<pb::MemoryFile>(file));
  if (state.same_as() != 0 || (state.seals() & kLateSeals) == 0) return {};
  TRY(Fd writer, reopen(ctx.proc_dir(), fd, O_RDWR));
  return add_seals(state, writer, state.seals() & kLateSeals);
}

}  // namespace

const FileKind kMemfdKind = {.name = "memfd",
                             .matches = matches,
                             .dump = dump,
                             .restore = restore,
                             .connect = connect,
                             .schema = "godwit.pod.v1.MemoryFile"};

}  // namespace godwit::pod
