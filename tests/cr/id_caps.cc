// cr: capability sets, ambient and bounding sets, securebits, no_new_privs, keepcaps
// needs: root
#include <linux/capability.h>
#include <linux/securebits.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "util/step.h"

struct Caps {
  __user_cap_data_struct data[2];
};

static Caps get_caps() {
  __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  Caps caps;
  CHECK_EQ(syscall(SYS_capget, &header, caps.data), 0);
  return caps;
}
static void set_caps(Caps caps) {
  __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  CHECK_EQ(syscall(SYS_capset, &header, caps.data), 0);
}

// `keep` becomes effective; one more is only permitted, one inheritable and ambient.
static int limited(bool no_new_privs) {
  MUST(prctl(PR_CAPBSET_DROP, CAP_SYS_BOOT, 0, 0, 0));
  MUST(prctl(PR_CAPBSET_DROP, CAP_SYS_MODULE, 0, 0, 0));
  MUST(prctl(PR_SET_SECUREBITS, SECBIT_NOROOT | SECBIT_NO_SETUID_FIXUP | SECBIT_NO_SETUID_FIXUP_LOCKED, 0, 0, 0));
  Caps caps = {};
  caps.data[0].effective = 1u << CAP_NET_BIND_SERVICE | 1u << CAP_KILL;
  caps.data[0].permitted = caps.data[0].effective | 1u << CAP_CHOWN;
  caps.data[0].inheritable = 1u << CAP_NET_BIND_SERVICE;
  set_caps(caps);
  MUST(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_NET_BIND_SERVICE, 0, 0));
  if (no_new_privs) MUST(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
  for (int i = 0; i < steps(); i++) {
    Caps now = get_caps();
    CHECK_EQ(now.data[0].effective, caps.data[0].effective);
    CHECK_EQ(now.data[0].permitted, caps.data[0].permitted);
    CHECK_EQ(now.data[0].inheritable, caps.data[0].inheritable);
    CHECK_EQ(now.data[1].effective | now.data[1].permitted, 0);
    CHECK_EQ(prctl(PR_CAPBSET_READ, CAP_SYS_BOOT, 0, 0, 0), 0);
    CHECK_EQ(prctl(PR_CAPBSET_READ, CAP_SYS_MODULE, 0, 0, 0), 0);
    CHECK_EQ(prctl(PR_CAPBSET_READ, CAP_KILL, 0, 0, 0), 1);
    CHECK_EQ(prctl(PR_GET_SECUREBITS, 0, 0, 0, 0),
             SECBIT_NOROOT | SECBIT_NO_SETUID_FIXUP | SECBIT_NO_SETUID_FIXUP_LOCKED);
    CHECK_EQ(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, CAP_NET_BIND_SERVICE, 0, 0), 1);
    CHECK_EQ(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), no_new_privs);
    sleep_ms(5);
  }
  return 0;
}

int main() {
  Caps all = get_caps();
  if (!(all.data[0].effective >> CAP_SETPCAP & 1)) skip("needs CAP_SETPCAP");
  pid_t children[] = {spawn([] { return limited(false); }), spawn([] { return limited(true); }), spawn([] {
                        MUST(prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0));
                        for (int i = 0; i < steps(); i++) {
                          CHECK_EQ(prctl(PR_GET_KEEPCAPS, 0, 0, 0, 0), 1);
                          sleep_ms(5);
                        }
                        return 0;
                      })};
  ready();
  for (int i = 0; i < steps(); i++) {
    step();
    Caps now = get_caps();
    CHECK(!memcmp(&now, &all, sizeof all));
    note("round %d", i);
  }
  for (pid_t child : children) CHECK_EQ(reap(child), 0);
  finish();
}
