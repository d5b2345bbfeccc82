// Why files can stop a move: one table, one row a reason. docs/limits.md is generated from it.
// To add a row: refusals.cc, then make_blocker("code", object).
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "engine/engine.h"

namespace godwit::files {

struct Refusal {
  std::string_view code;  ///< stable; part of the --json interface
  std::string_view what;  ///< the object, for the documentation
  std::string_view reason;
  std::string_view lift;
};

std::span<const Refusal> refusals();

/// The blocker for a row. Aborts (a bug) when the code isn't in the table. `detail` is put behind the reason.
engine::Blocker make_blocker(std::string_view code, const std::string& object, const std::string& detail = {});

}  // namespace godwit::files
