// Taking a checkpoint without the unit noticing much.
//
// The unit stands still only for what can't be known while it runs: the pages written since the last look, the state of
// its processes, and what has changed in its own directories. Everything else is put into the store before: the content
// of the files that it uses and has, its output so far, its memory in rounds as for a live move. What the store has
// already, from an earlier checkpoint of this or another unit, is not even read.
//
//     inspect → files → output → rounds of memory ── freeze → rest of memory, state, changed files, end of output → thaw
//                                                                                                     → publish
//
// The image exists from publish on, and not before: whatever goes wrong earlier leaves chunks that nothing names, which
// the store's next collection removes, and the unit running (the engine's destructor lets go of it, too).
#include "keeper/checkpoint.h"

#include <google/protobuf/util/json_util.h>
#include <poll.h>

#include <cstring>
#include <optional>
#include <unordered_set>

#include "base/base.h"
#include "engine/policy.h"
#include "sealing/sealing.h"

namespace godwit::keeper {
namespace {

constexpr int kInspections = 10;
constexpr int kInspectAgainMs = 5;

image::ChunkId to_image(const files::ChunkId& id) {
  image::ChunkId out;
  static_assert(sizeof out.bytes == sizeof id.bytes);
  std::memcpy(out.bytes.data(), id.bytes.data(), out.bytes.size());
  return out;
}

class Taking {
 public:
  Taking(const Body& body, const Subject& subject, NodeStores& stores, const Told& told)
      : body_(body), subject_(subject), stores_(stores), told_(told) {}
  Result<wire::Checkpoint> run(std::vector<engine::Blocker>& blockers);

 private:
  Result<void> look(std::vector<engine::Blocker>& blockers);
  Result<void> keep_files(std::vector<engine::Blocker>& blockers);
  Result<void> keep_chunks(const std::vector<files::ChunkWant>& chunks, bool may_change);
  Result<void> keep_output();
  Result<void> rounds();
  Result<void> stand_still();
  Result<void> last_files();
  Result<wire::Checkpoint> publish();
  Result<image::Section> files_section(const char* name, const files::Offer& offer) const;
  /// An image of this checkpoint's; for one that is encrypted, a stream into the pipe that seals it.
  Result<void> open_writer();
  Result<void> put_chunk(std::span<const std::byte> content, image::ChunkId* id = nullptr);
  /// Whether the image has this content already.
  [[nodiscard]] bool has(const image::ChunkId& id) const {
    return sealing_ ? written_.contains(id) : stores_.images->store().has(id);
  }
  Result<image::Written> finish(image::Manifest manifest);
  void say(const char* step, uint64_t done, uint64_t total) { told_({step, done, total, rounds_}); }
  void phase(const char* name) { phases_.push_back({name, lap_.lap_ms()}); }

  const Body& body_;
  const Subject& subject_;
  NodeStores& stores_;
  const Told& told_;

