// The standard streams of a unit: /dev/null and the output file, or a terminal, or an input that is kept open.
//
// What must be held open as long as the unit lives is held inside it, by a process of its own (relay/main.cc says why),
// and fed through a FIFO in the unit's mount namespace (feeder.h). So a unit with a terminal is, for a move, a tree like
// any other. The relay's program lies at a path that has its digest in it: a node with another one lacks the file, and
// a move there is refused instead of mixing two programs.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "godwit/common.pb.h"
#include "pod/pod.h"

namespace godwit::keeper {

/// Puts the relay's program beside the output file: in every unit's mount namespace, after bind_output().
Result<void> place_relay();

/// The descriptors that a program is launched with; they may be closed once it was.
struct Streams {
  std::vector<Fd> held;
};
/// Makes the streams that `spec` asks for and sets them in `program`. Called in the unit's mount namespace.
Result<Streams> make_streams(const wire::UnitSpec& spec, pod::Sandbox::Program& program);

}  // namespace godwit::keeper
