// System V semaphores, message queues and unattached segments. See sysv.h.
//
// A process's pending SEM_UNDO adjustments can't be read. But unshare(CLONE_SYSVSEM) applies and forgets them, as the
// process's end would: the values then show what they were, and one semop(2) with SEM_UNDO brings both back. All of it
// while everybody stands still. Threads share one list, which unshare would only leave: a program of several threads is
// refused if it was the last to use a semaphore.
//
// Not kept, because the kernel offers no way: the pids and times of the last operations.
#include <sched.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <set>
#include <vector>

#include "base/io.h"
#include "base/log.h"
#include "base/sys.h"
#include "godwit/pod.pb.h"
#include "godwit/pod_kinds_sysv.pb.h"
#include "pod/kinds/all.h"
#include "pod/kinds/sysv.h"
#include "pod/kinds/sysv_made.h"

namespace godwit::pod {
namespace {

constexpr int kMsgCopy = 040000;  // MSG_COPY, Linux 3.8
constexpr size_t kOpsAtOnce = 500;  // SEMOPM
constexpr int kMostSemaphores = 32000;  // SEMMSL

union SemArgument {
  int value;
  semid_ds* ds;
  unsigned short* array;
  seminfo* info;
};

void set_owner(const ipc_perm& p, int id, pb::SysvOwner& out) {
  out.set_id(id);
  out.set_key(p.__key);
  out.set_mode(p.mode & 0777);
  out.set_uid(p.uid);
  out.set_gid(p.gid);
}

// ---- whose is it?

class Users {
 public:
  explicit Users(DumpContext& ctx) : ctx_(ctx) {
    for (const pid_t pid : ctx.processes()) tree_.insert(pid);
    if (!tree_.empty()) {
      if (auto ns = sys::read_link_at(ctx.proc_dir(), std::to_string(*tree_.begin()) + "/ns/ipc")) namespace_ = *ns;
    }
  }
  /// The objects that this process sees are those of the tree.
  bool visible() const {
    const auto own = sys::read_link_at(ctx_.proc_dir(), "self/ns/ipc");
    return own && *own == namespace_;
  }
  /// Nobody but the tree and this process lives in its IPC namespace.
  bool alone() {
    if (ctx_.is_unit()) return true;
    if (!alone_) {
      alone_ = true;
      const auto names = sys::list_dir_at(ctx_.proc_dir(), ".");
      if (!names) return *(alone_ = false);
      for (const auto& name : *names) {
        pid_t pid = 0;
        const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), pid);
        if (error != std::errc() || end != name.data() + name.size() || tree_.contains(pid) || pid == ::getpid())
          continue;
        const auto ns = sys::read_link_at(ctx_.proc_dir(), name + "/ns/ipc");
        if (ns && *ns == namespace_) alone_ = false;
      }
    }
    return *alone_;
  }
  /// By the pids that the kernel remembers of an object; refuses it if outsiders are among them.
  bool is_ours(std::initializer_list<pid_t> users, const std::string& object) {
    if (alone()) return true;
    const bool ours = std::ranges::any_of(users, [&](pid_t p) { return tree_.contains(p); });
    const bool others = std::ranges::any_of(users, [&](pid_t p) {
      return p > 0 && !tree_.contains(p) && sys::stat_at(ctx_.proc_dir(), std::to_string(p)).has_value();
    });
    if (ours && others) ctx_.refuse("sysv-shared", object);
    return ours;
  }
  bool contains(pid_t pid) const { return tree_.contains(pid); }

 private:
  DumpContext& ctx_;
  std::set<pid_t> tree_;
  std::string namespace_;
  std::optional<bool> alone_;
};

// ---- dump

using Values = std::vector<unsigned short>;
Result<Values> values_of(int id, size_t count) {
  Values values(count);
  SemArgument a{.array = values.data()};
  if (::semctl(id, 0, GETALL, a) < 0) return fail_errno(errno, "reading semaphores " + std::to_string(id));
  return values;
}

Result<std::vector<pb::SysvSemaphores>> dump_semaphores(DumpContext& ctx, Users& users) {
  std::vector<pb::SysvSemaphores> out;
  seminfo info{};
  SemArgument a{.info = &info};
  const int highest = ::semctl(0, 0, SEM_INFO, a);
  for (int i = 0; i <= highest; ++i) {
    semid_ds ds{};
    SemArgument s{.ds = &ds};
    const int id = ::semctl(i, 0, SEM_STAT, s);
    if (id < 0) continue;
    bool ours = users.alone();
    for (unsigned n = 0; n < ds.sem_nsems && !ours; ++n) {
      ours = users.is_ours({::semctl(id, static_cast<int>(n), GETPID)}, "System V semaphores " + std::to_string(id));
    }
    if (!ours) continue;
    auto& set = out.emplace_back();
    set_owner(ds.sem_perm, id, *set.mutable_owner());
    TRY(const Values values, values_of(id, ds.sem_nsems));
    for (const auto v : values) set.add_values(v);
    if (ctx.inspecting()) continue;
  }
  return out;
}

