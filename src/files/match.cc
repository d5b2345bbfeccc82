// match(): the destination's half of demands.
#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <unordered_set>

#include "base/sys.h"
#include "files/attributes.h"
#include "files/beneath.h"
#include "files/demand.h"
#include "files/refusals.h"

namespace godwit::files {
namespace {

// A different file of the same name is worth reading for the chunks that it shares with the wanted one only when it is
// large: databases and logs grow, while another build of a library has nothing in common with ours.
constexpr uint64_t kWorthReuse = 8u << 20;

class Matching {
 public:
  Matching(const Fd& root, Fd local_root, std::span<const Demand> demands, const ChunkSource& store, HashCache* cache,
           const Progress& progress)
      : root_(root),
        demands_(demands),
        store_(store),
        cache_(cache),
        progress_(progress),
        out_{.local = FileChunks(std::move(local_root), FileChunks::Resolve::kInRoot)} {}

  Result<Verdict> run() {
    out_.presence.assign(demands_.size(), Presence::kSame);
    for (size_t i = 0; i < demands_.size(); ++i) TRY_DO(look(i));
    compare();
    want();
    return std::move(out_);
  }

 private:
  Result<void> look(size_t i) {
    const Demand& demand = demands_[i];
    const bool follow = demand.recipe.kind != Kind::kSymlink;
    auto object = open_in_root(root_, demand.recipe.path, O_PATH | (follow ? 0 : O_NOFOLLOW));
    if (!object) {
      const int why = object.error().errnum;
      if (why == ENOENT || why == ENOTDIR || why == ELOOP)
        out_.presence[i] = Presence::kMissing;
      else
        block("file-path", i, object.error().message());
      return {};
    }
    TRY(auto st, sys::stat(*object));
    const auto here = recipe_from_stat(demand.recipe.path, st);
    if (demand.optional) return {};  // something has that name: leave it
    if (demand.use == Use::kOpenWrite) return {};
    if (!here || here->kind != demand.recipe.kind)
      out_.presence[i] = Presence::kDifferent;
    else if (demand.recipe.kind == Kind::kSymlink)
      look_at_link(i, *object);
    else if (demand.recipe.kind == Kind::kRegular)
      look_at_file(i, st);
    return {};
  }

  void look_at_link(size_t i, const Fd& link) {
    const auto target = sys::read_link_at(link, "");
    if (!target || *target != demands_[i].recipe.target) out_.presence[i] = Presence::kDifferent;
  }

  void look_at_file(size_t i, const struct stat& st) {
    const Recipe& recipe = demands_[i].recipe;
    const auto size = static_cast<uint64_t>(st.st_size);
    const bool same_size = size == recipe.content.size;
    const bool executable = (recipe.mode & 0111u) == 0 || (st.st_mode & 0111u) != 0;
    if (!same_size || !executable) out_.presence[i] = Presence::kDifferent;
    if (!same_size && (size < kWorthReuse || recipe.content.size < kWorthReuse)) return;
    HashJob job;
    job.name = recipe.path;
    job.open = [this, &recipe] { return open_in_root(root_, recipe.path, O_RDONLY | O_NONBLOCK); };
    jobs_.push_back(std::move(job));
    whose_.push_back(i);
  }

  void compare() {
    hash_files(jobs_, cache_, progress_);
    for (size_t j = 0; j < jobs_.size(); ++j) {
      const size_t i = whose_[j];
      const Content& content = jobs_[j].result.content;
      // What can't be read here can't be used here either: it is as good as different.
      if (!jobs_[j].status || content != demands_[i].recipe.content) out_.presence[i] = Presence::kDifferent;
      if (jobs_[j].status && out_.presence[i] != Presence::kSame) out_.local.add(demands_[i].recipe.path, content);
    }
  }

  void want() {
    std::unordered_set<ChunkId, ChunkIdHash> seen;
    for (size_t i = 0; i < demands_.size(); ++i) {
      const Demand& demand = demands_[i];
      if (out_.presence[i] == Presence::kSame) continue;
      if (demand.use == Use::kOpenWrite) {
        block("file-write-not-shared", i, "there is no such file there");
        continue;
      }
      const Content& content = demand.recipe.content;
      for (const Content::Piece& piece : content.pieces) {
        if (!seen.insert(piece.id).second || out_.local.has(piece.id) || store_.has(piece.id)) continue;
        out_.wanted.push_back({piece.id, content.piece_length(piece.index)});
        out_.wanted_bytes += out_.wanted.back().length;
      }
    }
  }

  void block(std::string_view code, size_t i, const std::string& detail) {
    const Demand& demand = demands_[i];
    out_.blockers.push_back(
        make_blocker(code, demand.recipe.path + (demand.used_by.empty() ? "" : ", " + demand.used_by), detail));
  }

  const Fd& root_;
  std::span<const Demand> demands_;
  const ChunkSource& store_;
  HashCache* cache_;
  const Progress& progress_;
  std::vector<HashJob> jobs_;
  std::vector<size_t> whose_;
  Verdict out_;
};

}  // namespace

Result<void> check_demands(std::span<const Demand> demands) {
  if (demands.size() > kMaxDemands) return fail(Code::kCorrupt, std::to_string(demands.size()) + " demands");
  const Demand* last = nullptr;
  for (const Demand& demand : demands) {
    TRY_DO(check_absolute(demand.recipe.path));
    TRY_DO(check_recipe(demand.recipe));
    if (demand.use > Use::kWith) return fail(Code::kCorrupt, "a demand of unknown use");
    if (demand.recipe.kind == Kind::kWhiteout || !demand.recipe.hard_link_to.empty())
      return fail(Code::kCorrupt, "a demand for what is no file of its own");
    if (last != nullptr && !(last->recipe.path < demand.recipe.path))
      return fail(Code::kCorrupt, "demands out of order at '" + demand.recipe.path.substr(0, 200) + "'");
    last = &demand;
  }
  return {};
}

Result<Verdict> match(const Fd& root, std::span<const Demand> demands, const ChunkSource& store, HashCache* cache,
                      const Progress& progress) {
  TRY_DO(check_demands(demands));
  TRY(auto copy, sys::dup(root.get()));
  return Matching(root, std::move(copy), demands, store, cache, progress).run();
}

}  // namespace godwit::files
