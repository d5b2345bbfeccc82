// Which private memory may follow after the resume (lazy moves), and which must be there before.
#pragma once

#include <vector>

#include "godwit/pod.pb.h"
#include "pod/capture/capture.h"

namespace godwit::pod {

/// Splits the content pages of a frozen process: `now` is sent while it stands, `later` follows. Sorted, and no run of
/// `later` lies in two areas.
struct LateSplit {
  std::vector<PageRun> now, later;
};
Result<LateSplit> split_late(const ProcFs& proc, const SpaceSource& source, const pb::Process& process);

}  // namespace godwit::pod