bool last_user(pid_t host_pid, const std::vector<pb::SysvSemaphores>& sets) {
  return std::ranges::any_of(sets, [&](const pb::SysvSemaphores& set) {
    for (int n = 0; n < set.values_size(); ++n) {
      if (::semctl(set.owner().id(), n, GETPID) == host_pid) return true;
    }
    return false;
  });
}

// Brings back what unshare took: values and adjustments.
Result<void> redo(DumpContext& ctx, pid_t host_pid, int id, const std::vector<int>& adjustments) {
  std::vector<sembuf> operations;
  for (size_t n = 0; n < adjustments.size(); ++n) {
    if (adjustments[n] == 0) continue;
    operations.push_back({static_cast<unsigned short>(n), static_cast<short>(-adjustments[n]), SEM_UNDO | IPC_NOWAIT});
  }
  TRY(const uint64_t scratch, ctx.remote_scratch(host_pid));
  for (size_t at = 0; at < operations.size(); at += kOpsAtOnce) {
    const auto some = std::span(operations).subspan(at, std::min(kOpsAtOnce, operations.size() - at));
    TRY_DO(ctx.remote_write(host_pid, scratch, std::as_bytes(some)));
    const uint64_t arguments[] = {static_cast<uint64_t>(id), scratch, some.size()};
    TRY_DO(ctx.remote_call(host_pid, SYS_semop, arguments));
  }
  return {};
}

Result<void> dump_undo(DumpContext& ctx, pid_t host_pid, std::vector<pb::SysvSemaphores>& sets) {
  TRY(const auto threads, sys::list_dir_at(ctx.proc_dir(), std::to_string(host_pid) + "/task"));
  if (threads.size() > 1) {
    if (last_user(host_pid, sets)) ctx.refuse("sysv-undo", "pid " + std::to_string(host_pid));
    return {};
  }
  if (ctx.inspecting()) return {};
  TRY(const pid_t pid, ctx.pid_in_tree(host_pid));
  std::vector<Values> before;
  for (const auto& set : sets) {
    TRY(before.emplace_back(), values_of(set.owner().id(), static_cast<size_t>(set.values_size())));
  }
  const uint64_t arguments[] = {CLONE_SYSVSEM};
  TRY_DO(ctx.remote_call(host_pid, SYS_unshare, arguments));
  for (size_t i = 0; i < sets.size(); ++i) {
    TRY(const Values after, values_of(sets[i].owner().id(), before[i].size()));
    if (after == before[i]) continue;
    auto* undo = sets[i].add_undo();
    undo->set_pid(pid);
    std::vector<int> adjustments;
    for (size_t n = 0; n < after.size(); ++n) adjustments.push_back(int{after[n]} - int{before[i][n]});
    for (const int a : adjustments) undo->add_adjustments(a);
    TRY_DO(redo(ctx, host_pid, sets[i].owner().id(), adjustments));
  }
  return {};
}

Result<void> dump_messages(int id, size_t most, pb::SysvQueue& out) {
  struct Buffer {
    long type;
    char text[];
  };
  std::vector<long> storage(most / sizeof(long) + 2);
  auto* buffer = reinterpret_cast<Buffer*>(storage.data());
  for (long index = 0;; ++index) {
    const ssize_t n = ::msgrcv(id, buffer, most, index, kMsgCopy | IPC_NOWAIT);
    if (n < 0 && errno == ENOMSG) return {};
    if (n < 0) return fail_errno(errno, "reading message queue " + std::to_string(id));
    auto* message = out.add_messages();
    message->set_type(buffer->type);
    message->set_text(buffer->text, static_cast<size_t>(n));
  }
}

Result<void> dump_queues(DumpContext& ctx, Users& users, pb::SysvSection& out) {
  msginfo info{};
  const int highest = ::msgctl(0, MSG_INFO, reinterpret_cast<msqid_ds*>(&info));
  for (int i = 0; i <= highest; ++i) {
    msqid_ds ds{};
    const int id = ::msgctl(i, MSG_STAT, &ds);
    if (id < 0 || !users.is_ours({ds.msg_lspid, ds.msg_lrpid}, "System V message queue " + std::to_string(id)))
      continue;
    auto* queue = out.add_queues();
    set_owner(ds.msg_perm, id, *queue->mutable_owner());
    queue->set_max_bytes(ds.msg_qbytes);
    if (!ctx.inspecting()) TRY_DO(dump_messages(id, std::max<size_t>(ds.__msg_cbytes, 1), *queue));
  }
  return {};
}

