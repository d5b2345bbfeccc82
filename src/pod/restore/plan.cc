#include "pod/restore/plan.h"

namespace godwit::pod {

uint64_t Plan::put(std::span<const std::byte> data) {
  constexpr size_t kAlignment = 16;
  const uint64_t address = place();
  if (data.size() <= room()) (void)remote_.write_scratch(used_, data);
  used_ += (data.size() + kAlignment - 1) / kAlignment * kAlignment;
  return address;
}

Result<void> Plan::run() {
  const size_t used = std::exchange(used_, 0);
  Batch batch = std::exchange(batch_, {});
  const auto looks = std::exchange(looks_, {});
  if (used > kScratchSize)
    return fail(Code::kCorrupt, "data of " + std::to_string(used) + " bytes for one round of calls");
  if (!batch.empty()) TRY_DO(remote_.run(*thread_, batch));
  for (const auto& look : looks) TRY_DO(look(batch));
  return {};
}

Result<void> Plan::go_on_in(const Tracee& thread) {
  if (&thread == thread_) return {};
  TRY_DO(run());
  thread_ = &thread;
  return {};
}

}  // namespace godwit::pod
