// How a daemon starts a keeper: the command line, written and read in one place.
//
//     godwit-keeper --unit ID --dir STATE/units/ID --state STATE --node NAME [--root DIR] [--arch ARCHITECTURE]
//
// Descriptors: 0 /dev/null; 1 and 2 DIR/keeper.log, appended; 3 the listening socket DIR/keeper.sock.
// It is started in its own session with every signal at its default, and is nobody's child (the daemon forks twice), so
// nothing waits for it; the daemon knows by the socket that it is gone.
// STATE holds its identity (ca.crt, node.crt, node.key: base/pki.h) and the node's stores. Descriptors into DIR and STATE
// must be opened before the keeper enters any other root.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"

namespace godwit::link {

struct KeeperArgs {
  std::string unit;
  std::string dir;
  std::string state;
  std::string node;
  /// Root file system of this node when it isn't the machine's own (an embedded grid's `--root`): the keeper calls
  /// enter_root() (base/root.h) with it before anything else. Empty: the machine's own.
  std::string root;
  /// Architecture of this node when it isn't the machine's own: units run under qemu-user.
  std::string arch;
  bool operator==(const KeeperArgs&) const = default;
};
inline constexpr int kKeeperListener = 3;

/// argv[1…] for the keeper.
std::vector<std::string> to_arguments(const KeeperArgs& args);
Result<KeeperArgs> parse_keeper_args(int argc, const char* const* argv);

}  // namespace godwit::link
