// Blank processes: the tree's shape, its PIDs and sessions. See restorer.h.
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>

#include "base/sys.h"
#include "pod/kernel_abi.h"
#include "pod/kinds/tty.h"
#include "pod/restore/restorer.h"

namespace godwit::pod {
namespace {

constexpr unsigned long kOptions =
    PTRACE_O_EXITKILL | PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACESYSGOOD;
constexpr uint64_t kUserEnd = 0x7fff'ffff'f000;

// What a process cloned straight from this one runs until it is seized: only system calls, no memory.
[[noreturn]] void wait_to_be_seized() {
  for (;;) {
    long r;
    asm volatile("syscall" : "=a"(r) : "a"(SYS_pause) : "rcx", "r11", "memory");
  }
}

}  // namespace

Restorer::Blank* Restorer::find(pid_t pid) {
  const auto it = std::ranges::find_if(blanks_, [&](const auto& b) { return b->pid == pid; });
  return it == blanks_.end() ? nullptr : it->get();
}

Result<void> Restorer::start_trampoline(const pb::Outline& outline) {
  std::vector<MapEntry> avoid;
  for (const auto& space : outline.spaces()) {
    for (const auto& area : space.areas()) {
      MapEntry m;
      m.start = area.start();
      m.end = area.end();
      avoid.push_back(std::move(m));
    }
  }
  TRY(auto trampoline, SharedTrampoline::map(avoid));
  trampoline_.emplace(std::move(trampoline));
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
  TRY(auto pair, sys::socketpair(AF_UNIX, SOCK_SEQPACKET));
  // The number must be above every descriptor of the unit; map_pieces and install_descriptors rely on a table that is
  // empty below it. And not far above: a table stays as long as it once was. One of 65536 entries is half a MiB, and each look at
  // what is open goes through all of it (75 us). A unit that opens many more before it is frozen: raise_channel().
  constexpr uint32_t kLeast = 256;
  highest_channel_ = static_cast<int>(std::min<rlim_t>(limit.rlim_max, 65536)) - 1;
  channel_number_ = highest_channel_;
  if (const uint32_t below = outline.descriptors_below(); below != 0 && below < 65536 / 4)
    channel_number_ = std::min(channel_number_, static_cast<int>(std::bit_ceil(std::max(kLeast, 2 * below))) - 1);
  TRY(Fd high, sys::dup_at_least(pair.second.get(), channel_number_));
  channel_number_ = high.get();
  channel_ours_ = std::move(pair.first);
  if (options_.init_host_pid == 0 && init_starter_) {
    TRY(options_.init_host_pid, init_starter_(channel_number_));
  }
  if (options_.init_host_pid != 0) {
    TRY_DO(adopt_init());
  } else {
    channel_theirs_ = std::move(high);
  }
  return {};
}

Result<Restorer::Blank*> Restorer::adopt_init() {
  auto blank = std::make_unique<Blank>();
  blank->pid = 1;
  blank->host_pid = options_.init_host_pid;
  blank->is_init = true;
  Tracee tracee(blank->host_pid);
  TRY_DO(tracee.seize(kOptions));
  TRY_DO(tracee.wait_for_stop(2000));
  TRY_DO(tracee.hold());
  cpu_ = ::sched_getcpu();
  tracee.pin(cpu_);
  blank->threads.push_back(std::move(tracee));
  blank->remote = std::make_unique<Remote>(Remote::inherited(blank->host_pid, *trampoline_));
  TRY(const auto status, proc_.status(blank->host_pid));
  blank->session = blank->wanted_session = status.ns_sid.back();
  blanks_.push_back(std::move(blank));
  return blanks_.back().get();
}

// Clones in `creator` (stopped) by clone3 with set_tid, and waits until the child stands in its first stop.
Result<pid_t> Restorer::remote_clone(Blank& creator, pid_t set_tid, uint64_t flags, int exit_signal) {
  std::byte* scratch = creator.remote->local_scratch();
  abi::CloneArgs args{};
  args.flags = flags;
  args.exit_signal = static_cast<uint64_t>(exit_signal);
  args.set_tid = raw(creator.remote->scratch()) + sizeof args;
  args.set_tid_size = 1;
  std::memcpy(scratch, &args, sizeof args);
  std::memcpy(scratch + sizeof args, &set_tid, sizeof set_tid);
  const uint64_t arguments[] = {raw(creator.remote->scratch()), sizeof args};
  TRY(int status, creator.remote->start_single(creator.leader(), SYS_clone3, arguments));
  if (status >> 16 == 0) {
    TRY(const auto regs, creator.leader().get_regs());
    TRY_DO(Remote::check(SYS_clone3, static_cast<int64_t>(regs.rax)));
    return fail(Code::kFailed, "clone3 gave no event");
  }
  unsigned long message = 0;
  if (::ptrace(PTRACE_GETEVENTMSG, creator.leader().tid(), nullptr, &message) < 0)
    return fail_errno(errno, "PTRACE_GETEVENTMSG");
  const auto child = static_cast<pid_t>(message);
  TRY_DO(wait_for(child));
  TRY(status, creator.leader().cont_and_wait(PTRACE_CONT));  // on to the int3 behind the call
  return child;
}

// Leaves a fresh process with the trampoline, the channel and nothing else.
Result<void> Restorer::make_blank(Blank& blank, bool from_engine) {
  ::ptrace(PTRACE_SETOPTIONS, blank.host_pid, nullptr, reinterpret_cast<void*>(kOptions | abi::kPtraceOSuspendSeccomp));
  blank.remote = std::make_unique<Remote>(Remote::inherited(blank.host_pid, *trampoline_));
  Batch batch;
  if (from_engine) {
    // The registration of the C library's rseq area must go before the area does (rseq(2): a fault there kills).
    abi::RseqConfiguration rseq{};
    if (::ptrace(abi::kPtraceGetRseqConfiguration, blank.host_pid, sizeof rseq, &rseq) > 0 && rseq.pointer != 0) {
      batch.must("unregistering rseq", SYS_rseq, rseq.pointer, rseq.size, 1, rseq.signature);
    }
    batch.must("clearing the robust list", SYS_set_robust_list, 0, 24);
    batch.add(SYS_set_tid_address, 0);
    batch.add(SYS_prctl, PR_SET_PDEATHSIG, 0, 0, 0, 0);
    // Here and not in set_actions(): its children are born with them, and the unit still runs elsewhere.
    const abi::KernelSigaction by_default{};
    std::memcpy(blank.remote->local_scratch(), &by_default, sizeof by_default);
    for (int s = 1; s <= 64; s++) {
      if (s != SIGKILL && s != SIGSTOP)
        batch.must("default signal actions", SYS_rt_sigaction, s, raw(blank.remote->scratch()), 0, 8);
    }
    batch.must("closing below the channel", SYS_close_range, 0, channel_number_ - 1, 0);
    batch.must("closing above the channel", SYS_close_range, channel_number_ + 1, ~0u, 0);
  }
  const uint64_t trampoline = raw(blank.remote->base());
  batch.must("unmapping below the trampoline", SYS_munmap, 0, trampoline);
  batch.must("unmapping above the trampoline", SYS_munmap, trampoline + kTrampolineSize,
             kUserEnd - trampoline - kTrampolineSize);
  return blank.remote->run(blank.leader(), batch);
}

Result<Restorer::Blank*> Restorer::clone_root(const pb::OutlineProcess& wanted) {
  pid_t set_tid = wanted.pid();
  abi::CloneArgs args{};
  args.exit_signal = SIGCHLD;
  args.set_tid = reinterpret_cast<uint64_t>(&set_tid);
  args.set_tid_size = 1;
  const long child = ::syscall(SYS_clone3, &args, sizeof args);
  if (child == 0) wait_to_be_seized();
  if (child < 0) {
    const int e = errno;
    if (e == EEXIST)
      return fail(Code::kRefused, "pid " + std::to_string(wanted.pid()) + " is in use here: restore with --pids new");
    return fail_errno(e, "clone3 of pid " + std::to_string(wanted.pid()));
  }
  auto blank = std::make_unique<Blank>();
  blank->pid = wanted.pid();
  blank->host_pid = static_cast<pid_t>(child);
  blank->session = ::getsid(0);
  blank->wanted_session = wanted.sid();
  blank->terminal = wanted.terminal();
  Tracee tracee(blank->host_pid);
  TRY_DO(tracee.seize(kOptions));
  TRY_DO(tracee.wait_for_stop(2000));
  TRY_DO(tracee.hold());
  blank->threads.push_back(std::move(tracee));
  blanks_.push_back(std::move(blank));
  TRY_DO(make_blank(*blanks_.back(), true));
  return blanks_.back().get();
}

Result<Restorer::Blank*> Restorer::clone_from(Blank& creator, const pb::OutlineProcess& wanted, Memory memory) {
  const int exit_signal = wanted.exit_signal() > 0 ? wanted.exit_signal() : SIGCHLD;
  uint64_t flags = memory == Memory::kShared ? CLONE_VM : 0;
  if (wanted.shares_files_with() != 0 && wanted.shares_files_with() == creator.pid) flags |= CLONE_FILES;
  if (wanted.shares_fs_with() != 0 && wanted.shares_fs_with() == creator.pid) flags |= CLONE_FS;
  auto child = remote_clone(creator, wanted.pid(), flags, exit_signal);
  if (!child) {
    if (child.error().errnum == EEXIST) {
      return fail(Code::kRefused, "pid " + std::to_string(wanted.pid()) + " is in use here: restore with --pids new");
    }
    return std::unexpected(child.error().in("making pid " + std::to_string(wanted.pid())));
  }
  auto blank = std::make_unique<Blank>();
  blank->pid = wanted.pid();
  blank->host_pid = *child;
  blank->parent = creator.pid;
  blank->session = creator.session;
  blank->wanted_session = wanted.sid();
  blank->terminal = wanted.terminal();
  blank->zombie = wanted.zombie();
  blank->threads.push_back(Tracee::adopt(*child));
  TRY_DO(blank->leader().hold());
  const bool from_engine = creator.is_init;
  blanks_.push_back(std::move(blank));
  Blank& made = *blanks_.back();
  if (memory == Memory::kShared)
    made.remote = std::make_unique<Remote>(Remote::inherited(made.host_pid, *trampoline_));
  else
    TRY_DO(make_blank(made, from_engine));
  if (wanted.child_subreaper()) TRY_DO(made.remote->call(made.leader(), SYS_prctl, PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0));
  return &made;
}

Result<void> Restorer::start_session(Blank& blank) {
  TRY_DO(blank.remote->call(blank.leader(), SYS_setsid));
  blank.session = blank.pid;
  // Before it has children: they inherit the controlling terminal, and can get it in no other way.
  if (blank.terminal != 0) TRY_DO(give_terminal(*this, blank.pid, blank.terminal - 1));
  return {};
}

// Children that were born before their parent called setsid() are in its old session, the others in the new one.
Result<void> Restorer::build_children(Blank& parent, const pb::Outline& outline) {
  const bool leads = parent.wanted_session == parent.pid;
  auto in_tree = [&](pid_t session) {
    return std::ranges::any_of(outline.processes(),
                               [&](const auto& p) { return p.sid() == session && p.pid() == session; });
  };
  auto create_matching = [&](bool before_setsid) -> Result<void> {
    for (const auto& wanted : outline.processes()) {
      if (wanted.is_init() || find(wanted.pid()) != nullptr) continue;
      const bool child_of = wanted.ppid() == parent.pid || (parent.is_init && wanted.ppid() == 0);
      if (!child_of) continue;
      const bool own_session = wanted.sid() == wanted.pid();
      // A session whose leader lies outside of the tree stands for whatever session the restored tree is born in.
      const bool foreign =
          !own_session && !in_tree(wanted.sid()) && (wanted.sid() == 0 || wanted.sid() == parent.wanted_session);
      const bool joins = wanted.sid() == parent.session;
      if (before_setsid ? (joins && !own_session) : (own_session || joins || foreign))
        TRY_DO(clone_from(parent, wanted));
    }
    return {};
  };
  if (leads && parent.session != parent.pid) {
    TRY_DO(create_matching(true));
    TRY_DO(start_session(parent));
  }
  TRY_DO(create_matching(false));
  std::vector<Blank*> children;
  for (const auto& b : blanks_) {
    if (b->parent == parent.pid && b.get() != &parent && !b->is_init) children.push_back(b.get());
  }
  for (Blank* child : children) TRY_DO(build_children(*child, outline));
  return {};
}

Result<void> Restorer::end_helper(Blank& parent, pid_t helper) {
  // Its death is reported to us first, then to its parent, which must not keep it as a zombie.
  int status = 0;
  ::kill(helper, SIGKILL);
  while (::waitpid(helper, &status, __WALL) == helper && WIFSTOPPED(status)) {
  }
  TRY_DO(parent.remote->call(parent.leader(), SYS_wait4, -1, 0, __WALL, 0));
  return {};
}

// Whose child an orphan of `wanted`'s parent becomes when its own, a child of `from`, dies (kernel/exit.c, find_new_reaper): init's
// where no process on the way up adopts. That the wanted parent does is known by the orphan; what an outline of a running tree
// says of it isn't.
const Restorer::Blank* Restorer::reaper_above(const Blank& from, pid_t adopting, const pb::Outline& outline) {
  for (const Blank* at = &from; at != nullptr; at = find(at->parent)) {
    const auto adopts = [&](const auto& p) { return p.pid() == at->pid && p.child_subreaper(); };
    if (at->is_init || at->pid == adopting || std::ranges::any_of(outline.processes(), adopts)) return at;
  }
  return blanks_.front()->is_init ? blanks_.front().get() : nullptr;
}

// Somebody in the session, the leader rather than others, whose orphaned grandchildren become the parent's.
Restorer::Blank* Restorer::creator_in_session(const pb::OutlineProcess& wanted, const pb::Outline& outline) {
  Blank* leader = find(wanted.sid());
  const Blank* parent = wanted.ppid() != 0 ? find(wanted.ppid()) : blanks_.front().get();
  if (leader != nullptr && reaper_above(*leader, wanted.ppid(), outline) == parent) return leader;
  for (const auto& b : blanks_) {
    if (b->session == wanted.sid() && !b->is_init && !b->zombie && reaper_above(*b, wanted.ppid(), outline) == parent)
      return b.get();
  }
  return leader;
}

// A process whose parent isn't in its session: its true parent has died. It is born again through a helper, forked by
// somebody in the session, that dies and leaves it to the nearest reaper. If nobody is left in the session, the helper is its
// dead leader, born of the reaper itself.
Result<void> Restorer::build_orphan(const pb::OutlineProcess& wanted, const pb::Outline& outline) {
  Blank* creator = creator_in_session(wanted, outline);
  const bool leader_is_gone = creator == nullptr;
  Blank* reaper = wanted.ppid() != 0 ? find(wanted.ppid()) : blanks_.front().get();
  if (leader_is_gone) creator = reaper;
  // For now; restore_process() sets what it had.
  if (!reaper->is_init) TRY_DO(reaper->remote->call(reaper->leader(), SYS_prctl, PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0));
  // Helpers need PIDs that nobody will want.
  pid_t helper_pid = leader_is_gone ? wanted.sid() : 29'000;
  while (!leader_is_gone && std::ranges::any_of(outline.processes(), [&](const auto& p) {
    return p.pid() == helper_pid || p.sid() == helper_pid || p.pgid() == helper_pid;
  })) {
    helper_pid++;
  }
  pb::OutlineProcess helper_wanted;
  helper_wanted.set_pid(helper_pid);
  helper_wanted.set_sid(wanted.sid());
  TRY(Blank * helper, clone_from(*creator, helper_wanted));
  if (leader_is_gone) TRY_DO(start_session(*helper));
  TRY(Blank * made, clone_from(*helper, wanted));
  helper->leader().forget();
  const pid_t helper_host = helper->host_pid;
  std::erase_if(blanks_, [&](const auto& b) { return b->pid == helper_pid; });
  TRY_DO(end_helper(*creator, helper_host));
  TRY(const auto stat, proc_.stat(made->host_pid));
  const auto* parent = find(wanted.ppid());
  if (parent != nullptr && stat.ppid != parent->host_pid) {
    return fail(Code::kFailed,
                "pid " + std::to_string(wanted.pid()) + " can't be given its parent " + std::to_string(wanted.ppid()));
  }
  made->parent = wanted.ppid();
  return build_children(*made, outline);
}

// Processes that ended since the last outline, and those whose place in the tree changed.
Result<void> Restorer::remove_missing(const pb::Outline& outline) {
  for (size_t i = blanks_.size(); i-- > 0;) {
    Blank& blank = *blanks_[i];
    if (blank.is_init) continue;
    const auto wanted = std::ranges::find_if(outline.processes(), [&](const auto& p) { return p.pid() == blank.pid; });
    const bool same = wanted != outline.processes().end() && wanted->sid() == blank.wanted_session &&
                      wanted->terminal() == blank.terminal &&
                      (wanted->ppid() == blank.parent || (wanted->ppid() == 1 && blank.parent <= 1) ||
                       (wanted->ppid() == 0 && blank.parent <= 1));
    if (same) {
      blank.zombie = wanted->zombie();
      continue;
    }
    const bool has_children =
        std::ranges::any_of(blanks_, [&](const auto& b) { return b->parent == blank.pid && b.get() != &blank; });
    if (has_children || wanted != outline.processes().end()) {
      return fail(Code::kChanged,
                  "the process tree changed its shape while it was moved (pid " + std::to_string(blank.pid) + ")");
    }
    Blank* parent = find(blank.parent);
    const pid_t host = blank.host_pid;
    const SpaceId space = blank.space;
    blank.leader().forget();
    blanks_.erase(blanks_.begin() + static_cast<ptrdiff_t>(i));
    {
      const std::unique_lock lock(targets_mutex_);
      targets_.erase(space);
    }
    if (parent != nullptr) {
      TRY_DO(end_helper(*parent, host));
    } else {
      ::kill(host, SIGKILL);
      (void)wait_for(host);
    }
  }
  return {};
}

Result<void> Restorer::build_tree(const pb::Outline& outline) {
  TRY_DO(remove_missing(outline));
  if (options_.init_host_pid == 0 && blanks_.empty()) {
    if (outline.processes().empty()) return fail(Code::kCorrupt, "an outline without processes");
    TRY_DO(clone_root(outline.processes(0)));
    channel_theirs_.reset();
  }
  TRY_DO(build_children(*blanks_.front(), outline));
  for (int pass = 0; pass < outline.processes().size(); pass++) {
    bool missing = false;
    for (const auto& wanted : outline.processes()) {
      if (wanted.is_init() || find(wanted.pid()) != nullptr) continue;
      if (find(wanted.ppid()) == nullptr && wanted.ppid() != 0) {
        missing = true;  // its parent is an orphan that comes later in the list
        continue;
      }
      TRY_DO(build_orphan(wanted, outline));
    }
    if (!missing) break;
  }
  for (const auto& wanted : outline.processes()) {
    if (!wanted.is_init() && find(wanted.pid()) == nullptr) {
      return fail(Code::kCorrupt, "pid " + std::to_string(wanted.pid()) + " has no parent in the tree");
    }
  }
  return {};
}

}  // namespace godwit::pod
