#include "image/history.h"

#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <charconv>

#include "base/io.h"
#include "base/sys.h"
#include "image/record_sink.h"

namespace godwit::image {
namespace {

constexpr const char* kLast = "last";
constexpr const char* kNew = ".new";
/// A manifest as it lies here: a frame, or a frame sealed in a chunk file.
constexpr uint64_t kMaxStoredManifest = kMaxManifestBytes + 4096;

/// A unit's id becomes a directory's name.
Result<void> check_unit(const std::string& unit) {
  const auto good = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
           c == '.';
  };
  if (!unit.empty() && unit.size() <= 255 && unit[0] != '.' && std::ranges::all_of(unit, good)) return {};
  return fail(Code::kUsage, "'" + unit + "' can't be a unit's id");
}

std::optional<uint64_t> number_from(std::string_view text) {
  uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || number == 0) return std::nullopt;
  if (std::to_string(number) != text) return std::nullopt;
  return number;
}

/// Binds a sealed manifest to its place, so that one checkpoint's can't be passed off as another's.
ChunkId seal_name(const std::string& unit, uint64_t number) {
  const std::string name = fmt::format("manifest {}@{}", unit, number);
  return sha256(std::as_bytes(std::span(name)));
}

Result<std::string> unseal(std::string stored, const std::string& unit, uint64_t number, const StoreOptions& options) {
  const auto bytes = std::as_writable_bytes(std::span(stored));
  TRY(const ChunkHeader header, decode_chunk_header(bytes, kMaxStoredManifest));
  if (header.file_bytes() != stored.size()) return fail(Code::kCorrupt, "the sealed manifest is truncated");
  std::string frame(header.plain_bytes, '\0');
  TRY_DO(decode_chunk(header, bytes, seal_name(unit, number), options.key, std::as_writable_bytes(std::span(frame))));
  return frame;
}

