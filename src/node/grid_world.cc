#include "node/grid_world.h"  // first, so that the header proves self-contained

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>

#include "base/io.h"
#include "base/sys.h"

namespace godwit::node {
namespace {

constexpr int kMountAndNames = CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC;
constexpr int kHubWorld = CLONE_NEWPID | CLONE_NEWNET | kMountAndNames;
constexpr int kNodeWorld = CLONE_NEWPID | CLONE_NEWNET | kMountAndNames;

// A bridge without an address of its own takes the lowest of its ports': it changes when that port's node crashes, and the
// other nodes talk to an address that nobody has until their ARP entries expire. Locally administered.
constexpr const char* kBridgeAddress = "02:67:6f:64:00:01";

int user_flag(const GridRecord& record) { return record.rootless ? CLONE_NEWUSER : 0; }

// Interface names hold 15 characters, node names 63: the bridge's ends are numbered.
std::string hub_end(const GridRecord& record, const GridNode& node) {
  const auto it = std::ranges::find(record.nodes, node.name, &GridNode::name);
  return "to" + std::to_string(it - record.nodes.begin() + 1);
}

int complain(const char* step) {
  std::perror(step);
  return 1;
}

void on_child(int) {}
// What an init of a PID namespace does: bury the dead. SIGCHLD stays blocked, so none that comes between the two calls
// is missed.
[[noreturn]] void bury() {
  sigset_t child;
  ::sigemptyset(&child);
  ::sigaddset(&child, SIGCHLD);
  for (;;) {
    while (::waitpid(-1, nullptr, WNOHANG) > 0) {
    }
    ::sigwaitinfo(&child, nullptr);
  }
}

int become_init(const std::string& host_name) {
  struct sigaction action{};
  action.sa_handler = on_child;
  ::sigaction(SIGCHLD, &action, nullptr);
  sigset_t child;
  ::sigemptyset(&child);
  ::sigaddset(&child, SIGCHLD);
  ::sigprocmask(SIG_BLOCK, &child, nullptr);
  if (::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) < 0) return complain("private mounts");
  if (::mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr) < 0)
    return complain("mounting /proc");
  if (::sethostname(host_name.c_str(), host_name.size()) < 0) return complain("naming the host");
  return 0;
}

Result<void> links(const ProcessRef& where, const GridRecord& record, const std::string& batch) {
  return run_in(where, user_flag(record) | CLONE_NEWNET, {"ip", "-batch", "-"}, batch);
}

// Makes the daemon's environment small and known: nothing of the user's shell may change how a node behaves.
std::vector<std::string> daemon_environment(const std::string& fault) {
  std::vector<std::string> out = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"};
  for (const char* name : {"HOME", "LANG", "GODWIT_LOG"}) {
    if (const char* value = std::getenv(name)) out.push_back(std::string(name) + "=" + value);
  }
  if (!fault.empty()) out.push_back("GODWIT_FAULT=" + fault);
  return out;
}

std::vector<char*> pointers(std::vector<std::string>& strings) {
  std::vector<char*> out;
  for (auto& s : strings) out.push_back(s.data());
  out.push_back(nullptr);
  return out;
}

}  // namespace

Result<Hub> make_hub(const GridRecord& record) {
  TRY(auto lifeline, sys::pipe());
  SpawnPlan plan;
  plan.make = kHubWorld | user_flag(record);
  plan.map_user = record.rootless;
  plan.keep = {lifeline.first.get()};
  plan.main = [wait = lifeline.first.get()](pid_t) {
    if (const int bad = become_init("godwit-hub"); bad != 0) return bad;
    char byte;
    ssize_t n;
    do n = ::read(wait, &byte, 1);
    while (n < 0 && errno == EINTR);
    if (n != 1) return 1;  // the starter died: so does everything
    ::close(wait);
    bury();
  };
  Hub hub;
  TRY(hub.process, spawn(plan));
  hub.lifeline = std::move(lifeline.second);
  const std::string host = record.controller_address.substr(0, record.controller_address.rfind(':'));
  TRY_IN("the grid's bridge", links(hub.process, record,
                                    "link set lo up\n"
                                    "link add grid0 address " +
                                        std::string(kBridgeAddress) +
                                        " type bridge\n"
                                        "addr add " +
                                        host + prefix_of(record.network) +
                                        " dev grid0\n"
                                        "link set grid0 up\n"));
  return hub;
}

Result<void> release_hub(Hub& hub) {
  TRY_DO(io::write_full(hub.lifeline.get(), "k"));
  hub.lifeline.reset();
  return {};
}

Result<ProcessRef> make_node_world(const GridRecord& record, const GridNode& node) {
  SpawnPlan plan;
  plan.enter_of = &record.hub;
  plan.enter = kHubWorld | user_flag(record);
  plan.make = kNodeWorld;
  plan.main = [name = node.name](pid_t) {
    if (const int bad = become_init(name); bad != 0) return bad;
    bury();
  };
  TRY(const ProcessRef holder, spawn(plan));
  const std::string end = hub_end(record, node);
  // A crashed node's link goes when the kernel gets round to it; a new one of that name can't wait for that.
  (void)links(record.hub, record, "link del " + end + "\n");
  // The PID names the node's network namespace to the kernel, as seen from here: so `ip` isn't in the hub's PID namespace.
  TRY_IN("the link of " + node.name,
         links(record.hub, record,
               "link add " + end + " type veth peer name eth0 netns " + std::to_string(holder.pid) + "\nlink set " +
                   end + " master grid0\nlink set " + end + " up\n"));
  TRY_IN("the address of " + node.name, links(holder, record,
                                              "link set lo up\naddr add " + node.address + prefix_of(record.network) +
                                                  " dev eth0\nlink set eth0 up\n"));
  return holder;
}

Result<ProcessRef> start_daemon(const GridRecord& record, const ProcessRef& holder, std::vector<std::string> argv,
                                const std::string& log, const std::string& fault) {
  SpawnPlan plan;
  plan.enter_of = &holder;
  plan.enter = kNodeWorld | user_flag(record);
  plan.log = log;
  auto environment = daemon_environment(fault);
  plan.main = [&](pid_t outer_pid) {
    for (auto& a : argv) {
      if (a == "{pid}") a = std::to_string(outer_pid);
    }
    const auto args = pointers(argv);
    const auto env = pointers(environment);
    if (::chdir("/") < 0) return complain("chdir /");
    ::execve(args[0], args.data(), env.data());
    return complain(args[0]);
  };
  return spawn(plan);
}

Result<void> set_link(const GridRecord& record, const GridNode& node, bool up) {
  return links(record.hub, record, "link set " + hub_end(record, node) + (up ? " up\n" : " down\n"));
}

}  // namespace godwit::node
