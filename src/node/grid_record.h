// What an embedded grid is made of: the record in STATE/grid.json, the paths in STATE, the certificates.
#pragma once

#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "node/grid.h"
#include "node/spawn.h"

namespace godwit::node {

struct GridNode {
  std::string name;
  std::string address;
  std::string root;   ///< empty: the machine's own
  std::string arch;   ///< empty: the machine's own
  std::string site;   ///< empty: the grid's own
  ProcessRef holder;  ///< PID 1 of its namespaces
  ProcessRef daemon;
};
struct GridRecord {
  std::string program;
  std::string network;
  std::string controller_address;  ///< HOST:PORT inside the grid
  bool rootless = false;           ///< everything is in a user namespace
  ProcessRef hub;                  ///< PID 1 of the grid: when it ends, all of the grid does
  ProcessRef controller;
  std::vector<GridNode> nodes;
};

Result<void> save_record(const std::string& state_dir, const GridRecord& record);
/// Code::kNotFound when there is none, or one of before the last boot.
Result<GridRecord> load_record(const std::string& state_dir);
Result<GridNode*> find_node(GridRecord& record, const std::string& name);

/// Held while a grid is changed; a second `up` or `down` waits.
Result<Fd> lock_grid(const std::string& state_dir);

std::string node_dir(const std::string& state_dir, const std::string& name);
std::string controller_dir(const std::string& state_dir);
/// Of another site's authority.
std::string site_dir(const std::string& state_dir, const std::string& site);
/// Where the command line reaches the controller: a UNIX socket, as the grid's network isn't the host's.
std::string controller_socket(const std::string& state_dir);

/// Directories, the authority (kept when there is one), certificates for the controller, the client and each node,
/// client.json; for nodes of other sites their sites' authorities, trusted by the grid and trusting it. What is there already
/// is used.
Result<void> make_state(const std::string& state_dir, const GridRecord& record);

/// "10.77.0.0/24" and 7 → "10.77.0.7".
Result<std::string> address_in(const std::string& network, unsigned host);
/// Code::kUsage unless it is an IPv4 network with room for `hosts`.
Result<void> check_network(const std::string& network, unsigned hosts);
std::string prefix_of(const std::string& network);  ///< "/24"

}  // namespace godwit::node