// Segments that nobody has attached; those that are attached are found as memory.
Result<void> dump_segments(DumpContext& ctx, Users& users, pb::SysvSection& out) {
  shm_info info{};
  const int highest = ::shmctl(0, SHM_INFO, reinterpret_cast<shmid_ds*>(&info));
  for (int i = 0; i <= highest; ++i) {
    shmid_ds ds{};
    const int id = ::shmctl(i, SHM_STAT, &ds);
    if (id >= 0 && ds.shm_nattch != 0) out.set_attached(true);
    if (id < 0 || ds.shm_nattch != 0) continue;
    const std::string object = "System V segment " + std::to_string(id);
    if (!users.is_ours({ds.shm_cpid, ds.shm_lpid}, object)) continue;
    TRY(const std::string text, describe_sysv_segment(id));
    auto* s = out.add_segments();
    s->ParseFromString(text);
    if (ctx.inspecting()) continue;
    const void* memory = ::shmat(id, nullptr, SHM_RDONLY);
    if (memory == reinterpret_cast<void*>(-1)) return fail_errno(errno, "attaching " + object);
    const uint64_t size = (s->size() + 4095) & ~uint64_t{4095};
    auto copy = [&]() -> Result<uint32_t> {
      TRY(Fd file, sys::memfd("godwit-sysv"));
      TRY_DO(io::write_full(file.get(), std::span(static_cast<const std::byte*>(memory), size)));
      return ctx.add_contents(std::move(file), size);
    }();
    ::shmdt(memory);
    TRY_DO(copy);
    s->set_contents(*copy);
  }
  return {};
}

Result<std::string> dump(DumpContext& ctx) {
  Users users(ctx);
  if (!users.visible()) return std::string();
  pb::SysvSection out;
  TRY_DO(dump_segments(ctx, users, out));
  TRY_DO(dump_queues(ctx, users, out));
  TRY(auto sets, dump_semaphores(ctx, users));
  if (!sets.empty()) {
    for (const pid_t pid : ctx.processes()) TRY_DO(dump_undo(ctx, pid, sets));
  }
  for (auto& set : sets) *out.add_semaphores() = std::move(set);
  return out.SerializeAsString();
}

// ---- restore

Result<void> restore_semaphores(RestoreContext& ctx, const pb::SysvSemaphores& set) {
  if (set.values().empty() || set.values_size() > kMostSemaphores)
    return fail(Code::kCorrupt, "a set of semaphores without any");
  const int id = set.owner().id();
  semid_ds ds{};
  SemArgument a{.ds = &ds};
  const bool left = ::semctl(id, 0, IPC_STAT, a) >= 0 && ds.sem_perm.__key == set.owner().key() &&
                    ds.sem_nsems == static_cast<unsigned>(set.values_size());
  if (!left) {
    TRY(const int made, make_with_id(ctx, "sem_next_id", id, [&] {
          return ::semget(set.owner().key(), set.values_size(),
                          IPC_CREAT | IPC_EXCL | static_cast<int>(set.owner().mode()));
        }));
    sysv_made(ctx).undo.push_back([made] { ::semctl(made, 0, IPC_RMID); });
    if (made != id) return fail(Code::kFailed, "System V semaphores " + std::to_string(id) + " are taken here");
    if (::semctl(id, 0, IPC_STAT, a) < 0) return fail_errno(errno, "looking at new semaphores");
  }
  ds.sem_perm.uid = set.owner().uid();
  ds.sem_perm.gid = set.owner().gid();
  ds.sem_perm.mode = static_cast<unsigned short>(set.owner().mode());
  if (::semctl(id, 0, IPC_SET, a) < 0) log::warn("the owner of System V semaphores {} isn't kept", id);
  return {};
}

