// cr: seccomp filters: two on top of each other, one on a single thread, strict enough to be noticed
// needs: root
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "util/step.h"

static volatile int turn, done;

// From here on `number` fails with `error` in the calling thread.
static void forbid(long number, int error) {
  sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<uint32_t>(number), 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | static_cast<uint32_t>(error)),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  sock_fprog program = {4, code};
  MUST(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
  CHECK_EQ(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program), 0);
}

static void check_forbidden(long number, int error) {
  CHECK_EQ(syscall(number, -1, -1, -1, -1), -1);
  CHECK_EQ(errno, error);
}

static void* work(void*) {
  forbid(SYS_swapoff, EOWNERDEAD);
  for (int i = 1; i <= steps(); i++) {
    wait_until(&turn, i);
    check_forbidden(SYS_swapon, EXFULL);
    check_forbidden(SYS_swapoff, EOWNERDEAD);
    add(&done);
  }
  return nullptr;
}

int main() {
  forbid(SYS_swapon, EXFULL);
  pthread_t helper = thread(work);
  forbid(SYS_reboot, ENOTUNIQ);
  // The engine's remote calls must get through filters that forbid what it uses itself.
  pid_t strict = spawn([] {
    for (long number : {SYS_mmap, SYS_munmap, SYS_rt_sigaction, SYS_prctl, SYS_userfaultfd}) {
      if (number != SYS_prctl) forbid(number, EPROTO);
    }
    for (int i = 0; i < steps(); i++) {
      check_forbidden(SYS_munmap, EPROTO);
      check_forbidden(SYS_reboot, ENOTUNIQ);
      sleep_ms(3);
    }
    return 0;
  });
  ready();
  for (int i = 1; i <= steps(); i++) {
    add(&turn);
    step();
    wait_until(&done, i);
    CHECK_EQ(prctl(PR_GET_SECCOMP, 0, 0, 0, 0), SECCOMP_MODE_FILTER);
    check_forbidden(SYS_swapon, EXFULL);
    check_forbidden(SYS_reboot, ENOTUNIQ);
    CHECK(syscall(SYS_swapoff, -1) == -1 && errno != EOWNERDEAD);  // only the helper's
    note("round %d", i);
  }
  pthread_join(helper, nullptr);
  CHECK_EQ(reap(strict), 0);
  finish();
}
