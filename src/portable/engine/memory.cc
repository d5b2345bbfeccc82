#include "portable/engine/memory.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>

#include "portable/abi.h"
#include "portable/image.h"

namespace godwit::portable {
namespace {

constexpr Arena kArenas[] = {{GODWIT_ARENA, GODWIT_ARENA + GODWIT_ARENA_SIZE},
                             {GODWIT_LOW_ARENA, GODWIT_LOW_ARENA + GODWIT_LOW_ARENA_SIZE}};

/// A unit has areas always: at least its first thread's stack.
const Arena& arena_of(const pb::Outline& outline) {
  return kArenas[outline.areas_size() > 0 && outline.areas(0).start() < GODWIT_ARENA ? 1 : 0];
}

bool is_sane_data(uint64_t start, uint64_t end, const Arena& arena) {
  return start <= end && end <= arena.start && (start | end) % kPage == 0;
}

/// The part of a mapping that lies in [start, end), if any.
void add_part(std::vector<pod::MapEntry>& out, const pod::MapEntry& map, uint64_t start, uint64_t end) {
  if (map.start >= end || map.end <= start) return;
  pod::MapEntry part = map;
  part.start = std::max(map.start, start);
  part.end = std::min(map.end, end);
  out.push_back(std::move(part));
}

}  // namespace

Result<Layout> layout_of(const pod::ProcFs& proc, pid_t pid) {
  TRY(const Fd memory, proc.open(pid, "mem", O_RDONLY));
  godwit_arena_head head{};
  const auto* arena = std::ranges::find_if(kArenas, [&](const Arena& a) {
    return ::pread(memory.get(), &head, sizeof head, static_cast<off_t>(a.start)) == sizeof head;
  });
  if (arena == std::end(kArenas)) return fail(Code::kGone, "the program's arena isn't there any more");
  Layout layout{head.data_start, head.data_end, *arena, {}};
  if (!is_sane_data(layout.data_start, layout.data_end, *arena) || head.arena_size != arena->end - arena->start)
    return fail(Code::kCorrupt, "the program's arena says of itself what can't be");
  TRY(const auto maps, proc.maps(pid));
  for (const auto& map : maps) {
    add_part(layout.maps, map, layout.data_start, layout.data_end);
    add_part(layout.maps, map, arena->start, arena->end);
  }
  return layout;
}

void fill(const Layout& layout, pb::Outline& outline) {
  outline.set_data_start(layout.data_start);
  outline.set_data_end(layout.data_end);
  for (const auto& map : layout.maps) {
    const uint64_t start = std::max(map.start, layout.arena.areas());
    if (map.end <= start) continue;
    auto* last = outline.areas_size() > 0 ? outline.mutable_areas(outline.areas_size() - 1) : nullptr;
    if (last != nullptr && last->end() == start && last->shared() == map.shared) {
      last->set_end(map.end);
      continue;
    }
    auto& area = *outline.add_areas();
    area.set_start(start);
    area.set_end(map.end);
    area.set_shared(map.shared);
  }
}

std::vector<pod::MapEntry> announced_part(const Layout& layout, const pb::Outline& outline) {
  std::vector<pod::MapEntry> parts;
  const uint64_t areas = layout.arena.areas();
  for (const auto& map : layout.maps) {
    if (map.start < areas) {
      add_part(parts, map, 0, areas);
      continue;
    }
    for (const auto& area : outline.areas())
      if (area.shared() == map.shared) add_part(parts, map, area.start(), area.end());
  }
  return parts;
}

bool covers(const pb::Outline& outline, const engine::PageRun& run) {
  const uint64_t start = run.address, end = run.address + run.length;
  if (run.space != kSpace || end <= start || (start | end) % kPage != 0) return false;
  if (start >= outline.data_start() && end <= outline.data_end()) return true;
  // Runs go over neighbours: the header, areas that are mapped in two ways.
  const auto& arena = arena_of(outline);
  uint64_t at = start >= arena.start && start < arena.areas() ? arena.areas() : start;
  auto area = std::ranges::upper_bound(outline.areas(), at, {}, &pb::Area::end);
  for (; at < end && area != outline.areas().end() && area->start() <= at; ++area) at = area->end();
  return at >= end;
}

Result<void> check(const pb::Outline& outline) {
  const auto refuse = [] { return fail(Code::kCorrupt, "an outline that can't be of a portable program"); };
  const auto& arena = arena_of(outline);
  if (!is_sane_data(outline.data_start(), outline.data_end(), arena)) return refuse();
  if (outline.program().empty() || outline.program()[0] != '/') return refuse();
  if (static_cast<uint32_t>(outline.areas_size()) > GODWIT_IMAGE_REGIONS_MAX) return refuse();
  uint64_t end = arena.areas();
  for (const auto& area : outline.areas()) {
    if (area.start() < end || area.end() <= area.start() || area.end() > arena.end ||
        (area.start() | area.end()) % kPage != 0)
      return refuse();
    end = area.end();
  }
  return {};
}

}  // namespace godwit::portable
