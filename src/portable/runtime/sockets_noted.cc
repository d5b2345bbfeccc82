// What the kernel doesn't tell of a socket, noted by its inode when the program says it: the backlog of a UNIX socket (of TCP's under
// qemu neither), and options that can be set and not be read (filters, multicast groups), which tie it to this machine.
//
// A backlog that is forgotten is the usual one. A tie that is forgotten would be a socket that does something else after a
// move, so none is: when their table is full, those of sockets that aren't open any more go, and when that isn't enough, the program
// doesn't move.
#include "portable/runtime/descriptors.h"

namespace godwit::portable {
namespace {

constexpr uint32_t kUsualBacklog = 4096;  ///< of one that another program made; the kernel has its own limit besides

struct Backlog {
  uint64_t inode;
  uint32_t backlog;
};
Backlog backlogs[512];
uint32_t next_backlog;

struct Tie {
  uint64_t inode;
  int option;
  bool open;  ///< while they are looked through
};
Tie ties[512];
uint32_t ties_used;
bool ties_lost;

Lock lock;

template <class Row>
Row* row_of(uint64_t inode, Row* rows, uint32_t count) {
  for (uint32_t i = 0; i < count; ++i) {
    if (rows[i].inode == inode) return &rows[i];
  }
  return nullptr;
}

constexpr uint32_t kBacklogs = sizeof backlogs / sizeof backlogs[0], kTies = sizeof ties / sizeof ties[0];

/// Those of sockets that are closed. Called with the lock.
void forget_closed_ties() {
  for (Tie& tie : ties) tie.open = false;
  const bool looked = for_each_open([](int fd) {
    if (Tie* tie = row_of(inode_of(fd), ties, ties_used)) tie->open = true;
  });
  if (!looked) return;
  uint32_t kept = 0;
  for (uint32_t i = 0; i < ties_used; ++i) {
    if (ties[i].open) ties[kept++] = ties[i];
  }
  ties_used = kept;
}

void note_tie(int fd, int option) {
  const uint64_t inode = inode_of(fd);
  Held held(lock);
  if (!inode || row_of(inode, ties, ties_used)) return;
  if (ties_used == kTies) forget_closed_ties();
  if (ties_used < kTies) {
    ties[ties_used++] = {inode, option, true};
  } else {
    ties_lost = true;
  }
}

/// Options after which a socket means something of this machine that can't be read from it.
bool is_tie(int64_t level, int64_t name) {
  struct Option {
    int16_t level, name;
  };
  // Filters and devices; multicast groups and their interfaces; signed segments and TLS.
  constexpr Option kOptions[] = {{1, 25}, {1, 26}, {1, 50},  {1, 51},  {1, 52},  {1, 62},  {0, 32},  {0, 35}, {0, 39},
                                 {0, 42}, {0, 46}, {41, 17}, {41, 20}, {41, 27}, {41, 42}, {41, 46}, {6, 14}, {6, 31}};
  for (const Option& option : kOptions) {
    if (option.level == level && option.name == name) return true;
  }
  return false;
}

}  // namespace

Lock& sockets_lock() { return lock; }

uint64_t inode_of(int fd) {
  NeutralStat file;
  return failed(native_stat(fd, nullptr, 0, file)) ? 0 : file.ino;
}

uint32_t noted_backlog(uint64_t inode) {
  Held held(lock);
  const Backlog* row = row_of(inode, backlogs, kBacklogs);
  return row ? row->backlog : kUsualBacklog;
}

int noted_tie(uint64_t inode) {
  Held held(lock);
  const Tie* row = row_of(inode, ties, ties_used);
  return row ? row->option : -1;
}

bool ties_are_known() {
  Held held(lock);
  return !ties_lost;
}

void note_backlog(int fd, uint32_t backlog) {
  const uint64_t inode = inode_of(fd);
  Held held(lock);
  if (!inode) return;
  Backlog* row = row_of(inode, backlogs, kBacklogs);
  if (!row) row = &backlogs[next_backlog++ % kBacklogs];  // the oldest makes room
  *row = {inode, backlog};
}

int64_t call_listen(Call& call) {
  const int64_t result = pass(call);
  if (!failed(result)) note_backlog(static_cast<int>(call.a[0]), static_cast<uint32_t>(call.a[1]));
  return result;
}

int64_t call_setsockopt(Call& call) {
  const int64_t result = pass(call);
  if (!failed(result) && is_tie(call.a[1], call.a[2])) {
    note_tie(static_cast<int>(call.a[0]), static_cast<int>(call.a[2]));
  }
  return result;
}

}  // namespace godwit::portable
