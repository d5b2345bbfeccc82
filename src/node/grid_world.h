// The namespaces and links of an embedded grid. The essay is in grid.cc.
#pragma once

#include <string>

#include "base/fd.h"
#include "base/result.h"
#include "node/grid_record.h"

namespace godwit::node {

/// The grid's init and the bridge. It ends, and the whole grid with it, when `lifeline` closes without a byte having
/// come: so a starter that is killed half-way leaves nothing.
struct Hub {
  ProcessRef process;
  Fd lifeline;
};
Result<Hub> make_hub(const GridRecord& record);
/// From now on the hub lives without its starter.
Result<void> release_hub(Hub& hub);

/// A node's init, its network interface and address.
Result<ProcessRef> make_node_world(const GridRecord& record, const GridNode& node);

/// Starts a daemon in the namespaces of `holder`: argv[0] is the program's path, `fault` goes into GODWIT_FAULT, "{pid}"
/// in an argument becomes its PID as seen from here.
Result<ProcessRef> start_daemon(const GridRecord& record, const ProcessRef& holder, std::vector<std::string> argv,
                                const std::string& log, const std::string& fault);

Result<void> set_link(const GridRecord& record, const GridNode& node, bool up);

}  // namespace godwit::node
