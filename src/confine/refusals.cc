// The refusal table. Sorted by code.
#include <algorithm>

#include "base/check.h"
#include "confine/confine.h"

namespace godwit::confine {
namespace {

constexpr Refusal kTable[] = {
    {"enforce-addresses", "a document that limits addresses, on a node that can't enforce it",
     "programs on a control group's sockets can't be loaded here", "a node that runs as root, with cgroup 2 mounted"},
    {"enforce-cpu", "a document with a limit of CPU time, on a node that can't enforce it",
     "no control group with the controller cpu can be made here", "a node that runs as root, with that controller"},
    {"enforce-memory", "a document with a limit of memory, on a node that can't enforce it",
     "no control group with the controller memory can be made here", "a node that runs as root, with that controller"},
    {"enforce-paths", "a document with limits or rules on paths, on a node that can't enforce them",
     "the kernel's Landlock is missing, off, or older than Linux 6.2",
     "a node with a newer kernel, or with Landlock on"},
    {"enforce-processes", "a document with a limit of processes, on a node that can't enforce it",
     "no control group with the controller pids can be made here", "a node that runs as root, with that controller"},
};

}  // namespace

std::span<const Refusal> refusals() { return kTable; }

engine::Blocker make_blocker(std::string_view code, const std::string& object, const std::string& detail) {
  const auto* row = std::ranges::find(kTable, code, &Refusal::code);
  GODWIT_CHECK(row != std::end(kTable), code);
  std::string reason(row->reason);
  if (!detail.empty()) reason += " (" + detail + ")";
  return {std::string(row->code), object, std::move(reason), std::string(row->lift)};
}

}  // namespace godwit::confine
