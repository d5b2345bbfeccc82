#include "image/kept.h"

#include <charconv>

#include "base/log.h"
#include "base/sys.h"

namespace godwit::image {

Result<CheckpointName> parse_checkpoint_name(const std::string& text) {
  CheckpointName out;
  const size_t at = text.rfind('@');
  const char* end = text.data() + text.size();
  if (at != std::string::npos && at > 0) {
    const auto [rest, error] = std::from_chars(text.data() + at + 1, end, out.number);
    out.unit = text.substr(0, at);
    if (error == std::errc() && rest == end && out.number > 0) return out;
  }
  return fail(Code::kUsage, "'" + text.substr(0, 200) + "' is not the name of an image, UNIT@NUMBER");
}

std::string name_of(const Manifest& manifest) { return manifest.unit + "@" + std::to_string(manifest.checkpoint); }

Result<KeptImages> KeptImages::open(const std::string& path) {
  TRY_DO(sys::make_dirs(path, 0700));
  TRY(auto store, ChunkStore::open(path + "/chunks", {}));
  TRY(auto history, History::open(path + "/history", *store));
  return KeptImages(std::move(store), std::make_unique<History>(std::move(history)));
}

Result<std::unique_ptr<ImageReader>> KeptImages::reader(const std::string& name) const {
  TRY(const auto which, parse_checkpoint_name(name));
  return ImageReader::open_checkpoint(*history_, which.unit, which.number);
}

bool KeptImages::has(const std::string& name) const {
  const auto which = parse_checkpoint_name(name);
  return which && history_->load(which->unit, which->number).has_value();
}

Result<void> KeptImages::drop(const std::string& name) const {
  TRY(const auto which, parse_checkpoint_name(name));
  auto removed = history_->remove(which.unit, which.number);
  if (!removed && removed.error().code != Code::kNotFound) return removed;
  // Refused while somebody writes: the next one collects for us.
  if (auto collected = history_->collect(); !collected) log::debug("not collected: {}", collected.error().message());
  return {};
}

Result<std::string> KeptImages::take_in(const ImageReader& file, const std::string& name, uint64_t& bytes) const {
  Manifest manifest = file.manifest();
  if (!name.empty() && name != name_of(manifest))
    return fail(Code::kCorrupt, "asked for the image " + name + ", got " + name_of(manifest));
  if (manifest.checkpoint == 0) return fail(Code::kRefused, "the image is no unit's checkpoint");
  TRY(auto writer, this->writer());
  if (const auto here = history_->load(manifest.unit, manifest.checkpoint)) {
    // The same checkpoint in another form has another image id, but not another state.
    if (here->state == manifest.state && here->created_unix_ns == manifest.created_unix_ns) {
      TRY_DO(file.verify());  // a damaged file is refused, also when it isn't needed
      return name_of(manifest);
    }
    return fail(Code::kRefused, "another image named " + name_of(manifest) + " is here");
  }
  TRY_DO(writer->copy(file));
  TRY(const Written written, writer->finish(std::move(manifest)));
  bytes = written.bytes_stored;
  return name_of(written.manifest);
}

Result<void> KeptImages::send(const std::string& name, Fd out) const {
  TRY(const auto from, reader(name));
  TRY(auto writer, ImageWriter::to_stream(std::move(out), {.threads = 1, .zstd_level = 1}));
  TRY_DO(writer->copy(*from));
  TRY_DO(writer->finish(from->manifest()));
  return {};
}

}  // namespace godwit::image
