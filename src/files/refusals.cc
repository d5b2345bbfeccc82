// The table of refusals. Sorted by code.
#include "files/refusals.h"

#include <algorithm>

#include "base/check.h"

namespace godwit::files {
namespace {

constexpr Refusal kTable[] = {
    {"disk-space", "files that don't fit on the destination's disk",
     "the state directory's file system has too little room for them",
     "freeing space there, or a larger state directory (--state)"},
    {"file-path", "a file that can't be put at its path on the destination", "something else is in its way there",
     "moving that out of the way on the destination, or running the program from another directory"},
    {"file-unreadable", "a file that the program uses and Godwit can't read",
     "its content can't be compared or carried", "running Godwit as a user who may read it"},
    {"file-vanished", "a file that the program uses and that is gone or replaced",
     "under its path there is no longer what the program opened",
     "restoring the file, or letting the program open it again"},
    {"file-write-not-shared", "a file open for writing outside of the work directory",
     "the destination does not see the same file, so what is written would be lost to the others who use it",
     "a file system that both machines share, or running the program with --dir on that directory"},
    {"shared-memory-space", "shared memory (/dev/shm) that doesn't fit into the destination's memory",
     "what the program has there lies in memory", "freeing memory there, or another node"},
    {"view-layer", "files that must be carried, where the unit's directory can't hold an overlay's upper layer",
     "the kernel refuses that file system as an overlay's upper layer (another overlay, a network file system)",
     "a state directory on a local disk or tmpfs (--state)"},
    {"view-stack", "files that must be carried, to a host whose root is already two overlays deep",
     "the kernel stacks file systems only two deep (FILESYSTEM_MAX_STACK_DEPTH)",
     "installing the files on the destination, or a node whose root is no overlay of an overlay"},
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

}  // namespace godwit::files
