// eventfd(2): a counter.
#include <sys/eventfd.h>

#include "base/io.h"
#include "base/sys.h"
#include "godwit/pod_kinds_events.pb.h"
#include "pod/kinds/all.h"
#include "pod/kinds/common.h"

namespace godwit::pod {
namespace {

using namespace kinds;

bool matches(const OpenFileView& view) { return view.link == "anon_inode:[eventfd]"; }

Result<void> dump(DumpContext& ctx, const OpenFileView& view, pb::OpenFile& out) {
  TRY(const uint64_t count, fdinfo_number(view.fdinfo, "eventfd-count", 16));
  const auto semaphore = fdinfo_field(view.fdinfo, "eventfd-semaphore");
  if (!semaphore) {
    ctx.refuse("eventfd-unclear", view.object);
    return {};
  }
  pb::EventCounter state;
  state.set_count(count);
  state.set_semaphore(*semaphore == "1");
  out.set_state(state.SerializeAsString());
  return {};
}

Result<Fd> restore(RestoreContext&, const pb::OpenFile& file) {
  TRY(const auto state, parse_state<pb::EventCounter>(file));
  if (state.count() == UINT64_MAX) return fail(Code::kCorrupt, "an eventfd with a count that can't be");
  TRY(Fd fd, sys::eventfd(0, EFD_NONBLOCK | (state.semaphore() ? EFD_SEMAPHORE : 0)));
  if (const uint64_t count = state.count(); count != 0) {  // eventfd2() takes only 32 bits
    TRY_DO(io::write_full(fd.get(), std::as_bytes(std::span(&count, 1))));
  }
  return fd;
}

}  // namespace

const FileKind kEventfdKind = {
    .name = "eventfd", .matches = matches, .dump = dump, .restore = restore, .schema = "godwit.pod.v1.EventCounter"};

}  // namespace godwit::pod
