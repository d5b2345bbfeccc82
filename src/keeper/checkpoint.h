// A checkpoint of the unit, and its return: what of a unit lies in an image beside the engine's own messages.
//
//     section          content
//     unit.keeper      who it is and what was asked for (k::Launch)
//     files.recipes    files that it uses but that aren't its own, with their content: a node without them can restore it
//     files.trees      its own directories: the work directory, layers of its view
//     files.output     its output
//
// Private to the keeper; called on the main thread.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "godwit/keeper.pb.h"
#include "image/image.h"
#include "keeper/body.h"
#include "keeper/unit_files.h"
#include "migration/migration.h"

namespace godwit::keeper {

using Told = std::function<void(const migration::Progress&)>;

/// What is kept of a unit beside its memory: who it is.
struct Subject {
  wire::keeper::Launch launch;
  uint32_t number = 0;  ///< the checkpoint's
  bool close_connections = false;
  std::string seal_to;  ///< a public key: nothing of it is written here that can be read without the private one
};

/// Keeps the unit as it is now; it runs on, whatever comes. `blockers` say why when it is refused.
Result<wire::Checkpoint> take_checkpoint(const Body& body, const Subject& subject, NodeStores& stores, const Told& told,
                                         std::vector<engine::Blocker>& blockers);

/// Builds a unit from a kept image, and lets it run. On failure nothing is left of it. `spec` is what the image says.
struct Restored {
  wire::UnitSpec spec;
  std::vector<engine::Timing> phases;
};
/// What a document lets a unit do here.
using RulesOf = std::function<Result<confine::Rules>(const std::string& document)>;
struct Wanted {
  std::string image;
  const wire::UnitSpec& asked;  ///< the unit's spec, whose document counts; with empty argv it is the image's
  const RulesOf& rules;
};
Result<Restored> restore_checkpoint(Body& body, const std::string& unit_dir, const Wanted& wanted, NodeStores& stores,
                                    const Told& told, std::vector<engine::Blocker>& blockers);

/// Manifest::engine.
inline constexpr const char *kEnginePod = "pod", *kEnginePortable = "portable";

inline constexpr const char* kSectionKeeper = "unit.keeper";
inline constexpr const char* kSectionSpec = "unit.spec";
inline constexpr const char* kSectionRecipes = "files.recipes";
inline constexpr const char* kSectionTrees = "files.trees";
inline constexpr const char* kSectionOutput = "files.output";

/// How the output is cut; a part of the image's format.
inline constexpr uint64_t kOutputPiece = 1u << 20;

}  // namespace godwit::keeper
