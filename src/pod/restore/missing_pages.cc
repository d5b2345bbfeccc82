#include "pod/restore/missing_pages.h"

#include <algorithm>

namespace godwit::pod {

void RangeSet::add(uint64_t start, uint64_t end) {
  erase(start, end);
  if (start < end) ranges_[start] = end;
}

void RangeSet::erase(uint64_t start, uint64_t end) {
  auto it = ranges_.upper_bound(start);
  if (it != ranges_.begin()) it = std::prev(it);
  while (it != ranges_.end() && it->first < end) {
    const auto [from, to] = *it;
    if (to <= start) {
      ++it;
      continue;
    }
    it = ranges_.erase(it);
    if (from < start) ranges_[from] = start;
    if (end < to) ranges_[end] = to;
  }
}

std::vector<std::pair<uint64_t, uint64_t>> RangeSet::take(uint64_t start, uint64_t end) {
  std::vector<std::pair<uint64_t, uint64_t>> taken;
  auto it = ranges_.upper_bound(start);
  if (it != ranges_.begin()) it = std::prev(it);
  for (; it != ranges_.end() && it->first < end; ++it) {
    const auto from = std::max(it->first, start), to = std::min(it->second, end);
    if (from < to) taken.emplace_back(from, to);
  }
  erase(start, end);
  return taken;
}

bool RangeSet::overlaps(uint64_t start, uint64_t end) const {
  const auto next = ranges_.upper_bound(start);
  if (next != ranges_.begin() && std::prev(next)->second > start) return true;
  return next != ranges_.end() && next->first < end;
}

void MissingPages::add(uint64_t start, uint64_t end, uint64_t source) {
  if (start >= end) return;
  pieces_[start] = {end, source};
  shifts_.insert(start - source);
}

void MissingPages::erase(uint64_t start, uint64_t end) {
  auto it = pieces_.upper_bound(start);
  if (it != pieces_.begin()) it = std::prev(it);
  while (it != pieces_.end() && it->first < end) {
    const auto [from, piece] = *it;
    if (piece.end <= start) {
      ++it;
      continue;
    }
    it = pieces_.erase(it);
    if (from < start) pieces_[from] = {start, piece.source};
    if (end < piece.end) it = pieces_.insert_or_assign(end, Piece{piece.end, piece.source + (end - from)}).first;
  }
}

std::vector<MissingPages::Part> MissingPages::take(uint64_t start, uint64_t end) {
  std::vector<Part> taken;
  auto it = pieces_.upper_bound(start);
  if (it != pieces_.begin()) it = std::prev(it);
  for (; it != pieces_.end() && it->first < end; ++it) {
    const uint64_t from = std::max(it->first, start);
    const uint64_t to = std::min(it->second.end, end);
    if (from < to) taken.push_back({from, it->second.source + (from - it->first), to - from});
  }
  erase(start, end);
  return taken;
}

void MissingPages::move(uint64_t from, uint64_t to, uint64_t length) {
  const auto moved = take(from, from + length);
  erase(to, to + length);
  for (const auto& part : moved) {
    const uint64_t start = part.address - from + to;
    add(start, start + part.length, part.source);
  }
}

std::optional<uint64_t> MissingPages::source_of(uint64_t address) const {
  const auto next = pieces_.upper_bound(address);
  if (next == pieces_.begin()) return std::nullopt;
  const auto& [start, piece] = *std::prev(next);
  if (address >= piece.end) return std::nullopt;
  return piece.source + (address - start);
}

std::vector<MissingPages::Part> MissingPages::at_source(uint64_t source, uint64_t length) const {
  std::vector<Part> out;
  for (const uint64_t shift : shifts_) {
    uint64_t from = source + shift;
    const uint64_t to = from + length;
    if (to < from) from = 0;  // the run begins where no address corresponds to it
    auto it = pieces_.upper_bound(from);
    if (it != pieces_.begin()) it = std::prev(it);
    for (; it != pieces_.end() && it->first < to; ++it) {
      if (it->first - it->second.source != shift) continue;
      const uint64_t start = std::max(it->first, from);
      const uint64_t end = std::min(it->second.end, to);
      if (start < end) out.push_back({start, start - shift, end - start});
    }
  }
  return out;
}

std::vector<MissingPages::Part> MissingPages::all() const {
  std::vector<Part> out;
  for (const auto& [start, piece] : pieces_) out.push_back({start, piece.source, piece.end - start});
  return out;
}

uint64_t MissingPages::bytes() const {
  uint64_t sum = 0;
  for (const auto& [start, piece] : pieces_) sum += piece.end - start;
  return sum;
}

}  // namespace godwit::pod
