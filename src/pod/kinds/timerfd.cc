// timerfd_create(2). A timer is saved as the moment of its next expiry on the clock that the unit sees, and armed again
// after the commit; what would have expired meanwhile on that clock is counted then.
//
// Which clock a timer really runs on: an absolute one on its own; a relative one on CLOCK_REALTIME runs on
// CLOCK_MONOTONIC (hrtimer_init of the kernel), since setting the wall clock must not touch it.
//
// Not restored: that a TFD_TIMER_CANCEL_ON_SET timer was cancelled by a clock change that nobody has read yet.
#include <sys/ioctl.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/io.h"
#include "base/sys.h"
#include "godwit/pod_kinds_events.pb.h"
#include "pod/kinds/all.h"
#include "pod/kinds/common.h"

namespace godwit::pod {
namespace {

using namespace kinds;

constexpr unsigned long kSetTicks = _IOW('T', 0, uint64_t);  // TFD_IOC_SET_TICKS
constexpr int kLooks = 20;
constexpr int64_t kSecond = 1'000'000'000;

bool matches(const OpenFileView& view) { return view.link == "anon_inode:[timerfd]"; }

int64_t nanoseconds(const timespec& t) { return int64_t{t.tv_sec} * kSecond + t.tv_nsec; }
timespec to_timespec(int64_t ns) { return {ns / kSecond, ns % kSecond}; }

Result<void> dump(DumpContext& ctx, const OpenFileView& view, pb::OpenFile& out) {
  if (ctx.inspecting()) return {};
  // Two questions, and the timer runs on: one that goes off in between is in the count and still to come in the value, and
  // would go off twice. So the count is taken before and after, until nothing happened. Asking for the value also counts
  // what an interval timer missed since it first expired: before it, ticks and value don't fit.
  itimerspec value{};
  std::string info;
  const std::string path = "self/fdinfo/" + std::to_string(view.ours.get());
  uint64_t before = 0;
  for (int tries = 0; tries < kLooks; tries++) {  // one that goes off each microsecond is never caught at rest
    if (::timerfd_gettime(view.ours.get(), &value) != 0) return fail_errno(errno, view.object + ": timerfd_gettime");
    TRY(info, io::read_file_at(ctx.proc_dir(), path));
    TRY(const uint64_t now, fdinfo_number(info, "ticks", 10));
    if (now == before) break;
    before = now;
  }
  TRY(const uint64_t clock, fdinfo_number(info, "clockid", 10));
  TRY(const uint64_t flags, fdinfo_number(info, "settime flags", 8));
  TRY(const uint64_t ticks, fdinfo_number(info, "ticks", 10));

  pb::TimerDescriptor state;
  state.set_clock(static_cast<int32_t>(clock));
  state.set_settime_flags(static_cast<uint32_t>(flags));
  state.set_ticks(ticks);
  state.set_interval_ns(nanoseconds(value.it_interval));
  const bool relative_realtime = clock == CLOCK_REALTIME && (flags & TFD_TIMER_ABSTIME) == 0;
  state.set_expiry_clock(relative_realtime ? CLOCK_MONOTONIC : static_cast<int32_t>(clock));
  if (const int64_t left = nanoseconds(value.it_value); left != 0) {
    int64_t expiry = 0;  // a timer for the end of time stays one
    if (__builtin_add_overflow(ctx.clock(state.expiry_clock()).count(), left, &expiry)) expiry = INT64_MAX;
    state.set_expiry_ns(expiry);
  }
  out.set_state(state.SerializeAsString());
  return {};
}

Result<Fd> restore(RestoreContext&, const pb::OpenFile& file) {
  TRY(const auto state, parse_state<pb::TimerDescriptor>(file));
  if (state.interval_ns() < 0 || state.expiry_ns() < 0) return fail(Code::kCorrupt, "a timerfd with a negative time");
  const int fd = ::timerfd_create(state.clock(), TFD_CLOEXEC);
  if (fd < 0) return fail_errno(errno, "timerfd_create for clock " + std::to_string(state.clock()));
  return Fd(fd);
}

// The expiry as this process must say it: its clock may differ from the unit's by the unit's time namespace.
int64_t on_our_clock(RestoreContext& ctx, clockid_t clock, int64_t expiry) {
  int64_t ours = 0;
  return __builtin_add_overflow(expiry - ctx.clock(clock).count(), clock_now(clock).count(), &ours) ? INT64_MAX : ours;
}

Result<void> activate(RestoreContext& ctx, const pb::OpenFile& file, const Fd& fd) {
  TRY(const auto state, parse_state<pb::TimerDescriptor>(file));
  uint64_t ticks = state.ticks();
  itimerspec value{};
  value.it_interval = to_timespec(state.interval_ns());
  if (state.expiry_ns() != 0) {
    int64_t expiry = state.expiry_ns();
    const int64_t now = ctx.clock(state.expiry_clock()).count();
    if (expiry <= now && state.interval_ns() > 0) {  // an interval timer that went off while the unit stood
      const int64_t missed = (now - expiry) / state.interval_ns() + 1;
      ticks += static_cast<uint64_t>(missed);
      expiry += missed * state.interval_ns();
    }
    const bool absolute = (state.settime_flags() & TFD_TIMER_ABSTIME) != 0;
    // A zero value would disarm: what is due now expires one nanosecond from now.
    value.it_value = to_timespec(absolute ? std::max<int64_t>(on_our_clock(ctx, state.expiry_clock(), expiry), 1)
                                          : std::max<int64_t>(expiry - now, 1));
  }
  const int flags = static_cast<int>(state.settime_flags()) & (TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET);
  if (::timerfd_settime(fd.get(), flags, &value, nullptr) != 0) return fail_errno(errno, "timerfd_settime");
  // Setting a timer empties it, so the count comes last (CONFIG_CHECKPOINT_RESTORE, which every distribution sets).
  if (ticks != 0 && ::ioctl(fd.get(), kSetTicks, &ticks) != 0) return fail_errno(errno, "TFD_IOC_SET_TICKS");
  return {};
}

}  // namespace

const FileKind kTimerfdKind = {.name = "timerfd",
                               .matches = matches,
                               .dump = dump,
                               .restore = restore,
                               .activate = activate,
                               .schema = "godwit.pod.v1.TimerDescriptor"};

}  // namespace godwit::pod
