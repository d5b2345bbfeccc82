// godwit-relay: a process of the unit that holds the far ends of its standard streams.
//
// Whoever holds the master of a terminal, or the writing end of an input, must move with the unit: the kernel hangs up
// the program at once when the last holder goes. The keeper stays behind, so it can't be the keeper. This program is
// launched beside the unit's own, as a child of init: the engine carries it like any process, and after a move it holds
// the new terminal without having noticed. It must cost nothing to carry: no library, no heap, a few pages.
//
//     0  the FIFO of records from the keeper (feeder.h), opened for both directions: it never ends
//     1  the terminal's master, non-blocking; or the writing end of the program's standard input
//     2  the unit's output file, with a terminal: what the program writes there is appended to it
//     argument: "t" terminal, "i" input only
//
// A record: type, 0, length in two bytes, then so many bytes; the keeper writes each in one piece (PIPE_BUF).
// It ends when nobody is left to serve. With a terminal that isn't when its other side is closed, for a program may close
// all its streams and open the terminal again; it is when nobody else lives in the unit's PID namespace.
#include <asm/ioctls.h>
#include <asm/poll.h>
#include <asm/termios.h>
#include <asm/unistd.h>
#include <linux/errno.h>
#include <linux/time_types.h>

namespace {

constexpr int kFifo = 0, kStream = 1, kOutput = 2;
constexpr unsigned kRecord = 4096;
enum : unsigned char { kData = 0, kEnd = 1, kWindow = 2 };

char record[kRecord];
char shown[kRecord];

long call(long number, long a = 0, long b = 0, long c = 0, long d = 0) {
  long result;
  register long r10 asm("r10") = d;
  asm volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10) : "rcx", "r11", "memory");
  return result;
}
long address(const void* p) { return reinterpret_cast<long>(p); }
[[noreturn]] void leave() {
  for (;;) call(__NR_exit_group, 0);
}
void pause_ms(long ms) {
  __kernel_timespec t;
  t.tv_sec = 0;
  t.tv_nsec = ms * 1000000;
  call(__NR_nanosleep, address(&t), 0);
}

// False: `fd` takes no more, ever. A full disk is waited for: the output of the unit must be whole.
bool write_all(int fd, const char* data, long size) {
  while (size > 0) {
    const long n = call(__NR_write, fd, address(data), size);
    if (n == -ENOSPC || n == -EDQUOT || n == -EAGAIN) {
      pause_ms(50);
    } else if (n < 0 && n != -EINTR) {
      return false;
    } else if (n > 0) {
      data += n;
      size -= n;
    }
  }
  return true;
}
bool read_all(char* to, long size) {
  while (size > 0) {
    const long n = call(__NR_read, kFifo, address(to), size);
    if (n == 0 || (n < 0 && n != -EINTR)) return false;
    if (n > 0) {
      to += n;
      size -= n;
    }
  }
  return true;
}

struct Record {
  unsigned char type;
  unsigned size;
};
Record next_record() {
  unsigned char head[4];
  if (!read_all(reinterpret_cast<char*>(head), 4)) leave();
  const Record r = {head[0], head[2] | static_cast<unsigned>(head[3]) << 8};
  // Only something in the unit itself can have written this: the stream makes no sense any more.
  if (r.size > kRecord - 4 || !read_all(record, r.size)) leave();
  return r;
}

int wait_for(pollfd* fds, int count) { return static_cast<int>(call(__NR_poll, address(fds), count, -1)); }

[[noreturn]] void serve_input() {
  for (;;) {
    pollfd fds[2] = {{kFifo, POLLIN, 0}, {kStream, 0, 0}};
    if (wait_for(fds, 2) < 0) continue;
    if (fds[1].revents & POLLERR) leave();  // no reader is left
    if (!(fds[0].revents & POLLIN)) continue;
    const Record r = next_record();
    if (r.type == kEnd) leave();
    if (r.type == kData && !write_all(kStream, record, r.size)) leave();
  }
}

// What was typed and isn't in the terminal yet: `record` from `typed_at` on.
unsigned typed_at, typed_end;

void take_record() {
  const Record r = next_record();
  if (r.type == kWindow && r.size == sizeof(winsize)) {
    call(__NR_ioctl, kStream, TIOCSWINSZ, address(record));
  } else if (r.type == kData) {
    typed_at = 0;
    typed_end = r.size;
  } else if (r.type == kEnd) {
    termios settings;
    if (call(__NR_ioctl, kStream, TCGETS, address(&settings)) < 0) return;
    record[0] = static_cast<char>(settings.c_cc[VEOF]);
    typed_at = 0;
    typed_end = 1;
  }
}

void type() {
  const long n = call(__NR_write, kStream, address(record + typed_at), typed_end - typed_at);
  if (n > 0) typed_at += static_cast<unsigned>(n);
  // No open side that could take it: it is lost, as on any terminal.
  if (n < 0 && n != -EAGAIN && n != -EINTR) typed_at = typed_end;
}

[[noreturn]] void serve_terminal() {
  for (;;) {
    const bool typing = typed_at != typed_end;
    pollfd fds[2] = {{typing ? -1 : kFifo, POLLIN, 0},
                     {kStream, static_cast<short>(typing ? POLLIN | POLLOUT : POLLIN), 0}};
    if (wait_for(fds, 2) < 0) continue;
    if (fds[1].revents & (POLLIN | POLLHUP)) {
      const long n = call(__NR_read, kStream, address(shown), kRecord);
      if (n > 0 && !write_all(kOutput, shown, n)) leave();
      if (n == -EIO) {
        if (call(__NR_kill, -1, 0) == -ESRCH) leave();
        pause_ms(50);
      }
    }
    if (typing && (fds[1].revents & POLLOUT)) type();
    if (!typing && (fds[0].revents & POLLIN)) take_record();
  }
}

}  // namespace

extern "C" [[noreturn, gnu::used]] void relay_main(long* stack) {
  // Whoever signals everybody in the unit doesn't mean this. What can't be blocked can't.
  unsigned long all = ~0ul;
  call(__NR_rt_sigprocmask, 0 /* SIG_BLOCK */, address(&all), 0, sizeof all);
  const char* const* argv = reinterpret_cast<const char* const*>(stack + 1);
  if (stack[0] >= 2 && argv[1][0] == 't') serve_terminal();
  serve_input();
}
asm(".globl _start\n_start:\n  xor %ebp, %ebp\n  mov %rsp, %rdi\n  and $-16, %rsp\n  call relay_main\n");
