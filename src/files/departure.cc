// The source's half of carrying files.
#include <fcntl.h>

#include <cerrno>
#include <mutex>

#include "base/sys.h"
#include "files/beneath.h"
#include "files/refusals.h"
#include "files/travel.h"

namespace godwit::files {

Result<std::vector<DepartureSpec::Directory>> layer_directories(const ViewPlan& plan) {
  std::vector<DepartureSpec::Directory> directories;
  for (const ViewPlan::Layer& layer : plan.layers) {
    // Of a fresh layer the object itself: a file there was carried as a demand, and is again.
    auto fd = sys::open(plan.upper_of(layer.mountpoint), O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    if (!fd && (fd.error().errnum == ENOENT || fd.error().errnum == ENOTDIR || fd.error().errnum == ELOOP)) continue;
    if (!fd) return std::unexpected(std::move(fd).error());
    directories.push_back({TravellingTree::Role::kLayer, layer.mountpoint, *std::move(fd)});
  }
  return directories;
}

Result<std::string> Departure::offer(const std::set<FileKey>& mapped) {
  Offer offer;
  DescribeOptions describing;
  for (const auto& directory : spec_.directories)
    if (directory.role != TravellingTree::Role::kLayer) describing.carried.push_back(directory.path);
  describing.cache = spec_.cache;
  describing.progress = spec_.progress;
  TRY(auto described, describe(spec_.root, spec_.needed, describing));
  blockers_ = std::move(described.blockers);
  demands_ = std::move(described.demands);
  TRY_DO(ask_who_shares());
  for (const ShareProbe& probe : probes_) offer.questions.push_back(probe.question());
  offer.demands = demands_;

  TRY(auto chunks, demand_chunks(spec_.root, demands_));
  sources_.push_back(std::make_unique<FileChunks>(std::move(chunks)));
  for (const auto& directory : spec_.directories) {
    SnapshotOptions options;
    options.always_read = mapped;
    options.layer = directory.role == TravellingTree::Role::kLayer;
    options.progress = spec_.progress;
    auto snapshot = take(directory.fd, options);
    if (!snapshot) return std::unexpected(std::move(snapshot).error().in(directory.path));
    TRY(auto from_tree, tree_chunks(directory.fd, *snapshot));
    sources_.push_back(std::make_unique<FileChunks>(std::move(from_tree)));
    for (const Recipe& entry : snapshot->tree.entries)
      for (const Content::Piece& piece : entry.content.pieces) offered_.insert(piece.id);
    offer.trees.push_back({directory.role, directory.path, snapshot->tree});
    snapshots_.push_back(*std::move(snapshot));
  }
  return encode(offer);
}

// One question for each file that is open for writing. Where not even a question can be asked, nothing can be proved.
Result<void> Departure::ask_who_shares() {
  probes_.clear();
  for (const Demand& demand : demands_) {
    if (demand.use != Use::kOpenWrite) continue;
    auto probe = ShareProbe::ask(spec_.root, demand.recipe.path);
    if (probe) {
      probes_.push_back(*std::move(probe));
    } else if (probe.error().code == Code::kRefused || probe.error().code == Code::kSystem) {
      blockers_.push_back(
          make_blocker("file-write-not-shared", demand.recipe.path + ", " + demand.used_by, probe.error().message()));
    } else {
      return std::unexpected(std::move(probe).error());
    }
  }
  return {};
}

Result<std::vector<ChunkWant>> Departure::asked(std::string_view answer) {
  TRY(auto decoded, decode_answer(answer));
  if (decoded.answers.size() != probes_.size()) return fail(Code::kCorrupt, "another number of answers than questions");
  for (size_t i = 0; i < probes_.size(); ++i) {
    const auto verdict = probes_[i].confirm(decoded.answers[i]);
    if (verdict) continue;
    if (verdict.error().code != Code::kRefused) return std::unexpected(verdict.error());
    const std::string& path = probes_[i].question().path;
    std::string used_by;
    for (const Demand& demand : demands_)
      if (demand.recipe.path == path) used_by = demand.used_by;
    blockers_.push_back(make_blocker("file-write-not-shared", path + ", " + used_by, verdict.error().message()));
  }
  probes_.clear();  // and with them the hidden files
  // A chunk that was never offered can't be asked for: else a peer could read what it likes, by guessing its hash.
  for (const ChunkWant& want : decoded.wanted) {
    bool offered = false;
    for (const auto& source : sources_) offered = offered || source->has(want.id);
    if (!offered) return fail(Code::kCorrupt, "the destination wants a chunk that was not offered");
  }
  return std::move(decoded.wanted);
}

Result<bool> Departure::read(const ChunkId& id, std::span<std::byte> out) {
  for (const auto& source : sources_) {
    if (!source->has(id)) continue;
    const auto read = source->read(id, out);
    if (read) return true;
    if (read.error().code != Code::kGone) return std::unexpected(read.error());
  }
  const std::scoped_lock lock(mutex_);
  skipped_.insert(id);
  return false;
}

Result<Departure::Final> Departure::last(const std::set<FileKey>& mapped) {
  if (snapshots_.size() != spec_.directories.size()) return fail(Code::kUsage, "last() before offer()");
  Final final_one;
  Last message;
  std::vector<std::unique_ptr<FileChunks>> sources;
  std::unordered_set<ChunkId, ChunkIdHash> sent;
  for (size_t i = 0; i < snapshots_.size(); ++i) {
    const auto& directory = spec_.directories[i];
    SnapshotOptions options;
    options.previous = &snapshots_[i];
    options.always_read = mapped;
    options.layer = directory.role == TravellingTree::Role::kLayer;
    auto now = take(directory.fd, options);
    if (!now) return std::unexpected(std::move(now).error().in(directory.path));
    if (!now->unstable.empty())
      return fail(Code::kFailed,
                  "'" + now->unstable[0] + "' in " + directory.path + " changes while the unit stands still");
    message.deltas.push_back(make_delta(snapshots_[i].tree, now->tree));
    for (const Recipe& entry : message.deltas.back().changed) {
      for (const Content::Piece& piece : entry.content.pieces) {
        if (offered_.contains(piece.id) && !skipped_.contains(piece.id)) continue;
        if (sent.insert(piece.id).second)
          final_one.chunks.push_back({piece.id, entry.content.piece_length(piece.index)});
      }
    }
    // Files that didn't change in the end may have a chunk that was skipped: the same content was written again.
    for (const Recipe& entry : now->tree.entries)
      for (const Content::Piece& piece : entry.content.pieces)
        if (skipped_.contains(piece.id) && sent.insert(piece.id).second)
          final_one.chunks.push_back({piece.id, entry.content.piece_length(piece.index)});
    TRY(auto chunks, tree_chunks(directory.fd, *now));
    sources.push_back(std::make_unique<FileChunks>(std::move(chunks)));
    snapshots_[i].left_out = now->left_out;
  }
  sources_ = std::move(sources);
  final_one.message = encode(message);
  return final_one;
}

std::vector<std::string> Departure::left_out() const {
  std::vector<std::string> all;
  for (const Snapshot& snapshot : snapshots_) all.insert(all.end(), snapshot.left_out.begin(), snapshot.left_out.end());
  return all;
}

}  // namespace godwit::files
