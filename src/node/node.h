// node: the daemon of one machine, and grids of several nodes on this one.
//
// The daemon starts keepers, relays what the controller and the keepers want of each other, reports load. It holds no
// state that isn't in STATE/ (docs/design/processes.md): killed and started again it finds its keepers by their sockets
// and takes up what was in progress. It never guesses the outcome of a move and never touches a process of a unit.
//
//     node::Options options;
//     options.state_dir = "/var/lib/godwit/node";       // ca.crt, node.crt, node.key; units/, chunks/
//     options.controller = "10.77.0.254:7400";
//     return node::run(options);                         // until SIGTERM; the units live on
#pragma once

#include "base/result.h"
#include "node/grid.h"

namespace godwit::node {

inline constexpr int kControlPort = 7411;
inline constexpr int kDataPort = 7412;
/// Machines without a certificate join at the controller's port plus this (`godwit controller --join`).
inline constexpr int kJoinPortOffset = 1;

/// `godwit node`.
struct Options {
  std::string state_dir;  ///< --state
  std::string name;  ///< --name; empty: the name in node.crt
  std::string controller;  ///< --controller HOST:PORT
  std::string grid;  ///< --grid SITE: whose controller that is, when it isn't this node's own site's
  std::string listen;  ///< --listen HOST:PORT, the Node service; empty: 0.0.0.0:7411
  std::string data_listen;  ///< --data HOST:PORT, the streams of moves; empty: 0.0.0.0:7412
  std::string advertise;  ///< --advertise HOST: where others reach this node; empty: the host of --listen
  std::string root;  ///< --root DIR: the units' root file system; empty: the machine's own
  std::string arch;  ///< --arch: that of its units, when they run under qemu-user; empty: the machine's own
  std::string
      notice_file;  ///< --notice-file FILE: when it is there, this machine goes in as many seconds as it says (notice.h)
  std::string ready_file;  ///< --ready FILE: written when it serves and is registered
  int outer_pid = 0;  ///< --outer-pid N: what to report as its pid (a node of an embedded grid doesn't know it)
  bool insecure = false;  ///< --insecure: no TLS; tests on one machine only
};
/// Serves until SIGTERM or SIGINT. Returns the exit status of the process.
int run(const Options& options);

/// `godwit node join`: gets a certificate for a one-time token (`godwit token create`). The private key is made here and
/// never leaves. Writes ca.crt, node.crt, node.key and node.json (the options for run()) into `state_dir`.
struct JoinOptions {
  std::string token;  ///< --token, as `token create` printed it: it also pins the grid's authority
  std::string controller;  ///< --controller HOST:PORT
  std::string name;  ///< --name; empty: the host's name
  std::string state_dir;  ///< --state
  std::string listen;  ///< --listen
  std::string data_listen;  ///< --data
  std::string advertise;  ///< --advertise
  std::string root;  ///< --root
  std::string arch;  ///< --arch
  std::string notice_file;  ///< --notice-file
};
Result<Options> join(const JoinOptions& options);
/// The options that join() wrote, for a start after a reboot: `godwit node --state DIR` alone.
Result<Options> load_options(const std::string& state_dir);

}  // namespace godwit::node
