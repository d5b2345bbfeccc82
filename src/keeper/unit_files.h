// The unit's files on a move: its output file (output_file.h), and what module `files` carries: the work directory, files
// that the destination lacks, layers of an earlier stay. Hangs files::Departure and files::Arrival into the transport.
//
// Threads: as in files_hook.h; chunks are read and put by the stream threads.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "files/files.h"
#include "files/travel.h"
#include "godwit/common.pb.h"
#include "image/kept.h"
#include "keeper/body.h"
#include "keeper/output_file.h"

namespace godwit::keeper {

/// What of the node's is needed, opened before the keeper enters any unit's namespaces.
struct NodeStores {
  std::unique_ptr<files::ChunkDir> chunks;  ///< chunks of files that were carried here
  std::unique_ptr<files::HashCache> hashes;
  std::unique_ptr<image::KeptImages> images;  ///< checkpoints
  static Result<NodeStores> open(const std::string& state);
};

/// What of the unit's files is to be carried or kept: from the engine's demands, the user's wishes and the unit's own
/// directories. `demands` is what inspect() gave.
Result<std::unique_ptr<files::Departure>> departure_of(const Body& body, const wire::UnitSpec& spec, NodeStores& stores,
                                                       const std::string& demands);

class UnitFilesSource : public migration::SourceFiles {
 public:
  UnitFilesSource(const Body& body, const wire::UnitSpec& spec, NodeStores& stores);
  Result<std::string> offer(const std::string& demands) override;
  Result<void> send(const std::string& wanted, migration::PageSender& out) override;
  Result<std::string> last(migration::PageSender& out,
                           const std::optional<std::vector<engine::FileMapping>>& mappings) override;
  [[nodiscard]] std::vector<engine::Blocker> blockers() const override {
    return departure_ ? departure_->blockers() : std::vector<engine::Blocker>();
  }

 private:
  Result<void> send_chunks(const std::vector<files::ChunkWant>& chunks, migration::PageSender& out);
  const Body& body_;
  const wire::UnitSpec& spec_;
  NodeStores& stores_;
  OutputSource output_;
  std::unique_ptr<files::Departure> departure_;
};

class UnitFilesDestination : public migration::DestinationFiles {
 public:
  UnitFilesDestination(Body& body, const std::string& unit_dir, NodeStores& stores);
  Result<Wanted> want(const std::string& offer) override;
  Result<void> chunk(std::span<const std::byte, migration::kChunkIdSize> id, std::span<const std::byte> data) override;
  Result<void> arrived() override;
  Result<void> last(const std::string& snapshot) override;
  void discard() override { arrival_.discard(); }
  [[nodiscard]] std::vector<engine::Blocker> blockers() const override { return arrival_.blockers(); }

 private:
  static files::ArrivalSpec spec_of(const std::string& unit_dir, NodeStores& stores);
  Body& body_;
  OutputDestination output_;
  files::Arrival arrival_;
};

}  // namespace godwit::keeper
