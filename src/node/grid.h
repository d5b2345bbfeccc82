// An embedded grid: a controller and N nodes on this machine, each node its own host (network, mount, PID, IPC and UTS
// namespaces, own state directory). How it is built, and why nothing is left when it falls over: grid.cc.
//
//     node::GridOptions options{.state_dir = "/var/lib/godwit", .nodes = 3};
//     TRY_DO(node::grid_up(options, [](std::string_view step) { … }));
//     TRY_DO(node::grid_down("/var/lib/godwit", false));
//
//     STATE/                 client.json, ca.crt, client.crt, client.key: what the command line needs; grid.json
//     STATE/controller/      ca.key, controller.crt, controller.key, controller.db, controller.log, control.sock
//     STATE/sites/NAME/      ca.crt, ca.key of another site whose nodes are here, too
//     STATE/nodes/NAME/      ca.crt, node.crt, node.key, node.log, units/, chunks/; and `notice`, when it
//                            is written, says that the node goes (notice.h)
#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace godwit::node {

/// `godwit up`.
struct GridOptions {
  std::string state_dir;
  int nodes = 3;                             ///< --nodes, 1 to 64
  std::map<std::string, std::string> roots;  ///< --root NAME=DIR
  /// --nodes A,B,…: of each node; what isn't this machine's is emulated. Empty: all are this machine's.
  std::vector<std::string> architectures;
  std::map<std::string, std::string> sites;  ///< --site NAME=NODE,…: nodes of other sites, by node
  std::string network = "10.77.0.0/24";      ///< --network: addresses inside the grid; nothing outside sees them
  std::string program;                       ///< the godwit binary; empty: this program
};
/// Starts a grid and returns when every node is registered. On failure nothing is left running.
Result<void> grid_up(const GridOptions& options, const std::function<void(std::string_view)>& progress);
/// Stops all of it: units, keepers, daemons, namespaces, mounts. Safe to repeat; no grid is no error. `purge` removes
/// the state directory's content too: images, history, certificates.
Result<void> grid_down(const std::string& state_dir, bool purge);

/// One daemon of a running grid.
struct GridMember {
  std::string name;   ///< "controller", "node-1", …
  int holder_pid = 0;  ///< PID 1 of its namespaces, seen from here
  int daemon_pid = 0;  ///< seen from here; 0: not running
  std::string address;
};
Result<std::vector<GridMember>> grid_members(const std::string& state_dir);

// For tests: what goes wrong on real machines (`godwit grid …`, not shown in the help).

/// SIGKILL to the daemon `name` ("controller" or a node); its keepers live on.
Result<void> grid_kill(const std::string& state_dir, const std::string& name);
/// Starts that daemon again. `fault` arms fault points in it (base/fault.h).
Result<void> grid_start(const std::string& state_dir, const std::string& name, const std::string& fault = {});
/// The machine dies: node `name` with all its keepers and units.
Result<void> grid_crash(const std::string& state_dir, const std::string& name);
/// A crashed machine boots: new namespaces, daemon started. Its units are gone.
Result<void> grid_boot(const std::string& state_dir, const std::string& name, const std::string& fault = {});
/// Cuts (up = false) or mends the link of node `name`: packets vanish, nobody is told.
Result<void> grid_link(const std::string& state_dir, const std::string& name, bool up);

}  // namespace godwit::node