Result<Fd> locked_directory(const Fd& parent, const std::string& unit) {
  TRY(Fd dir, sys::open_at(parent, unit, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  while (::flock(dir.get(), LOCK_EX) != 0)
    if (errno != EINTR) return fail_errno(errno, "lock the history of " + unit);
  return dir;
}

Result<void> write_new(const Fd& dir, const std::string& name, std::string_view text, bool durable) {
  ::unlinkat(dir.get(), kNew, 0);
  TRY(const Fd fd, sys::open_at(dir, kNew, O_WRONLY | O_CREAT | O_EXCL, 0600));
  Result<void> done = io::write_full(fd.get(), text);
  if (done && durable && ::fsync(fd.get()) != 0) done = fail_errno(errno, "sync " + name);
  if (done && ::renameat(dir.get(), kNew, dir.get(), name.c_str()) != 0) done = fail_errno(errno, "rename to " + name);
  if (!done) ::unlinkat(dir.get(), kNew, 0);
  if (done && durable && ::fsync(dir.get()) != 0) done = fail_errno(errno, "sync the directory of " + name);
  return done;
}

uint64_t content_bytes(const Manifest& manifest) {
  uint64_t bytes = 0;
  for (const engine::PageRun& run : manifest.memory.runs)
    if (run.space != kReplaced) bytes += run.length;
  return bytes;
}

class HistorySink final : public RecordSink {
 public:
  HistorySink(const History& history, ChunkStore::Session session, bool durable)
      : history_(history), session_(std::move(session)), durable_(durable) {}
  Place place() const override { return Place::kChunk; }
  Result<Placed> put(unsigned, std::span<std::byte> plain, DigestKind) override {
    TRY(const Put done, session_.put(plain));
    bytes_added_ += done.bytes_added;
    Placed out;
    out.digest = done.id;
    out.where.length = static_cast<uint32_t>(plain.size());
    return out;
  }
  Result<uint64_t> finish(Manifest& manifest) override {
    manifest.pack_bytes.clear();
    TRY(const uint64_t bytes, history_.publish(manifest, session_, durable_));
    return bytes + bytes_added_;
  }

 private:
  const History& history_;
  const ChunkStore::Session session_;
  const bool durable_;
  std::atomic<uint64_t> bytes_added_{0};
};

}  // namespace

Result<std::unique_ptr<RecordSink>> open_history_sink(const History& history, bool durable) {
  TRY(auto session, history.store().session());
  return std::make_unique<HistorySink>(history, std::move(session), durable);
}

Result<History> History::open(const std::string& path, const ChunkStore& store) {
  TRY_DO(sys::make_dirs(path, 0700));
  TRY(Fd dir, sys::open(path, O_RDONLY | O_DIRECTORY));
  return History(path, std::move(dir), store);
}

Result<std::vector<uint64_t>> History::numbers(const std::string& unit) const {
  TRY_DO(check_unit(unit));
  std::vector<uint64_t> out;
  const auto entries = sys::list_dir_at(dir_, unit);
  if (!entries && entries.error().errnum == ENOENT) return out;
  if (!entries) return std::unexpected(entries.error());
  for (const std::string& entry : *entries)
    if (const auto number = number_from(entry)) out.push_back(*number);
  std::ranges::sort(out);
  return out;
}

Result<std::vector<std::string>> History::units() const {
  TRY(auto out, sys::list_dir_at(dir_, "."));
  std::erase_if(out, [](const std::string& name) { return !check_unit(name); });
  std::ranges::sort(out);
  return out;
}

Result<Manifest> History::load(const std::string& unit, uint64_t number) const {
  TRY_DO(check_unit(unit));
  const std::string where = fmt::format("{}@{}", unit, number);
  auto stored = io::read_file_at(dir_, fmt::format("{}/{}", unit, number), kMaxStoredManifest);
  if (!stored && stored.error().errnum == ENOENT) return fail(Code::kNotFound, "there is no checkpoint " + where);
  if (!stored) return std::unexpected(stored.error());
  if (stored->starts_with("GWCK")) {
    auto frame = unseal(std::move(*stored), unit, number, store_->options());
    if (!frame) return std::unexpected(frame.error().in(where));
    stored = std::move(frame);
  }
  auto manifest = decode(std::as_bytes(std::span(*stored)));
  if (!manifest) return std::unexpected(manifest.error().in(where));
  if (manifest->unit != unit || manifest->checkpoint != number)
    return fail(Code::kCorrupt,
                fmt::format("{} holds the manifest of {}@{}", where, manifest->unit, manifest->checkpoint));
  if (manifest->memory.place != Place::kChunk && !manifest->memory.records.empty())
    return fail(Code::kCorrupt, where + " is not a manifest of a history: its memory lies in packs");
  return manifest;
}

Result<std::vector<Checkpoint>> History::list(const std::string& unit) const {
  TRY(const auto all, numbers(unit));
  std::vector<Checkpoint> out;
  for (const uint64_t number : all) {
    const auto manifest = load(unit, number);
    if (manifest) {
      out.push_back({number, manifest->parent, manifest->created_unix_ns, content_bytes(*manifest), {}});
    } else if (manifest.error().code != Code::kNotFound) {  // else it was removed meanwhile
      out.push_back({number, 0, 0, 0, manifest.error().message()});
    }
  }
  return out;
}

Result<uint64_t> History::next_number(const std::string& unit) const {
  TRY(const auto all, numbers(unit));
  uint64_t last = all.empty() ? 0 : all.back();
  const auto noted = io::read_file_at(dir_, unit + "/" + kLast, 64);
  if (noted)
    if (const auto number = number_from(*noted)) last = std::max(last, *number);
  return last + 1;
}

Result<uint64_t> History::publish(Manifest& manifest, const ChunkStore::Session& session, bool durable) const {
  TRY_DO(check_unit(manifest.unit));
  if (::mkdirat(dir_.get(), manifest.unit.c_str(), 0700) != 0 && errno != EEXIST)
    return fail_errno(errno, "make the history of " + manifest.unit);
  TRY(const Fd dir, locked_directory(dir_, manifest.unit));
  TRY(const uint64_t next, next_number(manifest.unit));
  if (manifest.checkpoint == 0) manifest.checkpoint = next;
  const std::string name = std::to_string(manifest.checkpoint);
  if (::faccessat(dir.get(), name.c_str(), F_OK, AT_SYMLINK_NOFOLLOW) == 0)
    return fail(Code::kRefused, fmt::format("checkpoint {}@{} exists", manifest.unit, name));
  TRY(std::string frame, encode(manifest));
  if (const auto& key = store_->options().key) {
    std::string sealed(chunk_room(frame.size()), '\0');
    TRY(const auto file, encode_chunk(std::as_bytes(std::span(frame)), seal_name(manifest.unit, manifest.checkpoint),
                                      store_->options().zstd_level, key, std::as_writable_bytes(std::span(sealed))));
    sealed.resize(file.size());
    frame = std::move(sealed);
  }
  if (durable) TRY_DO(session.sync());
  if (manifest.checkpoint >= next) TRY_DO(write_new(dir, kLast, name, durable));
  TRY_IN("history", write_new(dir, name, frame, durable));
  return frame.size();
}

Result<void> History::remove(const std::string& unit, uint64_t number) const {
  TRY_DO(check_unit(unit));
  if (::unlinkat(dir_.get(), fmt::format("{}/{}", unit, number).c_str(), 0) == 0) return {};
  if (errno == ENOENT) return fail(Code::kNotFound, fmt::format("there is no checkpoint {}@{}", unit, number));
  return fail_errno(errno, fmt::format("remove checkpoint {}@{}", unit, number));
}

Result<std::vector<uint64_t>> History::prune(const std::string& unit, const KeepPolicy& policy,
                                             int64_t now_unix_ns) const {
  TRY(const auto all, list(unit));
  std::vector<uint64_t> removed;
  for (size_t i = 0; i < all.size(); i++) {
    const Checkpoint& c = all[i];
    const bool kept = !c.damage.empty() || all.size() - i <= std::max<size_t>(policy.newest, 1) ||
                      (policy.younger_than_ns > 0 && now_unix_ns - c.created_unix_ns < policy.younger_than_ns) ||
                      std::ranges::find(policy.pinned, c.number) != policy.pinned.end();
    if (kept) continue;
    TRY_DO(remove(unit, c.number));
    removed.push_back(c.number);
  }
  return removed;
}

Result<ChunkStore::Collected> History::collect() const {
  return store_->collect([&](const ChunkStore::Keep& keep) -> Result<void> {
    TRY(const auto everybody, units());
    for (const std::string& unit : everybody) {
      TRY(const auto all, numbers(unit));
      for (const uint64_t number : all) {
        const auto manifest = load(unit, number);
        if (!manifest && manifest.error().code == Code::kNotFound) continue;
        if (!manifest) return std::unexpected(manifest.error().in("nothing was collected").as(Code::kRefused));
        for (const Record& record : manifest->memory.records) keep(record.digest);
        for (const Section& section : manifest->sections)
          for (const ChunkId& id : section.chunks) keep(id);
      }
    }
    return {};
  });
}

}  // namespace godwit::image
