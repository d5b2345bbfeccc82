// Locks on files: flock(2), fcntl(2) POSIX and open-file-description locks, leases. /proc/PID/fdinfo lists them:
// flock, OFD locks and leases belong to the description; POSIX locks belong to (process, inode), but show only at the
// description that they were taken through, which is still open, since closing it would have released them.
//
// They are taken when the unit is about to run (activate): on a file system that both hosts see, or on one machine, the
// frozen source holds them until it has heard of the commit. So taking one waits for it, bounded. flock and OFD locks can
// be taken through the engine's own descriptor of the same description; POSIX locks and leases name the process that
// asks, so the process itself is made to ask.
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <set>
#include <thread>
#include <tuple>

#include "base/clock.h"
#include "base/io.h"
#include "base/sys.h"
#include "godwit/pod_kinds_locks.pb.h"
#include "pod/kinds/all.h"
#include "pod/kinds/common.h"

namespace godwit::pod {
namespace {

using namespace kinds;
using std::chrono::milliseconds;

constexpr Nanos kLongestWait = std::chrono::seconds(10);

// "lock:  1: POSIX  ADVISORY  WRITE 4242 fd:01:123456 0 EOF", lock_get_status() of the kernel.
struct LockLine {
  pb::FileLock::Type type;
  bool exclusive;
  bool breaking;
  uint64_t start, length;  // length 0: to the end of the file
};
Result<LockLine> parse_lock(std::string_view line) {
  std::string spaced(line);
  std::ranges::replace(spaced, '\t', ' ');
  const auto words = split(spaced, ' ');
  const auto odd = [&] { return fail(Code::kFailed, "can't read the lock line \"" + std::string(line) + "\""); };
  if (words.size() < 9) return odd();
  LockLine lock{};
  if (words[2] == "FLOCK")
    lock.type = pb::FileLock::FLOCK;
  else if (words[2] == "POSIX")
    lock.type = pb::FileLock::POSIX;
  else if (words[2] == "OFDLCK")
    lock.type = pb::FileLock::OFD;
  else if (words[2] == "LEASE")
    lock.type = pb::FileLock::LEASE;
  else
    return odd();
  lock.breaking = words[3] == "BREAKING" || words[3] == "BREAKER";
  if (words[4] != "READ" && words[4] != "WRITE" && !lock.breaking) return odd();
  lock.exclusive = words[4] == "WRITE";
  TRY(lock.start, parse_number(words[7], 10));
  if (words[8] != "EOF") {
    TRY(const uint64_t last, parse_number(words[8], 10));
    if (last < lock.start) return odd();
    lock.length = last - lock.start + 1;
  }
  return lock;
}

class Collector {
 public:
  explicit Collector(DumpContext& ctx) : ctx_(ctx) {}

  Result<void> look_at(const HeldDescriptor& d) {
    // A directory can be flock'ed. An O_PATH descriptor can have no lock.
    if ((!S_ISREG(d.mode) && !S_ISDIR(d.mode)) || (d.flags & O_PATH) != 0) return {};
    const auto [file, is_new] = files_.try_emplace(d.file, false);
    if (is_new) file->second = may_have_process_locks(d);
    if (!file->second) return is_new ? add_all(d, *d.fdinfo) : Result<void>{};
    const auto info = io::read_file_at(ctx_.proc_dir(), std::to_string(d.host_pid) + "/fdinfo/" + std::to_string(d.fd));
    return info ? add_all(d, *info) : Result<void>{};  // inspecting: closed meanwhile
  }
  Result<std::string> finish() { return locks_.locks().empty() ? std::string() : locks_.SerializeAsString(); }

 private:
  // One lock as seen from duplicates of its descriptor. A POSIX lock is also the process's.
  using Key = std::tuple<int, FileId, pid_t, uint64_t, uint64_t, bool>;

  // A tree of a hundred processes holds one log file by some hundred descriptors, hardly ever with a lock. A description
  // is in the way of every POSIX lock, of whatever process (F_OFD_GETLK, fcntl(2)): where there is none, it is enough to
  // have seen the file once.
  static bool may_have_process_locks(const HeldDescriptor& d) {
    struct flock whole{};
    whole.l_type = F_WRLCK;
    whole.l_whence = SEEK_SET;
    return ::fcntl(d.ours->get(), F_OFD_GETLK, &whole) != 0 || whole.l_type != F_UNLCK;
  }

  Result<void> add_all(const HeldDescriptor& d, std::string_view info) {
    for (const std::string_view line : split(info, '\n')) {
      if (line.starts_with("lock:")) TRY_DO(add(d, line));
    }
    return {};
  }

