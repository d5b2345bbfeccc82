// Where the neutral memory of a running portable program is, seen from outside: its data and the arena.
#pragma once

#include <vector>

#include "engine/engine.h"
#include "godwit/portable.pb.h"
#include "pod/proc.h"

namespace godwit::portable {

namespace pb = godwit::portable::v1;

inline constexpr engine::SpaceId kSpace = 0;
inline constexpr uint64_t kPage = 4096;
inline constexpr uint64_t kArenaHeader = uint64_t{4} << 20;  // runtime/runtime.h

/// One of abi.h's two places.
struct Arena {
  uint64_t start = 0, end = 0;
  [[nodiscard]] uint64_t areas() const { return start + kArenaHeader; }
};

struct Layout {
  uint64_t data_start = 0, data_end = 0;
  Arena arena;
  /// Mappings of data, the arena's header and its areas, ascending.
  std::vector<pod::MapEntry> maps;
};
/// kCorrupt when what the program says of itself can't be.
Result<Layout> layout_of(const pod::ProcFs& proc, pid_t pid);

/// The areas, as the destination maps them: neighbours of the same kind are one.
void fill(const Layout& layout, pb::Outline& outline);
/// What of these mappings lies in what an outline has announced.
std::vector<pod::MapEntry> announced_part(const Layout& layout, const pb::Outline& outline);

/// Is all of this memory of the outline's?
bool covers(const pb::Outline& outline, const engine::PageRun& run);
/// Can such an outline be? Ascending areas of the arena, whole pages; data below it.
Result<void> check(const pb::Outline& outline);

}  // namespace godwit::portable
