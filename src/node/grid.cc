// An embedded grid: several machines on one, for trying Godwit out and for its tests.
//
//     the machine ─┬─ hub: PID 1 of the grid's PID namespace, bridge grid0, the controller
//                  ├─ node-1: PID 1 of its own PID, network, mount, UTS and IPC namespaces; veth to the bridge; daemon
//                  └─ node-2 …
//
// The problem is less to build this than to be sure that nothing of it stays: units outlive daemons by design, so no
// list of processes is ever complete. The idea: everything lives in *one* PID namespace. When its init (the hub) is
// killed the kernel kills all the rest, and with the last process of a namespace go its links and mounts. Nothing is
// pinned by a bind mount, no interface exists in the host's network namespace, so two grids never meet.
//   * `up` killed half-way: the hub's lifeline, a pipe from its starter, closes without a byte, and the hub exits.
//   * `down`: SIGKILL to the hub, wait. A second `down` finds it gone: PIDs are compared with their start times, so one
//     that another process has now is not ours.
//   * A node that "loses power": SIGKILL to its init takes daemon, keepers and units at one blow.
// A node is a PID namespace of its own, nested in the hub's, as two machines may well have the same PIDs.
//
// The command line reaches the controller by a UNIX socket in the state directory: the grid's addresses mean nothing
// outside. An ordinary user's grid is the same in a user namespace in which he is 0 (one user mapped, no helper needed).
//
// A node with `--root` has its keepers and units in another root file system (base/root.h). Its daemon is not: it must
// run where its libraries are.
#include "node/grid.h"  // first, so that the header proves self-contained

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <thread>

#include "base/io.h"
#include "base/pki.h"
#include "base/program_file.h"
#include "base/sites.h"
#include "base/sys.h"
#include "confine/confine.h"
#include "node/grid_record.h"
#include "node/grid_world.h"
#include "node/node.h"
#include "portable/portable.h"

