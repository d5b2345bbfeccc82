#include "image/kept.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
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
  TRY_DO(sys::make_dirs(path + "/sealed", 0700));
  TRY(Fd sealed, sys::open(path + "/sealed", O_PATH | O_DIRECTORY));
  return KeptImages(std::move(store), std::make_unique<History>(std::move(history)), std::move(sealed));
}

namespace {

std::string part_of(const std::string& name) { return ".new-" + name; }

/// It becomes a file's name.
Result<void> check_sealed_name(const std::string& name) {
  TRY(const auto which, parse_checkpoint_name(name));
  const auto good = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
           c == '.';
  };
  if (which.unit.size() <= 128 && which.unit[0] != '.' && std::ranges::all_of(which.unit, good)) return {};
  return fail(Code::kUsage, "'" + which.unit.substr(0, 200) + "' can't be a unit's id");
}

}  // namespace

NewSealed::~NewSealed() {
  if (file_.valid()) ::unlinkat(directory_->get(), part_of(name_).c_str(), 0);
}

Result<void> NewSealed::keep() {
  if (::renameat(directory_->get(), part_of(name_).c_str(), directory_->get(), name_.c_str()) != 0)
    return fail_errno(errno, "naming the encrypted image " + name_);
  file_.reset();
  return {};
}

Result<NewSealed> KeptImages::new_sealed(const std::string& name) const {
  TRY_DO(check_sealed_name(name));
  TRY(Fd file, sys::open_at(*sealed_, part_of(name), O_RDWR | O_CREAT | O_NOFOLLOW, 0600));
  // What a writer that was killed has left is written over; a living one's isn't.
  if (::flock(file.get(), LOCK_EX | LOCK_NB) != 0)
    return fail(Code::kRefused, "the encrypted image " + name + " is being written");
  if (::ftruncate(file.get(), 0) != 0) return fail_errno(errno, "emptying the encrypted image " + name);
  return NewSealed(*sealed_, name, std::move(file));
}

Result<Fd> KeptImages::sealed(const std::string& name) const {
  TRY_DO(check_sealed_name(name));
  auto file = sys::open_at(*sealed_, name, O_RDONLY | O_NOFOLLOW);
  if (!file && file.error().errnum == ENOENT) return fail(Code::kNotFound, "no encrypted image " + name + " is here");
  return file;
}

Result<void> KeptImages::drop_sealed(const std::string& name) const {
  TRY_DO(check_sealed_name(name));
  if (::unlinkat(sealed_->get(), name.c_str(), 0) == 0 || errno == ENOENT) return {};
  return fail_errno(errno, "removing the encrypted image " + name);
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
