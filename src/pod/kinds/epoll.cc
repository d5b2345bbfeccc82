// epoll(7) sets, nested ones too.
//
// An item's key is (file, number that it was added under). The number need not be a descriptor of the file any more: it may
// have been closed while a duplicate lives, or be another file by now. So:
//   * dump: fdinfo gives numbers; which file it is, kcmp(KCMP_EPOLL_TFD) decides. First guess: the same number in a
//     process that holds the set; else every descriptor of the tree is compared.
//   * restore: epoll_ctl() must be called with that number, which may be in use in this process. It is done in a child
//     that shares our memory but has its own copy of the descriptor table (vfork), where numbers can be overwritten.
//
// Not to be had again exactly, and harmless: an edge-triggered item is ready once more after the restore if its file is
// ready. A one-shot item that has fired is off (no event, also not POLLHUP); it is put off by letting it fire into our own
// hands. If its file has nothing to report, it stays on for POLLERR and POLLHUP only.
#include <fcntl.h>
#include <linux/kcmp.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <map>

#include "base/io.h"
#include "base/sys.h"
#include "godwit/pod_kinds_events.pb.h"
#include "pod/kinds/all.h"
#include "pod/kinds/common.h"

namespace godwit::pod {
namespace {

using namespace kinds;

constexpr uint32_t kPrivateBits = EPOLLET | EPOLLONESHOT | EPOLLWAKEUP | EPOLLEXCLUSIVE;

bool matches(const OpenFileView& view) { return view.link == "anon_inode:[eventpoll]"; }

struct Target {
  int fd;
  uint32_t events;
  uint64_t data;
  uint32_t index;  // among those with the same number, in the kernel's order
};

// "tfd:        5 events:       19 data:                5  pos:0 ino:61af sdev:7"
Result<std::vector<Target>> parse_targets(std::string_view fdinfo) {
  std::vector<Target> targets;
  std::map<int, uint32_t> seen;
  for (const std::string_view line : split(fdinfo, '\n')) {
    if (!line.starts_with("tfd:")) continue;
    const auto words = split(line, ' ');
    if (words.size() < 6 || words[2] != "events:" || words[4] != "data:") {
      return fail(Code::kFailed, "can't read the epoll line \"" + std::string(line) + "\"");
    }
    TRY(const uint64_t fd, parse_number(words[1], 10));
    TRY(const uint64_t events, parse_number(words[3], 16));
    TRY(const uint64_t data, parse_number(words[5], 16));
    const int number = static_cast<int>(fd);
    targets.push_back({number, static_cast<uint32_t>(events), data, seen[number]++});
  }
  return targets;
}

enum class Same { kYes, kNo, kUnknown };
Same is_target(const OpenFileView& view, const Target& target, pid_t host_pid, int fd) {
  kcmp_epoll_slot slot{static_cast<uint32_t>(view.ours.get()), static_cast<uint32_t>(target.fd), target.index};
  const long r = ::syscall(SYS_kcmp, host_pid, ::getpid(), KCMP_EPOLL_TFD, fd, &slot);
  if (r == 0) return Same::kYes;
  return r > 0 || errno == EBADF ? Same::kNo : Same::kUnknown;
}

Result<FileId> find_target(DumpContext& ctx, const OpenFileView& view, const Target& target) {
  const auto near = ctx.file_at(view.host_pid, target.fd);
  if (near) {
    const Same same = is_target(view, target, view.host_pid, target.fd);
    if (same != Same::kNo) return near;  // a kernel without kcmp: the number is all there is
  }
  FileId last = 0;
  for (const auto& d : ctx.descriptors()) {
    if (d.file == last) continue;
    last = d.file;
    if (is_target(view, target, d.host_pid, d.fd) == Same::kYes) return d.file;
  }
  return fail(Code::kNotFound, "no descriptor of the tree is it");
}

Result<void> dump(DumpContext& ctx, const OpenFileView& view, pb::OpenFile& out) {
  if (ctx.inspecting()) return {};
  TRY(const auto targets, parse_targets(view.fdinfo));
  pb::EpollSet state;
  for (const Target& target : targets) {
    const auto file = find_target(ctx, view, target);
    if (!file) {
      ctx.refuse("epoll-target", view.object, "added as fd " + std::to_string(target.fd));
      continue;
    }
    auto* item = state.add_items();
    item->set_file(*file);
    item->set_fd(target.fd);
    item->set_events(target.events);
    item->set_data(target.data);
  }
  out.set_state(state.SerializeAsString());
  return {};
}

Result<Fd> restore(RestoreContext&, const pb::OpenFile&) {
  const int fd = ::epoll_create1(EPOLL_CLOEXEC);
  if (fd < 0) return fail_errno(errno, "epoll_create1");
  return Fd(fd);
}

// The work of the child, prepared by the parent; the child allocates nothing.
struct Step {
  int target;  // our descriptor of the file
  int number;  // to name it by
  int operation;
  epoll_event event;
};
struct Plan {
  int set;
  int above;  // all numbers to be used are below this
  std::vector<Step> steps;
  std::vector<epoll_event> fired;  // room for what is taken out of the ready list afterwards; empty: nothing is
  int failed_number = -1;
  int error = 0;
};

[[noreturn]] void stop_child(Plan& plan, int number) {
  plan.error = errno;
  plan.failed_number = number;
  ::_exit(0);
}

[[noreturn, gnu::noinline]] void run_in_child(Plan& plan) {
  rlimit files{};
  ::getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &files);
  const int set = ::fcntl(plan.set, F_DUPFD_CLOEXEC, plan.above);
  if (set < 0) stop_child(plan, plan.above);
  for (Step& step : plan.steps) {  // out of the way of the numbers
    step.target = ::fcntl(step.target, F_DUPFD_CLOEXEC, plan.above);
    if (step.target < 0) stop_child(plan, plan.above);
  }
  for (Step& step : plan.steps) {
    if (::dup3(step.target, step.number, O_CLOEXEC) < 0 ||
        ::epoll_ctl(set, step.operation, step.number, &step.event) != 0) {
      stop_child(plan, step.number);
    }
  }
  if (!plan.fired.empty()) (void)::epoll_wait(set, plan.fired.data(), static_cast<int>(plan.fired.size()), 0);
  ::_exit(0);
}

Result<void> run(Plan& plan) {
  if (plan.steps.empty()) return {};
  const pid_t child = ::vfork();
  if (child == 0) run_in_child(plan);
  if (child < 0) return fail_errno(errno, "vfork");
  while (::waitpid(child, nullptr, 0) < 0 && errno == EINTR) {
  }
  if (plan.error == 0) return {};
  return fail_errno(plan.error, "adding fd " + std::to_string(plan.failed_number) + " to an epoll set");
}

// A number as large as an image may claim would make the kernel build a descriptor table of gibibytes.
constexpr int kLargestNumber = 1 << 24;

Result<Step> step_for(RestoreContext& ctx, const pb::EpollSet::Item& item) {
  if (item.fd() < 0 || item.fd() > kLargestNumber)
    return fail(Code::kCorrupt, "an epoll item with number " + std::to_string(item.fd()));
  TRY(const Fd* target, ctx.file(item.file()));
  Step step{target->get(), item.fd(), EPOLL_CTL_ADD, {}};
  step.event.events = item.events();
  step.event.data.u64 = item.data();
  return step;
}

bool is_off(uint32_t events) { return (events & EPOLLONESHOT) != 0 && (events & ~kPrivateBits) == 0; }

Result<void> connect(RestoreContext& ctx, const pb::OpenFile& file, const Fd& fd) {
  TRY(const auto state, parse_state<pb::EpollSet>(file));
  int above = 0;
  for (const auto& item : state.items()) above = std::max(above, std::min(item.fd(), kLargestNumber) + 1);

  // Those that are off first, while nothing else can be in the ready list: on for anything, and what is ready fires.
  Plan off{.set = fd.get(), .above = above};
  Plan rest{.set = fd.get(), .above = above};
  for (const auto& item : state.items()) {
    TRY(Step step, step_for(ctx, item));
    if (!is_off(item.events())) {
      rest.steps.push_back(step);
      continue;
    }
    step.event.events |= EPOLLIN | EPOLLOUT | EPOLLPRI | EPOLLRDHUP;
    off.steps.push_back(step);
  }
  if (!off.steps.empty()) {
    off.fired.resize(off.steps.size());
    const auto additions = off.steps;  // the child renumbers its own
    TRY_DO(run(off));
    TRY(const std::string info, io::read_file_at(ctx.proc_dir(), "self/fdinfo/" + std::to_string(fd.get())));
    TRY(const auto now, parse_targets(info));
    for (Step step : additions) {
      const bool still_on = std::ranges::any_of(now, [&](const Target& t) {
        return t.fd == step.number && t.data == step.event.data.u64 && !is_off(t.events);
      });
      if (!still_on) continue;
      step.operation = EPOLL_CTL_MOD;
      step.event.events &= kPrivateBits;
      rest.steps.push_back(step);
    }
  }
  return run(rest);
}

}  // namespace

const FileKind kEpollKind = {.name = "epoll",
                             .matches = matches,
                             .dump = dump,
                             .restore = restore,
                             .connect = connect,
                             .schema = "godwit.pod.v1.EpollSet"};

}  // namespace godwit::pod
