// The refusal table: everything that can forbid a move, each with its reason and what would lift it.
//
// docs/limits.md is generated from it (`godwit limits`), so the documentation can't say anything else.
// To add a row: refusals.cc, then call DumpContext::refuse("code", object).
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "engine/engine.h"

namespace godwit::pod {

struct Refusal {
  std::string_view code;    ///< stable; part of the --json interface
  std::string_view what;    ///< the object, for the documentation
  std::string_view reason;
  std::string_view lift;
  bool passing = false;  ///< lasts a moment only, as the program goes on: looked at again before it is refused
};

std::span<const Refusal> refusals();

/// Whether a row is of the passing kind.
bool passes(std::string_view code);

/// The blocker for a row. Aborts (a bug) when the code isn't in the table. `detail` is put behind the reason.
engine::Blocker make_blocker(std::string_view code, const std::string& object, const std::string& detail = {});

}  // namespace godwit::pod
