// A unit from an image: the destination's half of a move, with the image in the place of the source.
//
// Its directories are private to it: the work directory lies in the unit's own directory and is bound at the path that
// the unit knows. So a branch, or a unit that goes back in time, never touches the directory of another that runs.
#include <cstring>

#include "base/base.h"
#include "base/memory_room.h"
#include "keeper/checkpoint.h"

namespace godwit::keeper {
namespace {

constexpr uint64_t kOutputLimit = uint64_t{1} << 46;  // as in output_file.cc

/// The image's own chunks, for module `files`.
class ImageChunks : public files::ChunkSource {
 public:
  ImageChunks(const image::ImageReader& image, std::initializer_list<const image::Section*> sections) : image_(image) {
    for (const auto* section : sections)
      for (const auto& id : section->chunks) ids_.insert(id);
  }
  [[nodiscard]] bool has(const files::ChunkId& id) const override { return ids_.contains(to_image(id)); }
  Result<void> read(const files::ChunkId& id, std::span<std::byte> out) const override {
    if (!has(id)) return fail(Code::kNotFound, "the image has no such chunk");
    TRY(const std::string content, image_.read_chunk(to_image(id)));
    if (content.size() != out.size()) return fail(Code::kCorrupt, "a chunk of another length");
    std::memcpy(out.data(), content.data(), out.size());
    return {};
  }

 private:
  static image::ChunkId to_image(const files::ChunkId& id) {
    image::ChunkId out;
    std::memcpy(out.bytes.data(), id.bytes.data(), out.bytes.size());
    return out;
  }
  const image::ImageReader& image_;
  std::unordered_set<image::ChunkId, image::ChunkIdHash> ids_;
};

Result<const image::Section*> need(const image::Manifest& manifest, const char* name) {
  if (const auto* section = manifest.find(name)) return section;
  return fail(Code::kRefused, std::string("not an image of a unit: it has no section ") + name);
}

Result<void> write_output(const image::ImageReader& image, const image::Section& section, const Fd& output) {
  uint64_t size = 0;
  if (section.content.size() != sizeof size) return fail(Code::kCorrupt, "the output's length");
  std::memcpy(&size, section.content.data(), sizeof size);
  if (size > kOutputLimit || section.chunks.size() != (size + kOutputPiece - 1) / kOutputPiece)
    return fail(Code::kCorrupt, "an output of " + std::to_string(size) + " bytes in " +
                                    std::to_string(section.chunks.size()) + " pieces");
  if (::ftruncate(output.get(), 0) < 0) return fail_errno(errno, "ftruncate of the output file");
  for (size_t i = 0; i < section.chunks.size(); i++) {
    TRY(const std::string piece, image.read_chunk(section.chunks[i]));
    if (piece.size() != std::min(kOutputPiece, size - i * kOutputPiece))
      return fail(Code::kCorrupt, "a piece of the output has another length");
    TRY_DO(io::pwrite_full(output.get(), std::as_bytes(std::span(piece)), i * kOutputPiece));
  }
  return {};
}

/// The sections of a unit's image, each checked for being there.
struct Parts {
  const image::Section *recipes = nullptr, *trees = nullptr, *output = nullptr, *keeper = nullptr;
  static Result<Parts> of(const image::Manifest& manifest) {
    Parts parts;
    TRY(parts.recipes, need(manifest, kSectionRecipes));
    TRY(parts.trees, need(manifest, kSectionTrees));
    TRY(parts.output, need(manifest, kSectionOutput));
    TRY(parts.keeper, need(manifest, kSectionKeeper));
    return parts;
  }
};

Result<std::string> offer_of(const Parts& parts) {
  TRY(auto offer, files::decode_offer(parts.recipes->content));
  TRY(auto trees, files::decode_offer(parts.trees->content));
  offer.trees = std::move(trees.trees);
  offer.questions.clear();
  return files::encode(offer);
}

/// The engine for it.
Result<wire::Grain> engine_for(const image::Manifest& manifest) {
  const image::Manifest here = image::new_manifest();
  if (manifest.engine == kEnginePortable) return wire::PORTABLE;  // its engine knows where its program can go on
  if (manifest.engine != kEnginePod)
    return fail(Code::kRefused, "an image of engine '" + manifest.engine + "', which isn't known here");
  if (manifest.architecture != here.architecture)
    return fail(Code::kRefused, "an image of a " + manifest.architecture + ", this is a " + here.architecture);
  return wire::POD;
}

Result<void> refuse_for(std::vector<engine::Blocker>& blockers, std::vector<engine::Blocker> found) {
  blockers = std::move(found);
  if (blockers.empty()) return {};
  return fail(Code::kRefused, "it can't be restored here: " + blockers.front().object + ": " + blockers.front().reason);
}

}  // namespace

Result<Restored> restore_checkpoint(Body& body, const std::string& unit_dir, const Wanted& wanted, NodeStores& stores,
                                    const Told& told, std::vector<engine::Blocker>& blockers) {
  Restored out;
  Stopwatch lap;
  const auto phase = [&](const char* step) { out.phases.push_back({step, lap.lap_ms()}); };
  TRY(const auto image, stores.images->reader(wanted.image));
  const image::Manifest& manifest = image->manifest();
  TRY(const wire::Grain grain, engine_for(manifest));
  TRY(const Parts parts, Parts::of(manifest));
  wire::keeper::Launch who;
  if (!who.ParseFromString(parts.keeper->content)) return fail(Code::kCorrupt, "the image doesn't say what unit it is");
  out.spec = who.spec();
  TRY(auto rules, wanted.rules((wanted.asked.argv().empty() ? out.spec : wanted.asked).delegation()));
  TRY_DO(refuse_for(blockers, confine::missing(rules)));
  body.set_rules(std::move(rules));

  TRY(const auto gate, body.gate(grain));
  TRY(auto unwelcome, gate->admit(manifest.demands));
  TRY_DO(refuse_for(blockers, std::move(unwelcome)));
  phase("entrance check");

  told({"files", 0, 0, 0});
  const ImageChunks own(*image, {parts.recipes, parts.trees});
  const files::AnySource chunks({&own, stores.chunks.get()});
  files::ArrivalSpec spec;
  spec.unit_directory = unit_dir;
  spec.memory_room = memory_room();
  spec.store = &chunks;
  spec.sink = stores.chunks.get();
  spec.cache = stores.hashes.get();
  files::Arrival arrival(std::move(spec));
  TRY(auto destination, body.destination({grain, true}, out.spec));
  const auto build = [&]() -> Result<void> {
    TRY(const std::string offer, offer_of(parts));
    TRY(const auto considered, arrival.consider(offer));
    TRY_DO(refuse_for(blockers, arrival.blockers()));
    if (considered.wanted_bytes > 0) return fail(Code::kCorrupt, "content of files is missing in the image");
    TRY(auto view, arrival.arrived());
    body.set_view(std::move(view), arrival.take_memory());
    TRY_DO(write_output(*image, *parts.output, body.output()));
    phase("files");
    GODWIT_FAULT_POINT("restore.files");
    told({"memory", 0, 0, 0});
    TRY_DO(destination->prepare(manifest.outline));
    phase("prepare");
    TRY_DO(image->load_pages(destination->writer()));
    phase("memory");
    TRY_DO(destination->restore(manifest.state));
    phase("restore");
    GODWIT_FAULT_POINT("restore.restored");
    TRY_DO(destination->resume());
    phase("resume");
    return {};
  };
  if (auto built = build(); !built) {
    (void)destination->discard();
    arrival.discard();
    return std::unexpected(built.error());
  }
  return out;
}

}  // namespace godwit::keeper