  wire::Grain grain_ = subject_.launch.spec().grain() == wire::PORTABLE ? wire::PORTABLE : wire::POD;
  std::unique_ptr<engine::SourceEngine> source_;
  std::optional<image::NewSealed> sealed_;  // all three: of an encrypted one
  std::unique_ptr<sealing::SealingPipe> sealing_;
  std::unordered_set<image::ChunkId, image::ChunkIdHash> written_;
  std::unique_ptr<image::ImageWriter> writer_;  // goes before the pipe that it writes to
  std::unique_ptr<files::Departure> departure_;
  engine::Inspection found_;
  files::Offer offer_;
  std::string outline_, state_;
  image::Section output_{kSectionOutput, {}, {}, true};
  uint64_t output_size_ = 0;
  uint64_t file_bytes_ = 0;
  unsigned rounds_ = 0;
  double downtime_ms_ = 0;
  std::vector<engine::Timing> phases_;
  Stopwatch total_, lap_;
};

Result<wire::Checkpoint> Taking::run(std::vector<engine::Blocker>& blockers) {
  auto looked = look(blockers);
  if (!looked && looked.error().code == Code::kRefused && grain_ == wire::PORTABLE && !body_.is_emulated()) {
    // What can't go everywhere can be kept for machines like this one.
    log::info("checkpoint {} for this architecture only: {}", subject_.number, looked.error().message());
    grain_ = wire::POD;
    looked = look(blockers);
  }
  TRY_DO(std::move(looked));
  TRY_DO(open_writer());
  TRY_DO(keep_files(blockers));
  TRY_DO(keep_output());
  phase("files");
  auto taken = rounds();
  if (taken) taken = stand_still();
  if (!taken) {
    if (auto thawed = source_->thaw(); !thawed) log::error("thaw failed: {}", thawed.error().message());
    return std::unexpected(taken.error());
  }
  return publish();
}

Result<void> Taking::open_writer() {
  // An earlier try of this number whose answer got lost: nobody knows of it.
  const auto& history = stores_.images->history();
  if (auto old = history.remove(subject_.launch.unit(), subject_.number); !old && old.error().code != Code::kNotFound)
    return std::unexpected(old.error());
  if (subject_.seal_to.empty()) {
    TRY(writer_, stores_.images->writer());
    return {};
  }
  TRY(const auto key, sealing::public_key_of(subject_.seal_to));
  TRY(auto file, stores_.images->new_sealed(subject_.launch.unit() + "@" + std::to_string(subject_.number)));
  sealed_.emplace(std::move(file));
  TRY(sealing_, sealing::SealingPipe::open(key, sealed_->file()));
  TRY(writer_, image::ImageWriter::to_stream(sealing_->take_input(), {.threads = 2, .zstd_level = 1}));
  return {};
}

Result<void> Taking::put_chunk(std::span<const std::byte> content, image::ChunkId* id) {
  TRY(const auto stored, writer_->put_chunk(content));
  if (sealing_) written_.insert(stored);
  if (id != nullptr) *id = stored;
  return {};
}

Result<image::Written> Taking::finish(image::Manifest manifest) {
  auto written = writer_->finish(std::move(manifest));
  if (!sealing_) return written;
  writer_.reset();  // closes the pipe
  // A full disk is told by who met it, not by the pipe that broke.
  TRY(const uint64_t bytes, sealing_->finish());
  if (written) TRY_DO(sealed_->keep());
  if (written) written->bytes_stored = bytes;
  return written;
}

Result<void> Taking::look(std::vector<engine::Blocker>& blockers) {
  TRY(source_, body_.source({grain_, subject_.close_connections}, subject_.launch.spec()));
  TRY(found_, source_->inspect());
  // A fork or exec in progress may look like something that can't be kept: what stays is what counts.
  for (int tries = 0; !found_.blockers.empty() && tries < kInspections; tries++) {
    ::poll(nullptr, 0, kInspectAgainMs);
    TRY(found_, source_->inspect());
  }
  blockers = found_.blockers;
  if (blockers.empty()) return {};
  return fail(Code::kRefused, "it can't be checkpointed: " + blockers.front().reason);
}

Result<void> Taking::keep_files(std::vector<engine::Blocker>& blockers) {
  say("files", 0, 0);
  TRY(departure_, departure_of(body_, subject_.launch.spec(), stores_, found_.demands));
  TRY(const std::string offered, departure_->offer(body_.shared_mappings()));
  blockers = departure_->blockers();
  if (!blockers.empty()) return fail(Code::kRefused, "it can't be checkpointed: " + blockers.front().reason);
  TRY(offer_, files::decode_offer(offered));
  offer_.questions.clear();  // for a peer that is there now
  std::vector<files::ChunkWant> fixed, own;
  for (const auto& demand : offer_.demands)
    for (const auto& piece : demand.recipe.content.pieces)
      fixed.push_back({piece.id, demand.recipe.content.piece_length(piece.index)});
  for (const auto& tree : offer_.trees)
    for (const auto& entry : tree.tree.entries)
      for (const auto& piece : entry.content.pieces) own.push_back({piece.id, entry.content.piece_length(piece.index)});
  TRY_DO(keep_chunks(fixed, false));
  return keep_chunks(own, true);
}

Result<void> Taking::keep_chunks(const std::vector<files::ChunkWant>& chunks, bool may_change) {
  uint64_t bytes = 0, done = 0;
  for (const auto& chunk : chunks) bytes += chunk.length;
  std::vector<std::byte> content;
  std::unordered_set<files::ChunkId, files::ChunkIdHash> seen;
  for (const auto& chunk : chunks) {
    done += chunk.length;
    if (!seen.insert(chunk.id).second || has(to_image(chunk.id))) continue;
    content.resize(chunk.length);
    TRY(const bool there, departure_->read(chunk.id, content));
    if (!there && !may_change) return fail(Code::kFailed, "a file that the unit uses was changed meanwhile");
    if (there) TRY_DO(put_chunk(content));  // else last() brings what it has become
    say("files", done, bytes);
  }
  return {};
}

// Whole pieces first, while the unit runs; called again when it stands, for the rest: the file is only ever appended to.
Result<void> Taking::keep_output() {
  TRY(const auto st, sys::stat(body_.output()));
  const auto size = static_cast<uint64_t>(st.st_size);
  if (size < output_size_) output_.chunks.clear(), output_size_ = 0;  // somebody emptied it meanwhile
  const uint64_t whole = output_size_ / kOutputPiece;
  output_.chunks.resize(whole);
  std::vector<std::byte> piece;
  for (uint64_t at = whole * kOutputPiece; at < size; at += kOutputPiece) {
    piece.resize(std::min(kOutputPiece, size - at));
    TRY_DO(io::pread_full(body_.output().get(), piece, at));
    output_.chunks.emplace_back();
    TRY_DO(put_chunk(piece, &output_.chunks.back()));
  }
  output_size_ = size;
  output_.content.assign(reinterpret_cast<const char*>(&size), sizeof size);  // little-endian: this engine is x86-64's
  return {};
}

Result<void> Taking::rounds() {
  TRY_IN("start of pre-copy", source_->start_precopy());
  engine::PrecopyPolicy policy({});
  for (const char* end = nullptr; end == nullptr;) {
    const Stopwatch watch;
    std::string outline;
    TRY(const engine::Round round, source_->precopy_round(*writer_, outline));
    const uint64_t bytes = round.pages_sent * image::kPageBytes;
    end = policy.after_round(bytes, watch.elapsed_ms());
    rounds_ = policy.rounds();
    say("memory", bytes, found_.memory_bytes);
  }
  phase("precopy");
  return {};
}

Result<void> Taking::stand_still() {
  say("frozen", 0, 0);
  const Stopwatch frozen;
  TRY(outline_, source_->freeze());
  GODWIT_FAULT_POINT("checkpoint.frozen");
  phase("freeze");
  TRY(state_, source_->capture(*writer_));
  phase("dump");
  TRY_DO(last_files());
  TRY_DO(keep_output());
  phase("last files");
  GODWIT_FAULT_POINT("checkpoint.captured");
  TRY_DO(source_->thaw());
  downtime_ms_ = frozen.elapsed_ms();
  phase("thaw");
  return {};
}

// The trees become what they are now: an image needs no history of their own.
Result<void> Taking::last_files() {
  const auto mappings = source_->writable_file_mappings();
  TRY(const auto final_look, departure_->last(mappings ? body_.mapped_files(*mappings) : body_.shared_mappings()));
  TRY(const auto last, files::decode_last(final_look.message));
  if (last.deltas.size() != offer_.trees.size()) return fail(Code::kFailed, "another number of directories");
  for (size_t i = 0; i < last.deltas.size(); i++) {
    TRY(offer_.trees[i].tree, files::patch(offer_.trees[i].tree, last.deltas[i]));
  }
  std::vector<std::byte> content;
  for (const auto& chunk : final_look.chunks) {
    if (has(to_image(chunk.id))) continue;
    content.resize(chunk.length);
    TRY(const bool there, departure_->read(chunk.id, content));
    if (!there) return fail(Code::kFailed, "a file of the unit changes while it stands still");
    TRY_DO(put_chunk(content));
  }
  return {};
}

Result<image::Section> Taking::files_section(const char* name, const files::Offer& offer) const {
  image::Section section{name, files::encode(offer), {}, true};
  std::unordered_set<files::ChunkId, files::ChunkIdHash> seen;
  const auto add = [&](const files::Recipe& recipe) -> Result<void> {
    for (const auto& piece : recipe.content.pieces) {
      if (!seen.insert(piece.id).second) continue;
      const auto id = to_image(piece.id);
      if (!has(id)) return fail(Code::kFailed, "content of " + recipe.path + " was not kept");
      section.chunks.push_back(id);
    }
    return {};
  };
  for (const auto& demand : offer.demands) TRY_DO(add(demand.recipe));
  for (const auto& tree : offer.trees)
    for (const auto& entry : tree.tree.entries) TRY_DO(add(entry));
  return section;
}

Result<wire::Checkpoint> Taking::publish() {
  say("keeping", 0, 0);
  image::Manifest manifest = image::new_manifest();
  manifest.unit = subject_.launch.unit();
  manifest.name = subject_.launch.spec().name();
  manifest.checkpoint = subject_.number;
  manifest.grain = manifest.engine = grain_ == wire::PORTABLE ? kEnginePortable : kEnginePod;
  manifest.architecture = body_.architecture();
  manifest.state = std::move(state_);
  manifest.demands = std::move(found_.demands);
  manifest.outline = std::move(outline_);
  std::string json;
  if (google::protobuf::util::MessageToJsonString(subject_.launch.spec(), &json).ok())
    manifest.sections.push_back({kSectionSpec, std::move(json), {}, false});
  manifest.sections.push_back({kSectionKeeper, subject_.launch.SerializeAsString(), {}, true});
  files::Offer recipes, trees;
  recipes.demands = std::move(offer_.demands);
  trees.trees = std::move(offer_.trees);
  for (const auto* part : {&recipes, &trees}) {
    TRY(auto section, files_section(part == &recipes ? kSectionRecipes : kSectionTrees, *part));
    manifest.sections.push_back(std::move(section));
  }
  for (const auto& demand : recipes.demands) file_bytes_ += demand.recipe.content.data_bytes();
  for (const auto& tree : trees.trees) file_bytes_ += tree.tree.data_bytes();
  manifest.sections.push_back(std::move(output_));
  GODWIT_FAULT_POINT("checkpoint.publish");
  TRY(const image::Written written, finish(std::move(manifest)));
  phase("publish");
  wire::Checkpoint out;
  out.set_unit(subject_.launch.unit());
  out.set_number(subject_.number);
  out.set_image(image::name_of(written.manifest));
  if (sealing_) {
    TRY(const auto key, sealing::public_key_of(subject_.seal_to));
    out.set_sealed_to(key.id());
  }
  out.set_epoch(subject_.launch.epoch());
  if (grain_ == wire::POD) out.set_architecture(written.manifest.architecture);
  out.set_time_ms(written.manifest.created_unix_ns / 1'000'000);
  out.set_bytes(written.bytes_raw + file_bytes_ + output_size_);
  out.set_bytes_new(written.bytes_stored);
  out.set_downtime_ms(downtime_ms_);
  out.set_total_ms(total_.elapsed_ms());
  for (const auto& p : phases_) {
    auto& one = *out.add_phases();
    one.set_name(p.step);
    one.set_ms(p.ms);
  }
  return out;
}

}  // namespace

Result<wire::Checkpoint> take_checkpoint(const Body& body, const Subject& subject, NodeStores& stores, const Told& told,
                                         std::vector<engine::Blocker>& blockers) {
  return Taking(body, subject, stores, told).run(blockers);
}

}  // namespace godwit::keeper
