// controller: units, nodes, migrations, history. Decides where a unit runs, drives its moves, and holds the one commit
// point. Never touches a process. One process, `godwit controller`; its whole state is one SQLite file.
//
//     controller::Options options;
//     options.state_dir = "/var/lib/godwit/controller";
//     options.listen = "10.77.0.1:7400";
//     return controller::run(options);      // until SIGTERM
//
// A SIGKILL at any moment loses nothing: what was promised is in the file, and moves that weren't final are taken up
// again by asking the nodes (mover.h). Why a commit may wait for no disk: docs/design/commit.md.
#pragma once

#include <string>

namespace godwit::controller {

struct Options {
  std::string state_dir;     ///< holds controller.db
  std::string identity_dir;  ///< holds ca.crt, controller.crt, controller.key and ca.key; empty: state_dir
  std::string listen;        ///< host:port (port 0: any) or unix:PATH; several with commas
  std::string join_listen;   ///< host:port for nodes that have no certificate yet; empty: none may join
  std::string ready_file;    ///< written when it serves: the address; empty: none
  bool insecure = false;     ///< no TLS: tests on one machine only
};

/// Serves until SIGTERM or SIGINT. Returns the exit status of the process.
int run(const Options& options);

}  // namespace godwit::controller
