// The control groups of one unit (cgroups(7)), version 1, version 2, or the two mixed.
//
// They are made below the node's own, so that what limits the node limits the unit as well. In version 2 a group that has
// processes can't pass controllers on to groups below it ("no internal processes"): then the unit's is made below the nearest
// group above that does, provided that none of those in between, which the unit wouldn't be in, has a limit of its own.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "delegation/grants.h"

namespace godwit::confine {

inline constexpr std::string_view kCpu = "cpu", kMemory = "memory", kProcesses = "pids";

/// A group below which a unit's can be made.
struct Place {
  std::string dir;
  bool second = false;  ///< version 2
  bool enable = false;  ///< controllers must be passed on first
};
using Controllers = std::vector<std::string_view>;
/// For one of the controllers that are `wanted`; an empty name: the version 2 hierarchy, for network programs. In version 2 one
/// group must do for all of them. `root` is before every path; tests have their own.
Result<Place> place_for(std::string_view controller, const Controllers& wanted, const std::string& root = {});

class Groups {
 public:
  struct Wish {
    delegation::Limits limits;
    unsigned own = 0;  ///< processes that don't count
    bool addresses = false;  ///< a version 2 group is needed
    [[nodiscard]] Controllers controllers() const;
  };
  static Result<Groups> make(const Wish& wish, const std::string& name, const std::string& root = {});
  Groups(Groups&&) = default;
  Groups& operator=(Groups&&) = delete;
  ~Groups();

  /// The limits that a restore would run into: of CPU and of processes.
  Result<void> arm();
  /// Descriptors of their cgroup.procs.
  [[nodiscard]] std::vector<int> joins() const;
  /// Directory of the version 2 group; only with `addresses`.
  [[nodiscard]] const Fd* unified() const;
  [[nodiscard]] std::vector<std::string> paths() const;

 private:
  struct Group {
    std::string dir, name;
    bool second = false;
    Fd parent, self, procs;
  };
  struct Later {
    Fd file;
    std::string value, what;
  };
  Groups() = default;
  Result<Group*> below(const Place& place, const std::string& name);
  Result<void> limit_memory(const Group& group, uint64_t bytes);
  Result<void> limit_cpu(const Group& group, uint64_t percent);
  std::vector<Group> groups_;
  std::vector<Later> later_;
};

/// rmdir(2) of a group, waiting a moment for processes that are about to be gone.
void remove_group(const std::string& path);

}  // namespace godwit::confine
