// LateMemory: memory of a unit that runs here while its pages are still on their way (post-copy).
//
// The problem. A page that hasn't arrived must never be read as zeros, whatever the program does meanwhile: fork, mremap,
// munmap, madvise(MADV_DONTNEED), exec, exit; and a page that the program has dropped, or written anew, must never get
// its old content.
//
// The idea. Areas with missing pages are registered with a userfaultfd of the process (made inside it, taken over here)
// before anything can touch them. A thread that touches a missing page waits in the kernel; the *pager* thread asks the
// source for the page (or maps a zero page where nothing is missing: memory that was never used, or has grown), and
// whatever arrives is put in place by UFFDIO_COPY, which never overwrites a page that is there.
//
// The kernel tells what the program does to its areas before it goes on (UFFD_EVENT_FORK, REMAP, REMOVE, UNMAP), and
// MissingPages follows. Why nothing can slip through in between:
//   * From before such an operation until its event was read, every UFFDIO_COPY and UFFDIO_ZEROPAGE of that process fails
//     with EAGAIN (mmap_changing, fs/userfaultfd.c). So what is installed is installed by a book that is up to date.
//   * Reading events, keeping the book and installing are done under one mutex. Events that were read are all applied
//     before any fault read with them is answered: read(2) gives faults first, which may be younger.
//   * Nothing is put into a child before its book is certain: see late_births.cc.
//   * Two threads may change areas at once, and then their events come in any order. A move onto addresses that are, by
//     the book, still registered has overtaken the event that frees them: it waits for that event, or until nothing is
//     under way, and nothing is installed meanwhile. An unmapping of
//     addresses that something was just moved to may be the older of the two (of memory that had grown, which no event
//     tells): it is in doubt until nothing is under way, and then the kernel is asked whether an area is there.
//   * MADV_WIPEONFORK, locked memory and what the kernel writes to at a thread's end (its ID, robust futexes) is never
//     left for later: see src/pod/capture/late.h.
// Nobody else installs pages there: khugepaged leaves registered areas alone, and what a huge page around something that came
// at once has put there before is dropped (Restorer::empty_for_late()).
//
// The descriptors' end. Closing a userfaultfd lets the waiting threads go on with zeros. So they are closed only when
// nothing is missing, or when the unit is dead: lose() kills it first, and if this process dies itself, a *guard* (a
// process that shares the descriptor table and does nothing else) keeps them open until the unit's init is gone.
//
// Limits. Full userfaultfd and its fork event need CAP_SYS_PTRACE in the initial user namespace: with the user-mode-only
// kind a system call that meets a missing page would fail with EFAULT. While pages are missing the program may see what
// no event tells: an area that grows over addresses which two other threads have just moved memory to and unmapped, all
// within microseconds; MADV_WIPEONFORK asked for memory that has not arrived, then a fork; MADV_GUARD_INSTALL over it.
// New memory beside a registered area stays an area of its own until the end.
// Sources: userfaultfd(2), ioctl_userfaultfd(2), fs/userfaultfd.c and mm/userfaultfd.c of Linux 6.x.
//
// Threads: write(), lose() and misses() any; the rest that of the engine.
#pragma once

#include <linux/userfaultfd.h>
#include <sys/types.h>

#include <atomic>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "engine/engine.h"
#include "pod/restore/missing_pages.h"

namespace godwit::pod {

using engine::PageRun;
using engine::SpaceId;

/// vm.mmap_min_addr: hardly ever a program's memory.
inline constexpr uint64_t kNobodysPage = 0x10000;

class LateMemory {
 public:
  /// Can it be done on this machine, by this user? The error says what is missing.
  static Result<void> probe();

  LateMemory(std::vector<PageRun> later, engine::LatePages& pages);
  ~LateMemory();
  LateMemory(const LateMemory&) = delete;

  /// The runs of one space, sorted.
  [[nodiscard]] std::vector<PageRun> runs_of(SpaceId space) const;
  /// Starts the pager. `init`: whose end is the unit's.
  Result<void> start(pid_t init);
  /// The userfaultfd of a stopped process that has the space's areas (sorted start and end). All are registered, also where
  /// nothing is missing: neighbours that differ in this would stay two areas when the program makes one of them, and
  /// mremap(2) fails on two. `name` is for messages.
  Result<void> adopt(SpaceId space, Fd uffd, std::span<const std::pair<uint64_t, uint64_t>> areas, std::string name);
  [[nodiscard]] bool holds(SpaceId space) const;
  /// Waits until the guard is there; before the commit, for nothing may fail behind it.
  Result<void> guarded();

  /// A run has arrived; without data: zeros. Pages that aren't missing any more are left alone.
  Result<void> write(const PageRun& run, const std::byte* data);
  [[nodiscard]] bool misses();
  /// Closes everything; an error names what never came (then the unit is dead).
  Result<void> finish();
  void lose();
  [[nodiscard]] uint64_t faults() const { return faults_; }

