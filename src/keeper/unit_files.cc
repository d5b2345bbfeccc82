#include "keeper/unit_files.h"

#include <fcntl.h>

#include <cstring>

#include "base/base.h"
#include "base/memory_room.h"

namespace godwit::keeper {
namespace {

// A message of two parts: the output file's, of fixed length, then that of module `files`.
constexpr size_t kOutputPart = sizeof(uint64_t);

Result<std::pair<std::string, std::string>> split(const std::string& text) {
  if (text.size() < kOutputPart)
    return fail(Code::kCorrupt, "message about files of " + std::to_string(text.size()) + " bytes");
  return std::pair{text.substr(0, kOutputPart), text.substr(kOutputPart)};
}

}  // namespace

Result<NodeStores> NodeStores::open(const std::string& state) {
  NodeStores stores;
  TRY_DO(sys::make_dirs(state + "/files/chunks", 0700));
  TRY_DO(sys::make_dirs(state + "/files/hashes", 0700));
  TRY(auto chunks, files::ChunkDir::open(state + "/files/chunks"));
  TRY(auto hashes, files::HashCache::open(state + "/files/hashes"));
  TRY(auto images, image::KeptImages::open(state + "/images"));
  stores.images = std::make_unique<image::KeptImages>(std::move(images));
  stores.chunks = std::make_unique<files::ChunkDir>(std::move(chunks));
  stores.hashes = std::make_unique<files::HashCache>(std::move(hashes));
  return stores;
}

UnitFilesSource::UnitFilesSource(const Body& body, const wire::UnitSpec& spec, NodeStores& stores)
    : body_(body), spec_(spec), stores_(stores), output_(body.output()) {}

Result<std::unique_ptr<files::Departure>> departure_of(const Body& body, const wire::UnitSpec& unit, NodeStores& stores,
                                                       const std::string& demands) {
  wire::FileDemands wanted;
  if (!wanted.ParseFromString(demands)) return fail(Code::kFailed, "the engine's demands can't be parsed");
  files::DepartureSpec spec;
  TRY(spec.root, sys::open("/", O_RDONLY | O_DIRECTORY));
  for (const auto& f : wanted.files()) {
    if (f.path() == kUnitMount || f.path().starts_with(std::string(kUnitMount) + "/"))
      continue;  // travels in its own way
    spec.needed.push_back({f.path(), static_cast<files::Use>(f.use()), f.used_by()});
  }
  for (const auto& path : unit.with()) spec.needed.push_back({path, files::Use::kWith, "--with"});
  if (!unit.dir().empty()) {
    TRY(Fd dir, sys::open(unit.dir(), O_RDONLY | O_DIRECTORY));
    spec.directories.push_back({files::TravellingTree::Role::kWork, unit.dir(), std::move(dir)});
  }
  for (const auto& [path, own] : body.own()) {
    TRY(Fd dir, sys::open_at(own, ".", O_RDONLY | O_DIRECTORY));
    spec.directories.push_back({files::TravellingTree::Role::kOwn, path, std::move(dir)});
  }
  for (const auto& layer : body.layers()) {
    TRY(Fd upper, sys::open_at(layer.upper, ".", O_RDONLY | O_DIRECTORY));
    spec.directories.push_back({files::TravellingTree::Role::kLayer, layer.mountpoint, std::move(upper)});
  }
  spec.cache = stores.hashes.get();
  return std::make_unique<files::Departure>(std::move(spec));
}

Result<std::string> UnitFilesSource::offer(const std::string& demands) {
  TRY(departure_, departure_of(body_, spec_, stores_, demands));
  TRY(const std::string head, output_.offer(demands));
  TRY(const std::string rest, departure_->offer(body_.shared_mappings()));
  return head + rest;
}

Result<void> UnitFilesSource::send(const std::string& wanted, migration::PageSender& out) {
  TRY(const auto parts, split(wanted));
  TRY_DO(output_.send(parts.first, out));
  TRY(const auto chunks, departure_->asked(parts.second));
  return send_chunks(chunks, out);
}

Result<std::string> UnitFilesSource::last(migration::PageSender& out,
                                          const std::optional<std::vector<engine::FileMapping>>& mappings) {
  TRY(const auto final_look, departure_->last(mappings ? body_.mapped_files(*mappings) : body_.shared_mappings()));
  TRY_DO(send_chunks(final_look.chunks, out));
  TRY(const std::string head, output_.last(out, mappings));
  return head + final_look.message;
}

Result<void> UnitFilesSource::send_chunks(const std::vector<files::ChunkWant>& chunks, migration::PageSender& out) {
  if (chunks.empty()) return {};
  return out.chunks(chunks.size(), [&](size_t i, migration::PageSender::Chunk& c) -> Result<void> {
    std::memcpy(c.id.data(), chunks[i].id.bytes.data(), c.id.size());
    c.data.resize(chunks[i].length);
    TRY(const bool there, departure_->read(chunks[i].id, c.data));
    if (!there) c.data.clear();  // it changed meanwhile: last() brings it
    return {};
  });
}

files::ArrivalSpec UnitFilesDestination::spec_of(const std::string& unit_dir, NodeStores& stores) {
  files::ArrivalSpec spec;
  spec.unit_directory = unit_dir;
  spec.memory_room = memory_room();
  spec.store = stores.chunks.get();
  spec.sink = stores.chunks.get();
  spec.cache = stores.hashes.get();
  return spec;
}

UnitFilesDestination::UnitFilesDestination(Body& body, const std::string& unit_dir, NodeStores& stores)
    : body_(body), output_(body.output()), arrival_(spec_of(unit_dir, stores)) {}

Result<migration::DestinationFiles::Wanted> UnitFilesDestination::want(const std::string& offer) {
  TRY(const auto parts, split(offer));
  TRY(const Wanted head, output_.want(parts.first));
  TRY(const auto considered, arrival_.consider(parts.second));
  return Wanted{head.wanted + considered.answer, head.bytes + considered.wanted_bytes};
}

Result<void> UnitFilesDestination::chunk(std::span<const std::byte, migration::kChunkIdSize> id,
                                         std::span<const std::byte> data) {
  if (OutputDestination::is_output(id)) return output_.chunk(id, data);
  files::ChunkId name;
  std::memcpy(name.bytes.data(), id.data(), id.size());
  return arrival_.put(name, data);
}

Result<void> UnitFilesDestination::arrived() {
  TRY(auto plan, arrival_.arrived());
  body_.set_view(std::move(plan), arrival_.take_memory());
  return {};
}

Result<void> UnitFilesDestination::last(const std::string& snapshot) {
  TRY(const auto parts, split(snapshot));
  TRY_DO(arrival_.last(parts.second));
  return output_.last(parts.first);
}

}  // namespace godwit::keeper