  Result<void> add(const HeldDescriptor& d, std::string_view line) {
    TRY(const LockLine lock, parse_lock(line));
    if (lock.type == pb::FileLock::LEASE && lock.breaking) {
      ctx_.refuse("lease", "fd " + std::to_string(d.fd) + " of pid " + std::to_string(d.pid));
      return {};
    }
    const pid_t owner = lock.type == pb::FileLock::POSIX ? d.pid : 0;
    if (!taken_.emplace(lock.type, d.file, owner, lock.start, lock.length, lock.exclusive).second) return {};
    auto* out = locks_.add_locks();
    out->set_type(lock.type);
    out->set_exclusive(lock.exclusive);
    out->set_file(d.file);
    out->set_pid(d.pid);
    out->set_fd(d.fd);
    out->set_start(lock.start);
    out->set_length(lock.length);
    return {};
  }

  DumpContext& ctx_;
  pb::FileLocks locks_;
  std::set<Key> taken_;
  std::map<FileId, bool> files_;  // those that were seen; whether each descriptor has to be looked at
};

Result<std::string> dump(DumpContext& ctx) {
  Collector collector(ctx);
  for (const auto& d : ctx.descriptors()) TRY_DO(collector.look_at(d));
  return collector.finish();
}

struct flock range_of(const pb::FileLock& lock) {
  struct flock range{};
  range.l_type = static_cast<short>(lock.exclusive() ? F_WRLCK : F_RDLCK);
  range.l_whence = SEEK_SET;
  range.l_start = static_cast<off_t>(lock.start());
  range.l_len = static_cast<off_t>(lock.length());
  return range;
}

// Runs `take` until it gets the lock, it fails for another reason, or time is up. Locks can't be waited for together
// with a deadline (F_SETLKW would block this thread, or a task of the unit), so this asks again at growing distances.
template <typename F>
Result<void> wait_for(const std::string& what, F take) {
  const Nanos deadline = monotonic_now() + kLongestWait;
  for (milliseconds pause(1);; pause = std::min(pause * 2, milliseconds(50))) {
    const Result<void> taken = take();
    if (taken) return {};
    const int why = taken.error().errnum;
    if (why != EAGAIN && why != EACCES) return std::unexpected(taken.error().in("taking " + what));
    if (monotonic_now() > deadline) {
      return fail(Code::kFailed,
                  what + " is still held by another process, here or on another host that shares the file");
    }
    std::this_thread::sleep_for(pause);
  }
}

std::string describe(const pb::FileLock& lock) {
  return (lock.exclusive() ? "the exclusive " : "the shared ") + pb::FileLock::Type_Name(lock.type()) + " lock of fd " +
         std::to_string(lock.fd()) + " of pid " + std::to_string(lock.pid());
}

Result<void> take_remotely(RestoreContext& ctx, const pb::FileLock& lock) {
  const auto fd = static_cast<uint64_t>(lock.fd());
  if (lock.type() == pb::FileLock::LEASE) {
    const uint64_t arguments[] = {fd, F_SETLEASE, static_cast<uint64_t>(lock.exclusive() ? F_WRLCK : F_RDLCK)};
    TRY_DO(ctx.remote_call(lock.pid(), SYS_fcntl, arguments));
    return {};
  }
  const struct flock range = range_of(lock);
  TRY(const uint64_t scratch, ctx.remote_scratch(lock.pid()));
  TRY_DO(ctx.remote_write(lock.pid(), scratch, std::as_bytes(std::span(&range, 1))));
  const uint64_t arguments[] = {fd, F_SETLK, scratch};
  TRY_DO(ctx.remote_call(lock.pid(), SYS_fcntl, arguments));
  return {};
}

Result<void> take_here(RestoreContext& ctx, const pb::FileLock& lock) {
  TRY(const Fd* fd, ctx.file(lock.file()));
  struct flock range = range_of(lock);
  const int r = lock.type() == pb::FileLock::FLOCK
                    ? ::flock(fd->get(), (lock.exclusive() ? LOCK_EX : LOCK_SH) | LOCK_NB)
                    : ::fcntl(fd->get(), F_OFD_SETLK, &range);
  if (r != 0) return fail_errno(errno, "fd " + std::to_string(fd->get()));
  return {};
}

Result<void> activate(RestoreContext& ctx, const std::string& bytes) {
  pb::FileLocks state;
  if (!state.ParseFromString(bytes)) return fail(Code::kCorrupt, "the file locks can't be parsed");
  for (const auto& lock : state.locks()) {
    const bool remote = lock.type() == pb::FileLock::POSIX || lock.type() == pb::FileLock::LEASE;
    TRY_DO(wait_for(describe(lock), [&] { return remote ? take_remotely(ctx, lock) : take_here(ctx, lock); }));
  }
  return {};
}

}  // namespace

const SectionKind kLocksKind = {.name = "locks",
                                .dump = dump,
                                .restore = nullptr,
                                .connect = nullptr,
                                .activate = activate,
                                .schema = "godwit.pod.v1.FileLocks"};

}  // namespace godwit::pod
