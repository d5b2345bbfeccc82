// Who asks a portable program to be saved, and how it answers.
//
// A requester of the same user, or root, listens on the abstract UNIX stream socket "godwit/portable/NAMESPACE/PID", PID as the
// program's own PID namespace has it, NAMESPACE the inode of that (/proc/PID/ns/pid), and sends the process the reserved
// signal. Then
//
//     runtime    connects; looks at the peer's credentials (SO_PEERCRED)
//     requester  {u32 version = 1, u32 flags}, little-endian, with one descriptor (SCM_RIGHTS) to write the image to;
//                flags 1: leave running; 2: without memory, which the requester reads itself; 4: held
//     runtime    stops all threads, writes the image, sends "saved BYTES\n", or a "refused: REASON\n" for every reason
//     requester  one byte: it has the image safely; or the byte 2: go on
//     runtime    exits with status 0, which closes the socket
//
// The signal would end a process whose runtime hasn't installed its handler yet: who has just started one looks at SigCgt in
// /proc/PID/status first. A signal that comes while another request is being served is ignored.
//
// That byte is the commit point. When the requester vanishes before it, or after a refusal, or when it asked to leave the
// program running, all threads go on. There is no limit on waiting for it: a limit could pass while the byte is on its way,
// and then both sides would own the unit. If nobody listens, nothing was stopped and the program has noticed nothing.
//
// A program that is *held* stays at rest when the requester vanishes: that is a keeper, whose units are killed when it ends, and
// which may have given this one away already. It mustn't run in the moment between.
//
// All this is done by a helper, a native thread that lives as long as one request. It is begun in the signal's handler, so
// a request is heard even if no thread ever reaches an adaptation point, and the helper can then say which one doesn't.
#include <asm/errno.h>
#include <asm/socket.h>
#include <linux/fcntl.h>
#include <linux/sched.h>
#include <linux/socket.h>
#include <linux/un.h>

#include "portable/protocol.h"
#include "portable/runtime/kernel_message.h"
#include "portable/runtime/runtime.h"

