// confine: what a unit's document allows, made to hold by the kernel for as long as the unit runs here.
//
// It starts no process and looks into none: it makes what the unit's init is put into, and every process of the unit, whenever
// it is born and on whichever way (started, moved, restored), descends from that init. So there is one place for it all, it is
// the same after a move, and nothing of it is left to be done while a unit is frozen but to switch it on (arm()).
//
//     TRY(const auto rules, confine::rules_of_document(spec.delegation()));
//     if (auto missing = confine::missing(rules); !missing.empty()) …          // refused, by name, before anything is touched
//     TRY(auto confinement, confine::Confinement::make(rules, unit_dir, 1));   // control groups, network programs
//     … enter the unit's mount namespace …
//     TRY_DO(confinement->enter_view());                                       // Landlock rules on the paths that it will see
//     … start init with confinement->bonds() …
//     TRY_DO(confinement->arm_limits()); confinement->arm_addresses();         // launch: before the program; restore: before it runs
//
// What holds by what: docs/design/enforcement.md. A document without such rules makes no Confinement, and nothing changes.
//
// Threads: one. Failure: a Confinement that goes takes away what it made; nothing else is changed.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "delegation/grants.h"
#include "engine/engine.h"

namespace godwit::confine {

/// The part of a document's grants that holds while the unit runs.
struct Rules {
  bool paths = false;  ///< `read` and `write` aren't everything
  std::vector<std::string> read, write;
  bool addresses = false;  ///< `connect` and `listen` aren't everything
  std::vector<delegation::Network> connect, listen;
  delegation::Limits limits;
  [[nodiscard]] bool any() const {
    return paths || addresses || limits.cpu_percent != 0 || limits.memory_bytes != 0 || limits.processes != 0;
  }
};
Rules rules_of(const delegation::Grants& grants);
/// Of a signed document's text; no text: no rules. Its signature has been looked at by whom it concerned.
Result<Rules> rules_of_document(const std::string& text);

/// The rules that can't be made to hold on this machine, each with what is missing.
std::vector<engine::Blocker> missing(const Rules& rules);

/// Capabilities that a unit under rules may have, bit by bit: none by which it could lift them, or harm the machine.
uint64_t kept_capabilities(const Rules& rules);

/// What is done to the unit's init before it does anything for the unit.
struct Bonds {
  std::vector<int> groups;  ///< files that "0" is written to: the control groups that it joins
  int ruleset = -1;  ///< a Landlock ruleset
  struct PathRule {
    std::string path;
    uint64_t access = 0, access_of_file = 0;  ///< as the kernel's bits; the latter when it is no directory
  };
  std::vector<PathRule> late;  ///< rules to be added when init has mounted the unit's /proc
  uint64_t capabilities = 0;  ///< that stay in its bounding set
};

class Confinement {
 public:
  /// `own`: processes of the unit that aren't the user's (its init …): they don't count. The names of the control groups
  /// are written to `unit_dir`, for forget().
  static Result<std::unique_ptr<Confinement>> make(const Rules& rules, const std::string& unit_dir, unsigned own);
  virtual ~Confinement() = default;
  /// In the unit's mount namespace, when its view is complete.
  virtual Result<void> enter_view() = 0;
  [[nodiscard]] virtual Bonds bonds() const = 0;
  /// Limits that would hinder a restore hold from here on.
  virtual Result<void> arm_limits() = 0;
  /// So do the rules on addresses. It can't fail half-way.
  virtual Result<void> arm_addresses() = 0;
};

/// Takes away control groups that a keeper which was killed has left. Its unit is dead, or about to be.
void forget(const std::string& unit_dir);

/// The refusal table: everything that a document can ask and a machine can't do. docs/limits.md is generated from it.
struct Refusal {
  std::string_view code, what, reason, lift;
};
std::span<const Refusal> refusals();
engine::Blocker make_blocker(std::string_view code, const std::string& object, const std::string& detail = {});

}  // namespace godwit::confine