 private:
  struct Move {
    uint64_t from = 0, to = 0, length = 0;
    uint64_t told = 0;  ///< the number of its event
    bool lifted = false;  ///< what was missing at `from` is in `parts`: a thread that goes on unmaps `from`
    std::vector<MissingPages::Part> parts;
  };
  using Range = std::pair<uint64_t, uint64_t>;
  /// What was done to the areas since nothing was under way for the last time, in the order of the book.
  struct Change {
    enum Kind { kMove, kUnmap, kRemove } kind;
    uint64_t told = 0;
    uint64_t from = 0, to = 0, length = 0;  ///< `to`: of a move
    std::vector<MissingPages::Part> parts = {};  ///< what isn't missing any more; of a move nothing: it is at `to`
    std::vector<Range> areas = {};  ///< unmapped: those that were registered
  };
  enum class Area { kThere, kPerhaps, kNone, kChanging, kUnknown };  ///< perhaps: there, but may have grown since
  /// A child whose fork was told and that has no book yet.
  struct Birth {
    Fd uffd;
    uint64_t told = 0;
    std::map<uint64_t, Area> seen = {};  ///< by page: what it was born with
    std::vector<uffd_msg> own = {};  ///< what it has told itself since
  };
  /// One process's memory, or that of a child that was forked meanwhile.
  struct Memory {
    SpaceId space = 0;
    std::string name;
    Fd uffd;
    MissingPages missing;
    RangeSet registered;
    std::vector<Move> overtaken;  ///< moves that wait for the event which frees their target
    std::vector<Range> moved_to;  ///< since nothing was under way for the last time
    uint64_t told = 0;  ///< events so far
    std::vector<Change> changes;
    std::vector<Birth> births;  ///< while take_events() goes on
    std::vector<Range> doubts;  ///< unmapped, perhaps before something was moved there
    std::vector<uint64_t> faults;  ///< addresses that threads wait for, not yet dealt with
    bool gone = false;
  };
  enum class Put { kDone, kPresent, kChanging, kNoArea, kGone };

  static constexpr long kAgainNs = 20'000;  // a thread that was told to go on needs about that long to say so

  bool is_gone(Memory& memory);
  bool misses_locked(std::unique_lock<std::mutex>& lock);
  static void wait_a_moment(std::unique_lock<std::mutex>& lock);
  void lose_locked(std::string why);
  // late_pager.cc
  void nudge() const;
  void run_pager();
  bool answer_faults(Memory& memory, std::vector<PageRun>& wanted);
  Result<Put> put(Memory& memory, uint64_t address, const std::byte* data, uint64_t& length);
  Result<void> install(Memory& memory, const PageRun& run, const std::byte* data, std::unique_lock<std::mutex>& lock);
  void wake(Memory& memory, uint64_t address);
  // late_guard.cc
  void start_guard();
  void end_guard();
  // late_events.cc
  bool take_events(Memory& memory);
  bool read_events(Memory& memory);
  void apply(Memory& memory, const uffd_msg& message);
  static void lift(Memory& memory, Move& move);
  static void apply_moves(Memory& memory, bool all = false);
  static void removed(Memory& memory, uint64_t start, uint64_t end);
  static void unmapped(Memory& memory, uint64_t start, uint64_t end);
  Area look(const Fd& uffd, uint64_t address) const;
  bool is_quiet(const Memory& memory) const;
  bool settle(Memory& memory) const;
  bool settle_doubts(Memory& memory) const;
  // late_births.cc
  void deliver(Memory& parent);
  void find_book(const Memory& parent, Birth& birth, Memory& child) const;
  bool had(const Memory& parent, size_t which, Birth& birth) const;
  Area born_with(Birth& birth, uint64_t start, uint64_t end) const;
  void look_at_ends(Birth& birth, uint64_t from, uint64_t to, uint64_t length) const;
  static void undo(Memory& child, const Change& change);

  const std::vector<PageRun> later_;
  engine::LatePages& pages_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<Memory>> memories_;  // guarded by mutex_
  std::set<std::pair<SpaceId, uint64_t>> asked_;  // guarded by mutex_
  bool lost_ = false;  // guarded by mutex_
  std::string lost_pages_;  // guarded by mutex_
  Fd init_, self_;  // pidfds
  Fd wake_;  // eventfd: the pager should look again
  void* unreadable_ = nullptr;  // a page
  std::atomic<uint64_t> faults_{0};
  std::atomic<bool> stop_{false};
  std::thread pager_;
  pid_t guard_ = 0;  // guarded by mutex_ while the pager starts
  bool guard_tried_ = false;  // guarded by mutex_
  std::condition_variable guard_changed_;
};

}  // namespace godwit::pod
