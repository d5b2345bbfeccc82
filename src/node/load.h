// What this machine is and how busy it is, from /proc.
#pragma once

#include <string>

#include "godwit/control.pb.h"

namespace godwit::node {

/// Root of the machine. In a user namespace uid 0 is somebody else outside.
bool is_privileged();
wire::NodeLoad measure_load(const std::string& state_dir);
/// Architecture, kernel, distribution of `root` (empty: this one), rights; load.
wire::NodeInfo describe_machine(const std::string& root, const std::string& state_dir);

}  // namespace godwit::node
