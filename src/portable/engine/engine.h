// The portable engine: moves a running portable program, from a node of any architecture to a node of any other.
//
// The program itself saves and rebuilds all that it has but its memory, at its adaptation points (runtime/request.cc,
// runtime/arrive.cc). Memory lies at the same addresses on every architecture, so this engine moves pages as they are: it reads
// them out of the one process and writes them into the other, which was started ahead and waits. What was written since a page
// was sent is found as in the pod engine (pod/write_tracker.h), because what runs is a process of this machine, an emulated
// one too.
//
//     source       inspect: descriptors, children, files │ rounds of memory │ freeze: all threads at rest, the image │ the rest
//     destination  prepare: the program starts and waits, areas are mapped │ pages │ restore: the image │ resume: the commit
//
// A unit of this engine is one process below its init; what Godwit itself put beside it (the terminal's relay) doesn't count.
//
// Threads: as engine.h says.
#pragma once

#include <sys/types.h>

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "engine/engine.h"

namespace godwit::portable {

struct SourceOptions {
  pid_t init = 0;  ///< of the unit, as this process sees it
  pid_t main_pid = 0;  ///< the program, in the unit's own view
  bool has_input = false;  ///< a terminal, or standard input that is kept open: not carried
  Fd proc;  ///< a /proc that shows the unit
};
Result<std::unique_ptr<engine::SourceEngine>> make_source(SourceOptions options);

struct DestinationOptions {
  std::string architecture;  ///< of this node, as `uname -m`: an emulated one's own
  Fd proc;
  /// Starts the unit's program with one more variable in its environment. Its number as this process sees it.
  std::function<Result<pid_t>(const std::string& program, const std::string& variable)> start;
};
Result<std::unique_ptr<engine::DestinationEngine>> make_destination(DestinationOptions options);

/// For `godwit image show`: one of this engine's messages (`part` is "state", "demands" or "outline") as JSON text. Hostile.
Result<std::string> to_json(std::string_view part, const std::string& bytes);

/// What this engine can't move. A row as in pod/refusals.h.
struct Refusal {
  std::string_view code, what, reason, lift;
};
std::span<const Refusal> refusals();
engine::Blocker make_blocker(std::string_view code, const std::string& object, const std::string& detail = {});

}  // namespace godwit::portable
