// The values of this module as bytes (proto/godwit/files.proto) and back. Decoding checks what the schema's "must" notes
// say and gives Code::kCorrupt for anything else.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "files/demand.h"
#include "files/share_probe.h"
#include "files/tree.h"
#include "files/view.h"

namespace godwit::files {

/// A directory that travels whole.
struct TravellingTree {
  enum class Role : uint8_t { kWork = 0, kLayer = 1, kOwn = 2 };
  Role role = Role::kWork;
  std::string path;  ///< kWork, kOwn: where the unit sees it; kLayer: which mount it covered
  Tree tree;
  bool operator==(const TravellingTree&) const = default;
};

struct Offer {
  std::vector<Demand> demands;
  std::vector<ShareQuestion> questions;
  std::vector<TravellingTree> trees;
  bool operator==(const Offer&) const = default;
};
std::string encode(const Offer& offer);
Result<Offer> decode_offer(std::string_view bytes);

struct Answer {
  std::vector<ChunkWant> wanted;
  std::vector<ShareAnswer> answers;
  bool operator==(const Answer&) const = default;
};
std::string encode(const Answer& answer);
Result<Answer> decode_answer(std::string_view bytes);

struct Last {
  std::vector<TreeDelta> deltas;
  bool operator==(const Last&) const = default;
};
std::string encode(const Last& last);
Result<Last> decode_last(std::string_view bytes);

/// A tree alone: for images.
std::string encode(const Tree& tree);
Result<Tree> decode_tree(std::string_view bytes);

std::string encode(const ViewPlan& plan);
Result<ViewPlan> decode_view_plan(std::string_view bytes);

}  // namespace godwit::files
