// godwit-keeper: see keeper.h and docs/design/processes.md. Started by a node's daemon (link/keeper_args.h).
#include <signal.h>

#include <cstdio>

#include "base/base.h"
#include "base/heap.h"
#include "base/root.h"
#include "keeper/handover.h"
#include "keeper/keeper.h"

namespace {

using namespace godwit;

Result<int> start(const link::KeeperArgs& args) {
  keeper::NodeIdentity identity;
  TRY(identity.node, pki::load(args.state, "node"));
  TRY(identity.sites, pki::Sites::load(args.state));
  TRY(const auto facts, pki::inspect(identity.node.certificate));
  identity.name = facts.name;
  if (auto key = delegation::PrivateKey::load(args.state + "/trace.key"); key)
    identity.trace = *std::move(key);
  else if (key.error().errnum != ENOENT)
    log::warn("handovers can't be signed: {}", key.error().message());
  identity.wish = delegation::load_wish(args.state);
  if (!args.root.empty()) TRY_DO(enter_root(args.root, {args.state}));
  keeper::Keeper k(args, Fd(link::kKeeperListener), std::move(identity));
  return k.run();
}

}  // namespace

int main(int argc, char** argv) {
  keep_freed_memory();  // what is built or looked at before a freeze is built or looked at again in it
  log::set_up({.program = "godwit-keeper", .file = {}, .level = "info"});
  ::signal(SIGPIPE, SIG_IGN);  // the unit's programs start with every signal at its default (pod/sandbox.cc)
  const auto args = link::parse_keeper_args(argc, argv);
  if (!args) {
    std::fprintf(stderr, "%s\n", args.error().message().c_str());
    return 2;
  }
  const auto status = start(*args);
  if (!status) {
    log::error("can't start: {}", status.error().message());
    return 1;
  }
  return *status;
}
