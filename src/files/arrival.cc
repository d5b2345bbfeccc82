// The destination's half of carrying files.
#include <sys/statvfs.h>

#include <algorithm>
#include <cerrno>
#include <set>

#include "base/sys.h"
#include "files/beneath.h"
#include "files/mounts.h"
#include "files/own_directories.h"
#include "files/refusals.h"
#include "files/travel.h"

namespace godwit::files {
namespace {

// The tree without files of which a chunk is missing (their content changed at the source after the offer; the last
// snapshot brings them), and without hard links to those.
Tree without_missing(const Tree& tree, const Snapshot& present, const ChunkSource& store) {
  std::unordered_set<ChunkId, ChunkIdHash> missing;
  for (const ChunkWant& want : missing_chunks(tree, present, store)) missing.insert(want.id);
  if (missing.empty()) return tree;
  std::set<std::string_view> left;
  Tree rest;
  for (const Recipe& entry : tree.entries) {
    const bool lacks =
        std::ranges::any_of(entry.content.pieces, [&](const auto& piece) { return missing.contains(piece.id); });
    if (lacks || left.contains(entry.hard_link_to))
      left.insert(entry.path);
    else
      rest.entries.push_back(entry);
  }
  return rest;
}

}  // namespace

Result<Arrival::Considered> Arrival::consider(std::string_view bytes) {
  TRY(auto offer, decode_offer(bytes));
  TRY(auto root, sys::open("/", O_RDONLY | O_DIRECTORY));
  demands_ = std::move(offer.demands);
  Answer answer;
  TRY(answer.answers, answer_all(offer.questions));
  TRY(auto verdict, match(root, demands_, *spec_.store, spec_.cache, spec_.progress));
  verdict_ = std::make_unique<Verdict>(std::move(verdict));
  blockers_ = verdict_->blockers;
  answer.wanted = verdict_->wanted;

  size_t works = 0;
  std::set<std::string> own;
  for (TravellingTree& tree : offer.trees) {
    Place place;
    if (tree.role == TravellingTree::Role::kWork && ++works > 1)
      return fail(Code::kCorrupt, "an offer with two work directories");
    if (tree.role == TravellingTree::Role::kOwn &&
        (find_own_directory(tree.path) == nullptr || !own.insert(tree.path).second))
      return fail(Code::kCorrupt, "a unit has no " + tree.path.substr(0, 200) + " of its own");
    place.tree = std::move(tree);
    places_.push_back(std::move(place));
  }
  TRY_DO(plan());
  std::unordered_set<ChunkId, ChunkIdHash> seen;
  for (const ChunkWant& want : answer.wanted) seen.insert(want.id);
  for (const Place& place : places_)
    for (const ChunkWant& want : missing_chunks(place.tree.tree, place.present, *spec_.store))
      if (seen.insert(want.id).second) answer.wanted.push_back(want);
  uint64_t bytes_wanted = 0;
  for (const ChunkWant& want : answer.wanted) bytes_wanted += want.length;
  TRY_DO(check_room(bytes_wanted));
  return Considered{encode(answer), bytes_wanted};
}

// What is wanted lies here twice for a while: as chunks in the store, and in the files made of them.
Result<void> Arrival::check_room(uint64_t bytes_wanted) {
  struct statvfs fs{};
  if (::statvfs(spec_.unit_directory.c_str(), &fs) < 0) return fail_errno(errno, "statvfs of " + spec_.unit_directory);
  const uint64_t room = static_cast<uint64_t>(fs.f_bavail) * fs.f_frsize;
  if (bytes_wanted > room / 2)
    blockers_.push_back(
        make_blocker("disk-space", spec_.unit_directory,
                     std::to_string(room) + " bytes are free, twice " + std::to_string(bytes_wanted) + " are needed"));
  for (const Place& place : places_)
    if (place.directory.empty()) TRY_DO(check_memory(place));
  return {};
}

// A tmpfs has a bound of its own, half of the machine's memory if nobody says otherwise.
Result<void> Arrival::check_memory(const Place& place) {
  struct statvfs fs{};
  if (::fstatvfs(place.fd.get(), &fs) < 0) return fail_errno(errno, "statvfs of a new " + place.tree.path);
  const uint64_t room = std::min<uint64_t>(spec_.memory_room, static_cast<uint64_t>(fs.f_bavail) * fs.f_frsize);
  const uint64_t needed = place.tree.tree.data_bytes();
  if (needed > room)
    blockers_.push_back(
        make_blocker("shared-memory-space", place.tree.path,
                     std::to_string(room) + " bytes are free, " + std::to_string(needed) + " are needed"));
  return {};
}

Result<std::vector<ShareAnswer>> Arrival::answer_all(const std::vector<ShareQuestion>& questions) {
  TRY(auto root, sys::open("/", O_RDONLY | O_DIRECTORY));
  std::vector<ShareAnswer> answers;
  for (const ShareQuestion& question : questions) {
    TRY(auto one, answer(root, question));
    answers.push_back(std::move(one));
  }
  return answers;
}

// Decides on the view, and opens the directories that trees will be applied to.
Result<void> Arrival::plan() {
  ViewNeeds needs;
  needs.unit_directory = spec_.unit_directory;
  needs.user_namespace = spec_.user_namespace;
  for (Place& place : places_) {
    if (place.tree.role == TravellingTree::Role::kLayer) continue;
    const bool own = place.tree.role == TravellingTree::Role::kOwn;
    const bool in_memory = own && find_own_directory(place.tree.path)->in_memory && !spec_.user_namespace;
    if (!in_memory) place.directory = spec_.unit_directory + (own ? "/own" + place.tree.path : "/dir");
    needs.binds.push_back({place.directory, place.tree.path, own});
  }
  for (const Place& place : places_)
    if (place.tree.role == TravellingTree::Role::kLayer) needs.layered.push_back(place.tree.path);
  TRY(plan_, plan_view(needs, demands_, verdict_->presence, blockers_));
  for (Place& place : places_) {
    if (place.tree.role == TravellingTree::Role::kLayer) {
      place.directory = plan_.upper_of(place.tree.path);
      if (place.directory.empty()) {
        blockers_.push_back(make_blocker("file-path", place.tree.path,
                                         "the unit changed files there, and nothing can be laid over it here"));
        continue;
      }
    }
    TRY_DO(make_place(place));
    SnapshotOptions options;
    options.layer = place.tree.role == TravellingTree::Role::kLayer;
    TRY(place.present, take(place.fd, options));
  }
  if (!blockers_.empty()) return {};
  TRY(auto unmountable, check_view(plan_));
  blockers_.insert(blockers_.end(), unmountable.begin(), unmountable.end());
  return {};
}

Result<void> Arrival::make_place(Place& place) {
  if (place.directory.empty()) {
    TRY(auto mount, memory_mount());
    TRY(place.fd, sys::open_at(mount, ".", O_RDONLY | O_DIRECTORY));
    memory_[place.tree.path] = std::move(mount);
    return {};
  }
  TRY_DO(sys::make_dirs(place.directory));
  TRY(place.fd, sys::open(place.directory, O_RDONLY | O_DIRECTORY));
  return {};
}

Result<void> Arrival::apply_to(Place& place, const Tree& tree) const {
  ApplyOptions options;
  options.private_directory = true;
  options.keep_owner = spec_.keep_owner;
  options.layer = place.tree.role == TravellingTree::Role::kLayer;
  auto now = apply(place.fd, tree, place.present, *spec_.store, options);
  if (!now) return std::unexpected(std::move(now).error().in(place.tree.path));
  place.present = *std::move(now);
  return {};
}

Result<ViewPlan> Arrival::arrived() {
  if (!verdict_ || !blockers_.empty()) return fail(Code::kUsage, "arrived() without an offer that is welcome");
  for (Place& place : places_) {
    const Tree there = without_missing(place.tree.tree, place.present, *spec_.store);
    TRY_DO(apply_to(place, there));
    place.whole = there.entries.size() == place.tree.tree.entries.size();
  }
  const AnySource chunks({&verdict_->local, spec_.store});
  auto placed = place_files(plan_, demands_, verdict_->presence, chunks, spec_.keep_owner, spec_.progress);
  if (!placed && (placed.error().code == Code::kNotFound || placed.error().code == Code::kGone))
    return std::unexpected(placed.error().as(Code::kRefused).in("a file changed while it was carried"));
  if (!placed) return std::unexpected(std::move(placed).error());
  return plan_;
}

Result<void> Arrival::last(std::string_view bytes) {
  TRY(auto message, decode_last(bytes));
  if (message.deltas.size() != places_.size())
    return fail(Code::kCorrupt, "a last snapshot of another number of directories");
  for (size_t i = 0; i < places_.size(); ++i) {
    if (places_[i].whole && message.deltas[i] == TreeDelta{})
      continue;  // the unit stands still: no look that isn't needed
    TRY(auto tree, patch(places_[i].tree.tree, message.deltas[i]));
    TRY_DO(apply_to(places_[i], tree));
    places_[i].tree.tree = std::move(tree);
  }
  return {};
}

void Arrival::discard() {
  places_.clear();
  memory_.clear();
  (void)remove_layers(spec_.unit_directory);
  if (auto dir = sys::open(spec_.unit_directory, O_RDONLY | O_DIRECTORY)) {
    (void)remove_beneath(*dir, "dir");
    (void)remove_beneath(*dir, "own");
  }
}

}  // namespace godwit::files
