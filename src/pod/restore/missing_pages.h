// Which pages of one process are still missing, and where each of them lies at the source. Pure.
//
// A page is known there by the address that it had at the freeze (its source address); here it may have been moved by
// mremap(2) since. No two missing pages have one source address in one process (a forked child has a set of its own).
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <vector>

namespace godwit::pod {

/// Addresses as disjoint ranges.
class RangeSet {
 public:
  void add(uint64_t start, uint64_t end);
  void erase(uint64_t start, uint64_t end);
  /// Erases them, and gives what there was.
  std::vector<std::pair<uint64_t, uint64_t>> take(uint64_t start, uint64_t end);
  [[nodiscard]] bool overlaps(uint64_t start, uint64_t end) const;

 private:
  std::map<uint64_t, uint64_t> ranges_;  // start → end
};

class MissingPages {
 public:
  struct Part {
    uint64_t address = 0, source = 0, length = 0;
    bool operator==(const Part&) const = default;
  };
  /// Nothing may be missing there yet.
  void add(uint64_t start, uint64_t end, uint64_t source);
  /// These addresses don't miss anything any more: arrived, unmapped, or dropped by the program.
  void erase(uint64_t start, uint64_t end);
  /// Erases them, and gives what was missing there.
  std::vector<Part> take(uint64_t start, uint64_t end);
  /// What was missing at `from` is missing at `to` now; what was at `to` is gone.
  void move(uint64_t from, uint64_t to, uint64_t length);
  /// Where the page at this address lies at the source; nothing when it isn't missing.
  [[nodiscard]] std::optional<uint64_t> source_of(uint64_t address) const;
  /// What of a run of source addresses is missing, and where.
  [[nodiscard]] std::vector<Part> at_source(uint64_t source, uint64_t length) const;
  [[nodiscard]] std::vector<Part> all() const;
  [[nodiscard]] bool empty() const { return pieces_.empty(); }
  [[nodiscard]] uint64_t bytes() const;
  void clear() { pieces_.clear(); }

 private:
  struct Piece {
    uint64_t end, source;
  };
  std::map<uint64_t, Piece> pieces_;  // by address here
  std::set<uint64_t> shifts_;         // address − source (modulo 2^64), of every piece there ever was
};

}  // namespace godwit::pod
