// View: the file system as a unit sees it on a host where some of its files are missing or different.
//
//     plain     the host's root as it is, the work directory bound at its path:      nothing is carried
//     layered   an overlay over each host mount that a carried file lies in:
//
//                    what the unit sees at /usr/bin/blastn
//                    ┌────────────────────────────────────────────┐
//                    │ upper: UNIT/layer/0/upper (carried files,  │  private to the unit, also takes its writes
//                    │        and what the unit changed)          │
//                    ├────────────────────────────────────────────┤
//                    │ lower: the host's /                        │  never changed
//                    └────────────────────────────────────────────┘
//
// An overlay shows one file system, without what is mounted in it. So what was mounted below is cloned and attached on top
// again; and a carried file below a submount (/home on its own disk) needs an overlay of its own there: a layer for each
// such mount. /proc is attached as the host's, too: in a user namespace a new one can be mounted only while an old one is
// visible. The caller mounts the unit's own over it.
//
// Order: plan_view() → place_files() (before or after the view is built) → in a new, private mount namespace: build_view().
// Everything that build_view() mounts dies with the mount namespace. In the unit's directory stay `layer/` and `view/`;
// remove_layers() removes them.
//
// In a user namespace the kernel lets nobody lay an overlay over a directory that has mounts below it which came from
// outside (it would show what those cover). There a layer covers the outermost directory without mounts below it: /usr
// rather than /. And where something new is needed directly in a directory with mounts (/newdir), that directory is
// *mirrored*: a tmpfs in its place, with each of its entries attached in it, and the new ("fresh") one beside them.
//
// Carried files lie in the upper layer, not in a lower one of their own: the kernel refuses two lower layers where one
// contains the other ("overlapping lowerdir path"), and the unit's directory normally lies within the host's root.
//
// Not possible, and refused by name (check_view tries it in a throw-away namespace): a unit directory on a file system
// that can't be an upper layer (view-layer), a host root that already is an overlay of an overlay (view-stack).
#pragma once

#include <map>
#include <span>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "engine/engine.h"
#include "files/chunk.h"
#include "files/demand.h"

namespace godwit::files {

struct ViewPlan {
  struct Layer {
    std::string mountpoint;  ///< the host mount that it covers: "/", "/home"
    std::string directory;  ///< holds `upper` and `work`
    bool fresh = false;  ///< nothing of the host's is below it: `upper` holds the one object for `mountpoint`
    /// The directory that `upper` stands for.
    [[nodiscard]] std::string base() const;
    bool operator==(const Layer&) const = default;
  };
  struct Bind {
    /// A directory of the unit's, on the host: its work directory, its own /tmp. Empty: a file system in memory, which
    /// can't be named and is handed to build_view() beside the plan.
    std::string from;
    std::string to;  ///< its path as the unit knows it
    bool own = false;  ///< one of kOwnDirectories: what else is bound in it may need a mount point made there
    bool operator==(const Bind&) const = default;
  };
  std::string stage;  ///< an empty directory of the unit's, where a new root is put together
  std::vector<Layer> layers;  ///< sorted by mount point; none: plain
  std::vector<Bind> binds;
  bool user_namespace = false;  ///< built by an ordinary user inside a user namespace
  std::vector<std::string> mirrors;  ///< sorted
  bool operator==(const ViewPlan&) const = default;

  /// Where in the layers the object at a path lies that the unit sees; empty: in none.
  [[nodiscard]] std::string upper_of(const std::string& path) const;
};

struct ViewNeeds {
  std::string unit_directory;  ///< absolute; `layer/` and `view/` are made in it
  std::vector<ViewPlan::Bind> binds;
  bool user_namespace = false;
  std::vector<std::string>
      layered;  ///< mount points that need a layer in any case: the unit's own changes come with it
};
/// Destination, in the host's mount namespace: what view the unit needs. `presence` is match()'s.
/// Needs that nothing can meet are added to `blockers`. Makes no mount and no directory.
Result<ViewPlan> plan_view(const ViewNeeds& needs, std::span<const Demand> demands, std::span<const Presence> presence,
                           std::vector<engine::Blocker>& blockers);

/// Destination: tries in a child process whether the kernel lets the plan's layers be mounted. Makes their directories.
Result<std::vector<engine::Blocker>> check_view(const ViewPlan& plan);

/// Destination: puts what isn't kSame into the plan's layers, from chunks. Directories on the way get the host's
/// metadata where the host has them. In the host's mount namespace. Safe to repeat.
Result<void> place_files(const ViewPlan& plan, std::span<const Demand> demands, std::span<const Presence> presence,
                         const ChunkSource& chunks, bool keep_owner, const Progress& progress);

/// What is bound that has no `from`, by the path that the unit sees (memory_mount(), mounts.h).
using MemoryMounts = std::map<std::string, Fd>;

/// Builds the view. The caller has entered the unit's (user and) mount namespace, which must be its own: all mounts in
/// it become private here, and its root changes if the plan has a layer for "/".
Result<void> build_view(const ViewPlan& plan, const MemoryMounts& memory = {});

/// Removes `layer/` and `view/`, also when an overlay left directories in it that their owner may not read.
Result<void> remove_layers(const std::string& unit_directory);

}  // namespace godwit::files
