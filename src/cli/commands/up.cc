#include <fmt/format.h>
#include <unistd.h>

#include <sstream>

#include "base/io.h"
#include "cli/command.h"
#include "cli/common.h"
#include "cli/context.h"
#include "cli/parse.h"
#include "cli/present.h"
#include "node/grid.h"

namespace godwit::cli {
namespace {

/// `--nodes 3`, or an architecture for each: `--nodes x86_64,aarch64`.
Result<void> read_nodes(const Parsed& parsed, node::GridOptions& options) {
  const std::string text = parsed.get("--nodes");
  if (text.empty() || text.find_first_not_of("0123456789") == std::string::npos) {
    TRY(const long nodes, number(parsed, "--nodes", 1, 64, 3));
    options.nodes = static_cast<int>(nodes);
    return {};
  }
  std::istringstream words(text);
  for (std::string word; std::getline(words, word, ',');) options.architectures.push_back(word);
  options.nodes = static_cast<int>(options.architectures.size());
  return {};
}

int run(Context& context, const Parsed& parsed) {
  node::GridOptions options;
  if (const auto read = read_nodes(parsed, options); !read) return context.report(read.error());
  options.state_dir = context.state_dir;
  if (parsed.has("--network")) options.network = parsed.get("--network");
  for (const auto& root : parsed.all("--root")) {
    const size_t equals = root.find('=');
    if (equals == std::string::npos || equals == 0)
      return context.report(Error{Code::kUsage, 0, fmt::format("--root wants NODE=DIR, not \"{}\"", root)});
    OR_REPORT(const std::string dir, real_path(root.substr(equals + 1)));
    options.roots[root.substr(0, equals)] = dir;
  }
  for (const auto& site : parsed.all("--site")) {
    const size_t equals = site.find('=');
    if (equals == std::string::npos || equals == 0)
      return context.report(Error{Code::kUsage, 0, fmt::format("--site wants NAME=NODE,…, not \"{}\"", site)});
    std::istringstream nodes(site.substr(equals + 1));
    for (std::string node; std::getline(nodes, node, ',');) options.sites[node] = site.substr(0, equals);
  }
  ProgressBar bar("godwit up");
  const auto up = node::grid_up(options, [&](std::string_view step) {
    wire::Progress p;
    p.set_step(std::string(step));
    bar.show(p);
  });
  bar.clear();
  if (!up) return context.report(up.error());
  OR_REPORT(auto* controller, context.controller());
  wire::NodesReply reply;
  grpc::ClientContext call;
  if (const auto status = controller->Nodes(&call, {}, &reply); !status.ok()) return context.report(status);
  context.print(context.json
                    ? nodes_json(reply.nodes())
                    : nodes_table(reply.nodes()) + "Run something: godwit run -- CMD. Stop it all: godwit down\n");
  return kDone;
}

}  // namespace

const Command kUp = {
    .name = "up",
    .group = "grid",
    .summary = "start a grid on this machine: a controller and some nodes",
    .options = {{"--nodes", "-n", "N|ARCH,…",
                 "how many nodes, node-1 to node-N, or the architecture of each; 3 when left out"},
                {"--root", "", "NODE=DIR", "give a node another root file system", Words::kNone, true},
                {"--site", "", "NAME=NODE,…", "nodes that are another site's, lent to this grid", Words::kNone, true},
                {"--network", "", "A.B.C.0/24", "addresses inside the grid; nothing outside sees them"}},
    .details =
        "Each node is a host of its own: its own network, mounts, processes and state directory. "
        "Certificates are made for it. Returns when every node is there; when one fails to start, "
        "nothing is left running.\n\n"
        "Nodes of another architecture than this machine's are emulated by qemu-user. They take portable programs "
        "only: "
        "those that godwit cc or godwit c++ compiled.\n\n"
        "Nodes of another site have that site's authority, and are called NAME/NODE. Grid and site trust each other; "
        "see "
        "godwit site trust.",
    .examples =
        "  godwit up --nodes 3\n  godwit up --nodes 2 --root node-2=/srv/other-debian\n  godwit up --nodes "
        "x86_64,aarch64,riscv64\n  godwit up --nodes 3 --site away=node-3\n  godwit down",
    .json = true,
    .run = run};

}  // namespace godwit::cli
