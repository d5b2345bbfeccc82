// Kept images of one machine: its chunk store and its history, in one directory, and the names by which a grid's nodes
// speak of them. A checkpoint is UNIT@NUMBER on every node that holds it.
//
//     TRY(const auto kept, image::KeptImages::open(state + "/images"));
//     TRY(auto writer, kept.writer());  …  writer->finish(manifest)     → name_of(written.manifest)
//     TRY(const auto reader, kept.reader("6f1c…@3"));
//
// Everything is reached through descriptors opened by open(): a keeper goes on using it inside its unit's mount namespace.
#pragma once

#include <memory>
#include <string>

#include "image/history.h"
#include "image/reader.h"
#include "image/writer.h"

namespace godwit::image {

struct CheckpointName {
  std::string unit;
  uint64_t number = 0;
};
/// "UNIT@NUMBER"; anything else is Code::kUsage.
Result<CheckpointName> parse_checkpoint_name(const std::string& text);
std::string name_of(const Manifest& manifest);

/// A file for an image that nobody here can read: it has its name, UNIT@NUMBER, from keep() on.
class NewSealed {
 public:
  NewSealed(const Fd& directory, std::string name, Fd file)
      : directory_(&directory), name_(std::move(name)), file_(std::move(file)) {}
  NewSealed(NewSealed&& other) noexcept = default;
  NewSealed& operator=(NewSealed&&) = delete;
  ~NewSealed();
  [[nodiscard]] const Fd& file() const { return file_; }
  Result<void> keep();

 private:
  const Fd* directory_;
  std::string name_;
  Fd file_;
};

class KeptImages {
 public:
  /// Opens or makes it.
  static Result<KeptImages> open(const std::string& path);

  /// Both must not outlive this object.
  Result<std::unique_ptr<ImageWriter>> writer() const { return ImageWriter::to_history(*history_, {}); }
  Result<std::unique_ptr<ImageReader>> reader(const std::string& name) const;
  [[nodiscard]] bool has(const std::string& name) const;
  /// Forgets an image, if it is there, and its content once nobody writes to the store.
  Result<void> drop(const std::string& name) const;

  /// Keeps a copy of an image that lies in one file, as `name` (empty: as what it says it is). Every byte is checked.
  /// Gives the name, and in `bytes` what it added.
  Result<std::string> take_in(const ImageReader& file, const std::string& name, uint64_t& bytes) const;
  /// The image as one file's bytes into `out`.
  Result<void> send(const std::string& name, Fd out) const;

  // Encrypted ones, a file each. An image may be here in both forms: while its user restores it.
  Result<NewSealed> new_sealed(const std::string& name) const;
  /// Code::kNotFound when it isn't here.
  Result<Fd> sealed(const std::string& name) const;
  Result<void> drop_sealed(const std::string& name) const;

  [[nodiscard]] const ChunkStore& store() const { return *store_; }
  [[nodiscard]] const History& history() const { return *history_; }

 private:
  KeptImages(std::unique_ptr<ChunkStore> store, std::unique_ptr<History> history, Fd sealed)
      : store_(std::move(store)), history_(std::move(history)), sealed_(std::make_unique<Fd>(std::move(sealed))) {}
  std::unique_ptr<ChunkStore> store_;
  std::unique_ptr<History> history_;
  std::unique_ptr<Fd> sealed_;  ///< the directory
};

}  // namespace godwit::image