namespace godwit::node {
namespace {

constexpr int kMaxNodes = 64;
constexpr int kControllerPort = 7400;
constexpr auto kReadyLimit = std::chrono::seconds(30);
constexpr auto kPollEvery = std::chrono::milliseconds(10);
constexpr size_t kSocketPathLimit = 107;

std::string ready_path(const std::string& dir) { return dir + "/ready"; }

std::vector<std::string> controller_command(const GridRecord& record, const std::string& state_dir) {
  const std::string dir = controller_dir(state_dir);
  return {record.program, "controller",
          "--state",      dir,
          "--listen",     record.controller_address + ",unix:" + controller_socket(state_dir),
          "--ready",      ready_path(dir)};
}

std::vector<std::string> node_command(const GridRecord& record, const std::string& state_dir, const GridNode& node) {
  const std::string dir = node_dir(state_dir, node.name);
  std::vector<std::string> out = {record.program,  "node",
                                  "--state",       dir,
                                  "--name",        node.name,
                                  "--controller",  record.controller_address,
                                  "--listen",      node.address + ":" + std::to_string(kControlPort),
                                  "--data",        node.address + ":" + std::to_string(kDataPort),
                                  "--ready",       ready_path(dir),
                                  "--outer-pid",   "{pid}",
                                  "--notice-file", dir + "/notice"};
  if (!node.root.empty()) out.insert(out.end(), {"--root", node.root});
  if (!node.arch.empty()) out.insert(out.end(), {"--arch", node.arch});
  if (!node.site.empty()) out.insert(out.end(), {"--grid", std::string(pki::kDefaultSite)});
  return out;
}

// The last lines of a daemon's log: what a user needs to know when it didn't start.
std::string last_words(const std::string& log) {
  constexpr size_t kTail = 600;
  auto text = io::read_file(log);
  if (!text || text->empty()) return "it wrote nothing to " + log;
  if (text->size() > kTail) *text = "…" + text->substr(text->find('\n', text->size() - kTail));
  return "its log " + log + " ends with:\n" + *text;
}

// Waits for the ready file that this daemon process writes; its end is noticed at once.
Result<void> wait_ready(const ProcessRef& daemon, const std::string& name, const std::string& dir,
                        const std::string& log) {
  const auto limit = std::chrono::steady_clock::now() + kReadyLimit;
  while (!sys::lstat(ready_path(dir))) {
    if (!alive(daemon)) return fail(Code::kFailed, name + " ended while it started; " + last_words(log));
    if (std::chrono::steady_clock::now() > limit) {
      return fail(Code::kFailed, name + " is not ready after 30 s; " + last_words(log));
    }
    std::this_thread::sleep_for(kPollEvery);
  }
  return {};
}

std::string controller_log(const std::string& state_dir) { return controller_dir(state_dir) + "/controller.log"; }
std::string node_log(const std::string& state_dir, const std::string& name) {
  return node_dir(state_dir, name) + "/node.log";
}

Result<void> start_controller(GridRecord& record, const std::string& state_dir, const std::string& fault) {
  (void)sys::unlink(ready_path(controller_dir(state_dir)));
  (void)sys::unlink(controller_socket(state_dir));
  TRY(record.controller,
      start_daemon(record, record.hub, controller_command(record, state_dir), controller_log(state_dir), fault));
  return {};
}

Result<void> start_node(const GridRecord& record, GridNode& node, const std::string& state_dir,
                        const std::string& fault) {
  (void)sys::unlink(ready_path(node_dir(state_dir, node.name)));
  TRY(node.daemon,
      start_daemon(record, node.holder, node_command(record, state_dir, node), node_log(state_dir, node.name), fault));
  return {};
}

Result<void> wait_controller(const GridRecord& record, const std::string& state_dir) {
  return wait_ready(record.controller, "the controller", controller_dir(state_dir), controller_log(state_dir));
}
Result<void> wait_node(const GridNode& node, const std::string& state_dir) {
  return wait_ready(node.daemon, node.name, node_dir(state_dir, node.name), node_log(state_dir, node.name));
}

Result<std::string> this_program() { return sys::read_link("/proc/self/exe"); }

Result<void> check_roots(const GridOptions& options, const GridRecord& record) {
  for (const auto& [name, dir] : options.roots) {
    if (std::ranges::find(record.nodes, name, &GridNode::name) == record.nodes.end()) {
      return fail(Code::kUsage,
                  "--root " + name + "=" + dir + ": the nodes are node-1 to node-" + std::to_string(options.nodes));
    }
    auto st = sys::stat(dir);
    if (!st || !S_ISDIR(st->st_mode)) return fail(Code::kUsage, "--root " + name + "=" + dir + ": not a directory");
    if (dir.empty() || dir.front() != '/' || dir == "/") {
      return fail(Code::kUsage, "--root " + name + "=" + dir + ": give an absolute path other than /");
    }
  }
  return {};
}

Result<void> check_sites(const GridOptions& options, const GridRecord& record) {
  for (const auto& [node, site] : options.sites) {
    if (std::ranges::find(record.nodes, node, &GridNode::name) == record.nodes.end())
      return fail(Code::kUsage, "--site " + site + "=" + node + ": no such node");
    if (!pki::valid_name(site) || pki::reserved_name(site) || site == pki::kDefaultSite)
      return fail(Code::kUsage, "--site " + site + ": that can't be another site's name");
  }
  return {};
}

/// Empty for this machine's own architecture; else it can be emulated here.
Result<std::string> emulated(const std::string& architecture) {
  if (architecture == machine_name()) return std::string();
  TRY_DO(portable::find_emulator(architecture));
  return architecture;
}

Result<GridRecord> plan_grid(const GridOptions& options) {
  if (options.nodes < 1 || options.nodes > kMaxNodes) {
    return fail(Code::kUsage, "--nodes " + std::to_string(options.nodes) + ": 1 to " + std::to_string(kMaxNodes));
  }
  if (options.state_dir.empty() || options.state_dir.front() != '/') {
    return fail(Code::kUsage, "the state directory must be an absolute path: " + options.state_dir);
  }
  if (controller_socket(options.state_dir).size() > kSocketPathLimit) {
    return fail(Code::kUsage, "the state directory's path is too long for a socket: " + options.state_dir);
  }
  const auto count = static_cast<unsigned>(options.nodes);
  TRY_DO(check_network(options.network, count + 1));
  GridRecord record;
  record.rootless = ::geteuid() != 0;
  record.network = options.network;
  record.program = options.program;
  if (record.program.empty()) {
    TRY(record.program, this_program());
  }
  TRY(const std::string controller, address_in(options.network, count + 1));
  record.controller_address = controller + ":" + std::to_string(kControllerPort);
  for (unsigned i = 1; i <= count; i++) {
    GridNode node;
    node.name = "node-" + std::to_string(i);
    TRY(node.address, address_in(options.network, i));
    if (const auto root = options.roots.find(node.name); root != options.roots.end()) node.root = root->second;
    if (!options.architectures.empty()) {
      TRY(node.arch, emulated(options.architectures.at(i - 1)));
    }
    if (const auto site = options.sites.find(node.name); site != options.sites.end()) node.site = site->second;
    record.nodes.push_back(std::move(node));
  }
  TRY_DO(check_roots(options, record));
  TRY_DO(check_sites(options, record));
  return record;
}

Result<void> build(GridRecord& record, Hub& hub, const std::string& state_dir,
                   const std::function<void(std::string_view)>& progress) {
  record.hub = hub.process;
  progress("controller");
  TRY_DO(start_controller(record, state_dir, {}));
  for (auto& node : record.nodes) {
    progress(node.name);
    TRY(node.holder, make_node_world(record, node));
  }
  TRY_DO(wait_controller(record, state_dir));
  for (auto& node : record.nodes) TRY_DO(start_node(record, node, state_dir, {}));
  progress("registering");
  for (const auto& node : record.nodes) TRY_DO(wait_node(node, state_dir));
  return {};
}

// A running grid's record.
struct Open {
  Fd lock;
  GridRecord record;
};
Result<Open> open_grid(const std::string& state_dir) {
  if (!sys::lstat(state_dir)) return fail(Code::kNotFound, "no grid is running in " + state_dir);
  Open open;
  TRY(open.lock, lock_grid(state_dir));
  TRY(open.record, load_record(state_dir));
  if (!alive(open.record.hub)) return fail(Code::kNotFound, "no grid is running in " + state_dir);
  return open;
}

Error explain_rootless(const Error& error) {
  Error e = error.in("an ordinary user's grid needs user namespaces");
  e.code = Code::kRefused;
  e.text += " (as root: godwit up works without them; check /proc/sys/user/max_user_namespaces)";
  return e;
}

}  // namespace

namespace {

/// Control groups of units whose keepers died with the nodes: of all that a node is, they alone are the machine's.
void forget_groups(const std::string& state_dir) {
  const std::string nodes = state_dir + "/nodes";
  for (const auto& node : sys::list_dir(nodes).value_or(std::vector<std::string>())) {
    const std::string units = nodes + "/" + node + "/units";
    for (const auto& unit : sys::list_dir(units).value_or(std::vector<std::string>()))
      confine::forget(units + "/" + unit);
  }
}

}  // namespace

Result<void> grid_up(const GridOptions& options, const std::function<void(std::string_view)>& progress) {
  TRY(GridRecord record, plan_grid(options));
  const std::string& dir = options.state_dir;
  TRY(const Fd lock, lock_grid(dir));
  if (const auto old = load_record(dir); old && alive(old->hub)) {
    return fail(Code::kRefused, "a grid of " + std::to_string(old->nodes.size()) +
                                    " nodes is already running here; stop it with: godwit down");
  }
  progress("certificates");
  TRY_DO(make_state(dir, record));
  auto hub = make_hub(record);
  if (!hub && record.rootless) return std::unexpected(explain_rootless(hub.error()));
  if (!hub) return std::unexpected(std::move(hub).error());
  auto built = build(record, *hub, dir, progress);
  if (built) built = save_record(dir, record);
  if (built) built = release_hub(*hub);
  if (!built) (void)kill_and_wait(hub->process);
  return built;
}

Result<void> grid_down(const std::string& state_dir, bool purge) {
  if (!sys::lstat(state_dir)) return {};
  TRY(const Fd lock, lock_grid(state_dir));
  const auto record = load_record(state_dir);
  if (!record && record.error().code != Code::kNotFound) return std::unexpected(record.error());
  if (record) TRY_DO(kill_and_wait(record->hub));
  forget_groups(state_dir);
  for (const char* name : {"grid.json", "client.json"}) (void)::unlink((state_dir + "/" + name).c_str());
  (void)::unlink(controller_socket(state_dir).c_str());
  if (!purge) return {};
  for (const char* name : {"nodes", "sites", "controller", "ca.crt", "client.crt", "client.key"}) {
    TRY_DO(sys::remove_tree(state_dir + "/" + name));
  }
  return {};
}

Result<std::vector<GridMember>> grid_members(const std::string& state_dir) {
  TRY(const Open open, open_grid(state_dir));
  const auto pid = [](const ProcessRef& p) { return alive(p) ? p.pid : 0; };
  std::vector<GridMember> out;
  out.push_back({"controller", pid(open.record.hub), pid(open.record.controller), open.record.controller_address});
  for (const auto& n : open.record.nodes) out.push_back({n.name, pid(n.holder), pid(n.daemon), n.address});
  return out;
}

Result<void> grid_kill(const std::string& state_dir, const std::string& name) {
  TRY(Open open, open_grid(state_dir));
  if (name == "controller") return kill_and_wait(open.record.controller);
  TRY(const GridNode* node, find_node(open.record, name));
  return kill_and_wait(node->daemon);
}

Result<void> grid_start(const std::string& state_dir, const std::string& name, const std::string& fault) {
  TRY(Open open, open_grid(state_dir));
  GridRecord& record = open.record;
  if (name == "controller") {
    if (alive(record.controller)) return fail(Code::kRefused, "the controller runs");
    TRY_DO(start_controller(record, state_dir, fault));
    TRY_DO(save_record(state_dir, record));
    return wait_controller(record, state_dir);
  }
  TRY(GridNode* const node, find_node(record, name));
  if (!alive(node->holder)) return fail(Code::kRefused, name + " has crashed; boot it");
  if (alive(node->daemon)) return fail(Code::kRefused, "the daemon of " + name + " runs");
  TRY_DO(start_node(record, *node, state_dir, fault));
  TRY_DO(save_record(state_dir, record));
  return wait_node(*node, state_dir);
}

Result<void> grid_crash(const std::string& state_dir, const std::string& name) {
  TRY(Open open, open_grid(state_dir));
  TRY(const GridNode* node, find_node(open.record, name));
  return kill_and_wait(node->holder);
}

Result<void> grid_boot(const std::string& state_dir, const std::string& name, const std::string& fault) {
  TRY(Open open, open_grid(state_dir));
  TRY(GridNode* const node, find_node(open.record, name));
  if (alive(node->holder)) return fail(Code::kRefused, name + " is up");
  TRY(node->holder, make_node_world(open.record, *node));
  TRY_DO(start_node(open.record, *node, state_dir, fault));
  TRY_DO(save_record(state_dir, open.record));
  return wait_node(*node, state_dir);
}

Result<void> grid_link(const std::string& state_dir, const std::string& name, bool up) {
  TRY(Open open, open_grid(state_dir));
  TRY(const GridNode* node, find_node(open.record, name));
  return set_link(open.record, *node, up);
}

}  // namespace godwit::node