// Values such that the operations with SEM_UNDO, made by the processes themselves, end at what they were.
Result<void> connect_semaphores(RestoreContext& ctx, const pb::SysvSemaphores& set) {
  const int id = set.owner().id();
  std::vector<int> start(set.values().begin(), set.values().end());
  for (const auto& undo : set.undo()) {
    if (undo.adjustments_size() != set.values_size()) return fail(Code::kCorrupt, "semaphore adjustments");
    for (int n = 0; n < undo.adjustments_size(); ++n) start[static_cast<size_t>(n)] += undo.adjustments(n);
  }
  Values values;
  for (const int v : start) values.push_back(static_cast<unsigned short>(std::clamp(v, 0, 32767)));
  SemArgument a{.array = values.data()};
  if (::semctl(id, 0, SETALL, a) < 0) return fail_errno(errno, "setting System V semaphores " + std::to_string(id));
  for (const auto& undo : set.undo()) {
    std::vector<sembuf> operations;
    for (int n = 0; n < undo.adjustments_size(); ++n) {
      if (undo.adjustments(n) == 0) continue;
      operations.push_back(
          {static_cast<unsigned short>(n), static_cast<short>(-undo.adjustments(n)), SEM_UNDO | IPC_NOWAIT});
    }
    TRY(const uint64_t scratch, ctx.remote_scratch(undo.pid()));
    for (size_t at = 0; at < operations.size(); at += kOpsAtOnce) {
      const auto some = std::span(operations).subspan(at, std::min(kOpsAtOnce, operations.size() - at));
      TRY_DO(ctx.remote_write(undo.pid(), scratch, std::as_bytes(some)));
      const uint64_t arguments[] = {static_cast<uint64_t>(id), scratch, some.size()};
      TRY_DO(ctx.remote_call(undo.pid(), SYS_semop, arguments));
    }
  }
  return {};
}

Result<void> restore_queue(RestoreContext& ctx, const pb::SysvQueue& queue) {
  const int id = queue.owner().id();
  msqid_ds ds{};
  const bool left = ::msgctl(id, IPC_STAT, &ds) == 0 && ds.msg_perm.__key == queue.owner().key();
  if (left) {  // what the source left: its messages are those of the state, or later ones
    std::vector<long> storage(ds.__msg_cbytes / sizeof(long) + 2);
    while (::msgrcv(id, storage.data(), ds.__msg_cbytes, 0, IPC_NOWAIT | MSG_NOERROR) >= 0) {
    }
  } else {
    TRY(const int made, make_with_id(ctx, "msg_next_id", id, [&] {
          return ::msgget(queue.owner().key(), IPC_CREAT | IPC_EXCL | static_cast<int>(queue.owner().mode()));
        }));
    sysv_made(ctx).undo.push_back([made] { ::msgctl(made, IPC_RMID, nullptr); });
    if (made != id) return fail(Code::kFailed, "System V message queue " + std::to_string(id) + " is taken here");
  }
  if (::msgctl(id, IPC_STAT, &ds) != 0) return fail_errno(errno, "looking at a new message queue");
  ds.msg_perm.uid = queue.owner().uid();
  ds.msg_perm.gid = queue.owner().gid();
  ds.msg_perm.mode = static_cast<unsigned short>(queue.owner().mode());
  ds.msg_qbytes = queue.max_bytes();
  if (::msgctl(id, IPC_SET, &ds) != 0) log::warn("owner or size of System V message queue {} isn't kept", id);
  for (const auto& message : queue.messages()) {
    std::vector<long> storage(message.text().size() / sizeof(long) + 2);
    storage[0] = message.type();
    std::ranges::copy(message.text(), reinterpret_cast<char*>(storage.data() + 1));
    if (::msgsnd(id, storage.data(), message.text().size(), IPC_NOWAIT) != 0) {
      return fail_errno(errno, "refilling message queue " + std::to_string(id));
    }
  }
  return {};
}

Result<pb::SysvSection> parse(const std::string& state) {
  pb::SysvSection section;
  if (!section.ParseFromString(state)) return fail(Code::kCorrupt, "the section of System V objects can't be parsed");
  return section;
}

Result<void> restore(RestoreContext& ctx, const std::string& state) {
  TRY(const auto section, parse(state));
  for (const auto& set : section.semaphores()) TRY_DO(restore_semaphores(ctx, set));
  for (const auto& queue : section.queues()) TRY_DO(restore_queue(ctx, queue));
  return {};
}

Result<void> connect(RestoreContext& ctx, const std::string& state) {
  TRY(const auto section, parse(state));
  for (const auto& set : section.semaphores()) TRY_DO(connect_semaphores(ctx, set));
  for (const auto& segment : section.segments()) {
    TRY(const Fd* contents, ctx.contents(segment.contents()));
    TRY(const auto made, create_sysv_segment(ctx, segment.SerializeAsString(), segment.size()));
    auto filled = io::pread_full(contents->get(), std::span(made.memory, segment.size()), 0);
    ::shmdt(made.memory);
    TRY_DO(filled);
  }
  return {};
}

Result<void> activate(RestoreContext& ctx, const std::string&) {
  SysvMade& made = sysv_made(ctx);
  made.kept = true;
  for (const auto& action : made.at_activate) action();
  return {};
}

}  // namespace

const SectionKind kSysvSection = {.name = "sysv",
                                  .dump = dump,
                                  .restore = restore,
                                  .connect = connect,
                                  .activate = activate,
                                  .schema = "godwit.pod.v1.SysvSection"};

}  // namespace godwit::pod
