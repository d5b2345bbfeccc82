// Pipes, socketpairs and eventfds that this program has made itself: only of these can it be known that nobody else has them.
//
// The kernel doesn't tell who holds the other end of a pipe. So what the program makes is noted, by its inode (an eventfd, which has
// none of its own, by its id); what it was handed by others isn't, and can't move. What was made may have been given away since: by a
// fork, whose child has all, or in a message to another process. From then on the processes that /proc shows are looked through for it
// when the program is saved. Not seen are processes of other users, which a program can only have handed something by way of
// a set-user-ID program.
//
// timerfds aren't among them: one that two processes share does the same for both when each has its own.
#include "portable/runtime/descriptors.h"
#include "portable/runtime/info.h"
#include "portable/runtime/kernel_message.h"

namespace godwit::portable {
namespace {

constexpr uint32_t kRows = 4096;
constexpr uint32_t kUnix = 1;
constexpr long kLeastAddress = 4096;

Made rows[kRows];
uint32_t rows_used;

Made* row_of(uint32_t kind, uint64_t id) {
  for (uint32_t i = rows_used; i-- > 0;) {
    if (rows[i].kind == kind && rows[i].id == id) return &rows[i];
  }
  return nullptr;
}

/// Those that are closed. Called with the lock.
void forget_closed() {
  for (uint32_t i = 0; i < rows_used; ++i) rows[i].open = false;
  const bool looked = for_each_open([](int fd) {
    uint64_t id = inode_of(fd);
    if (Made* row = row_of(GODWIT_FD_PIPE, id)) row->open = true;
    if (Made* row = row_of(GODWIT_FD_PAIR, id)) row->open = true;
    if (!read_info_field(fd, "eventfd-id:", 10, id)) return;
    if (Made* row = row_of(GODWIT_FD_EVENT, id)) row->open = true;
  });
  if (!looked) return;
  uint32_t kept = 0;
  for (uint32_t i = 0; i < rows_used; ++i) {
    if (rows[i].open) rows[kept++] = rows[i];
  }
  rows_used = kept;
}

/// Does a process have what this link of its own leads to? An eventfd is known by its id.
bool has_it(int pid, const char* link, uint64_t id) {
  Text<64> name;
  name << "/proc/" << pid << "/fd";
  bool found = false;
  for_each_number(name.text(), [&](int fd, int) {
    Text<64> path;
    path << "/proc/" << pid << "/fd/" << fd;
    char theirs[64];
    if (!found) read_link(path.text(), theirs);
    if (found || !equal(theirs, link)) return;
    if (!id) {
      found = true;
      return;
    }
    Text<64> info;
    info << "/proc/" << pid << "/fdinfo/" << fd;
    for_each_line(info.text(), [&](const char* line) {
      uint64_t value = 0;
      found = found || (info_field(line, "eventfd-id:", 10, value) && value == id);
      return true;
    });
  });
  return found;
}

}  // namespace

void note_made(const Made& made) {
  if (!made.id) return;
  Held held(sockets_lock());
  Made* row = row_of(made.kind, made.id);  // of one that is closed, whose number was given again
  if (!row && rows_used == kRows) forget_closed();
  if (!row && rows_used < kRows) row = &rows[rows_used++];
  if (row) *row = made;
}

bool find_made(uint32_t kind, uint64_t id, Made& out) {
  Held held(sockets_lock());
  const Made* row = row_of(kind, id);
  if (row) out = *row;
  return row != nullptr;
}

/// Of datagrams the kernel shows no more than half of it.
void note_shut(uint64_t inode, int64_t how) {
  Held held(sockets_lock());
  if (Made* row = row_of(GODWIT_FD_PAIR, inode)) row->shut |= static_cast<uint8_t>(how + 1);
}

void note_given_away() {
  Held held(sockets_lock());
  for (uint32_t i = 0; i < rows_used; ++i) rows[i].given_away = true;
}

int holder_of(const Made& made, const char* link) {
  if (!made.given_away) return 0;
  const int own = static_cast<int>(own_pid());
  int holder = 0;
  for_each_number("/proc", [&](int pid, int) {
    if (!holder && pid != own && has_it(pid, link, made.kind == GODWIT_FD_EVENT ? made.id : 0)) holder = pid;
  });
  return holder;
}

int64_t call_pipe2(Call& call) {
  const int64_t result = sys(call.native, call.a[0], native_open_flags(call.a[1]));
  if (!failed(result)) note_made({.kind = GODWIT_FD_PIPE, .id = inode_of(*reinterpret_cast<const int*>(call.a[0]))});
  return result;
}

int64_t call_socketpair(Call& call) {
  const int64_t result = pass(call);
  if (failed(result) || call.a[0] != kUnix) return result;
  const auto* ends = reinterpret_cast<const int*>(call.a[3]);
  const uint64_t one = inode_of(ends[0]), other = inode_of(ends[1]);
  note_made({.kind = GODWIT_FD_PAIR, .id = one, .other = other});
  note_made({.kind = GODWIT_FD_PAIR, .id = other, .other = one});
  return result;
}

int64_t call_eventfd(Call& call) {
  constexpr int64_t kSemaphore = 1;
  const int64_t result = pass(call);
  uint64_t id = 0;
  if (!failed(result) && read_info_field(static_cast<int>(result), "eventfd-id:", 10, id)) {
    note_made({.kind = GODWIT_FD_EVENT, .id = id, .semaphore = (call.a[1] & kSemaphore) != 0});
  }
  return result;
}

int64_t call_shutdown(Call& call) {
  const int64_t result = pass(call);
  if (!failed(result)) note_shut(inode_of(static_cast<int>(call.a[0])), call.a[1]);
  return result;
}

int64_t call_sendmsg(Call& call) {
  const int64_t result = send_all(call);
  const auto* message = call.a[1] >= kLeastAddress ? reinterpret_cast<const Message*>(call.a[1]) : nullptr;
  if (!failed(result) && message && message->control_length) note_given_away();
  return result;
}

int64_t call_sendmmsg(Call& call) {
  const int64_t result = wait(call);
  if (!failed(result)) note_given_away();
  return result;
}

}  // namespace godwit::portable
