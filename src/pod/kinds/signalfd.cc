// signalfd(2): a signal mask. What it delivers are the pending signals of whoever reads it, so nothing else is its own.
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "godwit/pod_kinds_events.pb.h"
#include "pod/kinds/all.h"
#include "pod/kinds/common.h"

namespace godwit::pod {
namespace {

using namespace kinds;

bool matches(const OpenFileView& view) { return view.link == "anon_inode:[signalfd]"; }

Result<void> dump(DumpContext&, const OpenFileView& view, pb::OpenFile& out) {
  TRY(const uint64_t mask, fdinfo_number(view.fdinfo, "sigmask", 16));
  pb::SignalDescriptor state;
  state.set_mask(mask);
  out.set_state(state.SerializeAsString());
  return {};
}

Result<Fd> restore(RestoreContext&, const pb::OpenFile& file) {
  TRY(const auto state, parse_state<pb::SignalDescriptor>(file));
  const uint64_t mask = state.mask();
  const long fd = ::syscall(SYS_signalfd4, -1, &mask, sizeof mask, SFD_CLOEXEC);
  if (fd < 0) return fail_errno(errno, "signalfd4");
  return Fd(static_cast<int>(fd));
}

}  // namespace

const FileKind kSignalfdKind = {.name = "signalfd",
                                .matches = matches,
                                .dump = dump,
                                .restore = restore,
                                .schema = "godwit.pod.v1.SignalDescriptor"};

}  // namespace godwit::pod