namespace godwit::portable {
namespace {

constexpr int64_t kRestLimit = 10 * kSecond;
constexpr int kUnix = 1, kStream = 1;  // AF_UNIX, SOCK_STREAM
constexpr int kReceiveLimit = 20;  // SO_RCVTIMEO, of two longs

struct RightsMessage {
  size_t length;
  int level, type;
  int fd, padding;
};
struct Credentials {
  uint32_t pid, uid, gid;
};

uint32_t helper_tid;  // the kernel clears it when the helper has gone
alignas(64) char helper_stack[256 * 1024];
uint32_t points_left;
const char* test_image;

void begin_helper(void (*work)(void*)) {
  uint32_t none = 0;
  if (!__atomic_compare_exchange_n(&helper_tid, &none, ~0u, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) return;
  make_room_for_own_descriptors();
  const NativeTop top = prepare_native_stack(reinterpret_cast<uint64_t>(helper_stack), sizeof helper_stack);
  constexpr unsigned long flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM |
                                  CLONE_SETTLS | CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID;
  const uint64_t mask = swap_signal_mask(~UINT64_C(0));
  if (failed(godwit_arch_clone(flags, top.stack, &helper_tid, top.tls, &helper_tid, work, nullptr))) {
    write_shared(helper_tid, 0);
  }
  swap_signal_mask(mask);
}

[[noreturn]] void end_helper() {
  for (;;) sys(__NR_exit, 0);
}

/// The inode of this process's PID namespace, as text: two units have the same PIDs, and maybe one network. Without /proc: "0".
void add_namespace(Line& name) {
  char link[64] = {};
  const long got = sys(__NR_readlinkat, AT_FDCWD, "/proc/self/ns/pid", link, sizeof link - 1);
  const char* digits = failed(got) ? nullptr : after(link, "pid:[");
  if (!digits) digits = "0";
  for (; *digits >= '0' && *digits <= '9'; ++digits) name.add_bytes(digits, 1);
}

int connect_to_requester() {
  Text<64> name;
  name << "godwit/portable/";
  add_namespace(name);
  name << "/" << own_pid();
  return connect_to(name.text());
}

bool is_known(const godwit_request& request) {
  constexpr uint32_t kFlags = GODWIT_REQUEST_LEAVE_RUNNING | GODWIT_REQUEST_APART | GODWIT_REQUEST_HELD;
  return request.version == GODWIT_REQUEST_VERSION && !(request.flags & ~kFlags);
}

constexpr long kRequestSeconds = 10;

/// The request's descriptor, or -1. A process that is stopped and goes on again gets -EINTR here, though all signals are blocked: that is
/// what a limit for receiving means (signal(7)).
int receive_request(int socket, godwit_request& request) {
  const long limit[2] = {kRequestSeconds, 0};
  sys(__NR_setsockopt, socket, SOL_SOCKET, kReceiveLimit, &limit, sizeof limit);
  RightsMessage rights = {};
  Vector vector = {&request, sizeof request};
  Message message = {nullptr, 0, &vector, 1, &rights, sizeof rights, 0};
  long got = 0;
  do got = sys(__NR_recvmsg, socket, &message, kControlCloseOnExec);
  while (got == -EINTR);
  if (failed(got) || message.control_length < sizeof rights - sizeof rights.padding || rights.level != SOL_SOCKET ||
      rights.type != 1 /* SCM_RIGHTS */) {
    return -1;
  }
  if (got != sizeof request || !is_known(request)) {
    sys(__NR_close, rights.fd);
    return -1;
  }
  return put_aside(rights.fd);
}

void send(int socket, const Line& line) {
  for (size_t sent = 0; sent < line.size();) {
    const long result = sys(__NR_sendto, socket, line.text() + sent, line.size() - sent, kNoSignal, nullptr, 0);
    if (result == -EINTR) continue;
    if (failed(result)) return;
    sent += static_cast<size_t>(result);
  }
}

enum class Word { kEnd, kGoOn, kNone };

Word last_word(int socket) {
  const long none[2] = {0, 0};
  sys(__NR_setsockopt, socket, SOL_SOCKET, kReceiveLimit, &none, sizeof none);
  char byte = 0;
  long got = 0;
  do got = sys(__NR_recvfrom, socket, &byte, 1, 0, nullptr, nullptr);
  while (got == -EINTR);
  if (got != 1) return Word::kNone;
  return byte == GODWIT_REQUEST_GO_ON ? Word::kGoOn : Word::kEnd;
}

[[noreturn]] void stay() {
  const uint32_t never = 0;
  for (;;) futex_wait(never, 0);
}

/// Stops, saves, and says how it went. The threads stay at rest.
long stop_and_save(int fd, int socket, bool apart, Refusals& refusals) {
  ask_to_stop();
  Text<512> why;
  if (!wait_for_rest(kRestLimit, why)) {
    refusals.add(why.text());
    return 0;
  }
  return save_image(fd, socket, apart, refusals);
}

void serve_request(void*) {
  const int socket = connect_to_requester();
  if (socket < 0) end_helper();
  godwit_request request = {};
  static Refusals refusals;  // too large for a small stack
  refusals.clear();
  const int fd = receive_request(socket, request);
  if (fd < 0) {
    if (is_known(request)) {
      refusals.add("the request has no descriptor for the image");
    } else if (!request.version) {
      refusals.add("no request came within ", kRequestSeconds, " s");
    } else {
      refusals.add(
          "the program was compiled by another version of Godwit than the one that asks (it knows requests of version ",
          GODWIT_REQUEST_VERSION, ", this is one of version ", +request.version,
          "): compile it anew, or update the other");
    }
    send(socket, refusals.lines());
    sys(__NR_close, socket);
    end_helper();
  }
  const long saved = stop_and_save(fd, socket, request.flags & GODWIT_REQUEST_APART, refusals);
  sys(__NR_close, fd);
  if (failed(saved)) refusals.add("the image can't be written: error ", -saved);
  Text<64> answer;
  answer << "saved " << saved << "\n";
  // Before the threads go on: they could end the process, and the answer with it.
  send(socket, refusals.count() ? refusals.lines() : answer);
  if (request.flags & GODWIT_REQUEST_LEAVE_RUNNING || refusals.count()) {
    release_threads();
  } else {
    const Word word = last_word(socket);
    if (word == Word::kEnd) sys(__NR_exit_group, 0);
    if (word == Word::kNone && request.flags & GODWIT_REQUEST_HELD) stay();
    release_threads();
  }
  sys(__NR_close, socket);
  end_helper();
}

void serve_test(void*) {
  const long fd = sys(__NR_openat, AT_FDCWD, test_image, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (failed(fd)) fatal("can't create ", test_image, ": error ", -fd);
  static Refusals refusals;
  refusals.clear();
  const long saved = stop_and_save(put_aside(static_cast<int>(fd)), -1, false, refusals);
  if (failed(saved)) fatal("can't write ", test_image, ": error ", -saved);
  if (!refusals.count()) sys(__NR_exit_group, GODWIT_EXIT_STOPPED);
  sys(__NR_write, 2, refusals.lines().text(), refusals.lines().size());
  release_threads();
  end_helper();
}

}  // namespace

int connect_to(const char* name) {
  int fd = static_cast<int>(sys(__NR_socket, kUnix, kStream | O_CLOEXEC, 0));
  if (fd < 0) return -1;
  fd = put_aside(fd);
  sockaddr_un address = {};
  address.sun_family = kUnix;
  const uint64_t length = length_of(name);
  if (length >= sizeof address.sun_path) return -1;
  memcpy(address.sun_path + 1, name, length);
  const Credentials me = {own_pid(), static_cast<uint32_t>(sys(__NR_geteuid)), 0};
  Credentials peer = {};
  uint32_t size = sizeof peer;
  const long connected = sys(__NR_connect, fd, &address, offsetof(sockaddr_un, sun_path) + 1 + length);
  if (failed(connected) || failed(sys(__NR_getsockopt, fd, SOL_SOCKET, SO_PEERCRED, &peer, &size)) ||
      (peer.uid != 0 && peer.uid != me.uid)) {
    sys(__NR_close, fd);
    return -1;
  }
  return fd;
}

void helper_for_request() { begin_helper(serve_request); }

void test_stop_after(uint32_t points, const char* image) {
  points_left = points;
  test_image = image;
}

bool counting() { return read_shared(points_left) != 0; }

void test_count_point() {
  uint32_t left = read_shared(points_left);
  do {
    if (!left) return;
  } while (!__atomic_compare_exchange_n(&points_left, &left, left - 1, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST));
  if (left != 1) return;
  ask_to_stop();
  begin_helper(serve_test);
}

void forget_requests() {
  forget_room_for_own_descriptors();
  helper_tid = 0;
  points_left = 0;
  stopping = 0;
  write_shared(__godwit_request, 0);  // of threads that are restored, none is here
  refresh_request();
}

}  // namespace godwit::portable
