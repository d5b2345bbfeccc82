// Images in packs: a directory (a pack for each writing thread) or a single file (one pack, the manifest after it).
//
// Why a pack for each thread: a buffered write holds the inode's lock exclusively, so two threads on one file take
// turns. The manifest is written last and appears by rename; without it a directory is no image. What a killed writer
// leaves behind is overwritten by the next one with the same target, which a lock keeps from being a live one's.
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <mutex>

#include "base/crew.h"
#include "base/io.h"
#include "base/log.h"
#include "base/sys.h"
#include "image/buffer.h"
#include "image/pack.h"
#include "image/record_sink.h"

namespace godwit::image {
namespace {

Result<void> lock_or_refuse(const Fd& fd, const std::string& path) {
  if (::flock(fd.get(), LOCK_EX | LOCK_NB) == 0) return {};
  if (errno == EWOULDBLOCK) return fail(Code::kRefused, "another image is being written to " + path);
  return fail_errno(errno, "lock " + path);
}

/// Room behind what is written: 5 % more than asked, for lanes don't share the work evenly.
Result<void> make_room(const Fd& fd, uint64_t end, uint64_t bytes) {
  const uint64_t room = bytes + bytes / 20;
  if (::fallocate(fd.get(), FALLOC_FL_KEEP_SIZE, static_cast<off_t>(end), static_cast<off_t>(room)) == 0) return {};
  return fail_errno(errno, "room ahead of an image");
}

/// Half as much again as the image could need: with less, what one pack keeps for itself another may lack.
bool has_plenty(const Fd& fd, uint64_t bytes) {
  struct statvfs space{};
  return ::fstatvfs(fd.get(), &space) == 0 && space.f_bavail * space.f_frsize / 3 * 2 > bytes;
}

/// One pack being written. `append` is called by one thread at a time.
struct Pack {
  Fd fd;
  uint64_t end = kPageBytes;
  Result<uint64_t> append(std::span<const std::byte> data) {
    const uint64_t at = end;
    TRY_DO(io::pwrite_full(fd.get(), data, at));
    end += data.size();
    return at;
  }
};

class PackSink : public RecordSink {
 public:
  explicit PackSink(const PackOptions& options) : options_(options) {
    if (options_.zstd_level == 0) return;
    for (unsigned lane = 0; lane < options_.lanes; lane++) scratch_.emplace_back(kMaxChunkBytes + kPageBytes);
  }
  Place place() const override { return Place::kPack; }

  Result<Placed> put(unsigned lane, std::span<std::byte> plain, DigestKind digest) override {
    Placed out;
    out.where.length = static_cast<uint32_t>(plain.size());
    if (digest == DigestKind::kSha256) {
      out.digest = sha256(plain);
    } else {
      const Xxh128 short_digest = xxh3_128(plain);
      std::ranges::copy(short_digest, out.digest.bytes.begin());
    }
    std::byte* from = plain.data();
    size_t bytes = plain.size();
    if (options_.zstd_level != 0) {
      const auto small = compress(options_.zstd_level, plain, scratch_[lane].span());
      if (!small.empty()) {
        from = scratch_[lane].data();
        bytes = small.size();
        out.where.stored = static_cast<uint32_t>(bytes);
      }
    }
    const size_t padded = (bytes + kPageBytes - 1) / kPageBytes * kPageBytes;
    std::memset(from + bytes, 0, padded - bytes);
    TRY_DO(append(lane, {from, padded}, out.where));
    return out;
  }

 protected:
  virtual Result<void> append(unsigned lane, std::span<const std::byte> data, Extent& where) = 0;
  const PackOptions options_;

 private:
  std::vector<Buffer> scratch_;
};

class DirectorySink final : public PackSink {
 public:
  DirectorySink(const PackOptions& options, std::string path) : PackSink(options), path_(std::move(path)) {}

  Result<void> open() {
    made_ = ::mkdir(path_.c_str(), 0700) == 0;
    if (!made_ && errno != EEXIST) return fail_errno(errno, "make directory " + path_);
    TRY(dir_, sys::open(path_, O_RDONLY | O_DIRECTORY));
    TRY_DO(lock_or_refuse(dir_, path_));
    locked_ = true;
    if (::faccessat(dir_.get(), kManifestName, F_OK, AT_SYMLINK_NOFOLLOW) == 0) {
      locked_ = false;  // it isn't ours to clean up
      return fail(Code::kRefused, path_ + " already holds an image");
    }
    for (unsigned lane = 0; lane < options_.lanes; lane++) {
      ::unlinkat(dir_.get(), pack_name(lane).c_str(), 0);
      TRY(Fd fd, sys::open_at(dir_, pack_name(lane), O_RDWR | O_CREAT | O_EXCL, 0600));
      packs_.push_back({std::move(fd)});
      const std::string header = pack_header(options_.image_id, lane);
      TRY_DO(io::pwrite_full(packs_.back().fd.get(), std::as_bytes(std::span(header)), 0));
    }
    return {};
  }

  ~DirectorySink() override {
    if (!locked_ || finished_) return;
    for (unsigned lane = 0; lane < packs_.size(); lane++) ::unlinkat(dir_.get(), pack_name(lane).c_str(), 0);
    ::unlinkat(dir_.get(), kTemporary, 0);
    if (made_) ::rmdir(path_.c_str());
  }

  void reserve(uint64_t bytes) override {
    if (options_.zstd_level != 0 || !has_plenty(dir_, bytes)) return;
    reserved_ = true;
    const auto made = share_work(options_.lanes, packs_.size(), [&](unsigned, size_t i) {
      return make_room(packs_[i].fd, packs_[i].end, bytes / packs_.size());
    });
    if (!made) (void)give_back();
  }

  Result<uint64_t> finish(Manifest& manifest) override {
    uint64_t bytes = 0;
    if (reserved_) TRY_DO(give_back());
    // A small image leaves the second pack without a record: then it goes.
    while (packs_.size() > 1 && packs_.back().end == kPageBytes) {
      ::unlinkat(dir_.get(), pack_name(packs_.size() - 1).c_str(), 0);
      packs_.pop_back();
    }
    manifest.pack_bytes.clear();
    for (const Pack& pack : packs_) {
      manifest.pack_bytes.push_back(pack.end);
      bytes += pack.end;
      if (options_.durable && ::fdatasync(pack.fd.get()) != 0) return fail_errno(errno, "sync a pack of " + path_);
    }
    TRY(const std::string frame, encode(manifest));
    ::unlinkat(dir_.get(), kTemporary, 0);
    TRY(const Fd fd, sys::open_at(dir_, kTemporary, O_WRONLY | O_CREAT | O_EXCL, 0600));
    TRY_IN("manifest", io::write_full(fd.get(), frame));
    if (options_.durable && ::fsync(fd.get()) != 0) return fail_errno(errno, "sync the manifest of " + path_);
    if (::renameat(dir_.get(), kTemporary, dir_.get(), kManifestName) != 0)
      return fail_errno(errno, "name the manifest of " + path_);
    finished_ = true;
    if (options_.durable && ::fsync(dir_.get()) != 0) return fail_errno(errno, "sync " + path_);
    return bytes + frame.size();
  }

 protected:
  Result<void> append(unsigned lane, std::span<const std::byte> data, Extent& where) override {
    where.pack = lane;
    TRY(where.offset, packs_[lane].append(data));
    return {};
  }

 private:
  /// What was reserved and isn't used.
  Result<void> give_back() {
    reserved_ = false;
    for (const Pack& pack : packs_)
      if (::ftruncate(pack.fd.get(), static_cast<off_t>(pack.end)) != 0)
        return fail_errno(errno, "give back what a pack of " + path_ + " doesn't need");
    return {};
  }

  static constexpr const char* kTemporary = "manifest.partial";
  std::string path_;
  Fd dir_;
  bool made_ = false, locked_ = false, finished_ = false, reserved_ = false;
  std::vector<Pack> packs_;
};

/// One file or a stream: every byte is written once, in order, nothing is sought.
class FileSink final : public PackSink {
 public:
  FileSink(const PackOptions& options, std::string path) : PackSink(options), path_(std::move(path)) {}

  Result<void> open() {
    temporary_ = path_ + ".partial";
    TRY(Fd fd, sys::open(temporary_, O_WRONLY | O_CREAT | O_NOFOLLOW, 0600));
    TRY_DO(lock_or_refuse(fd, path_));
    ours_ = true;
    if (::ftruncate(fd.get(), 0) != 0) return fail_errno(errno, "empty " + temporary_);
    return use(std::move(fd));
  }
  Result<void> use(Fd fd) {
    fd_ = std::move(fd);
    return io::write_full(fd_.get(), pack_header(options_.image_id, 0));
  }
  ~FileSink() override {
    if (ours_) ::unlink(temporary_.c_str());
  }

  Result<uint64_t> finish(Manifest& manifest) override {
    manifest.pack_bytes.assign(1, end_);
    TRY(std::string tail, encode(manifest));
    tail += file_end(end_, tail.size());
    TRY_IN("manifest", io::write_full(fd_.get(), tail));
    if (options_.durable && ::fsync(fd_.get()) != 0 && errno != EINVAL) return fail_errno(errno, "sync the image");
    if (ours_) {
      TRY_DO(sys::rename(temporary_, path_));
      ours_ = false;
    }
    return end_ + tail.size();
  }

 protected:
  Result<void> append(unsigned, std::span<const std::byte> data, Extent& where) override {
    const std::scoped_lock lock(mutex_);
    where.offset = end_;
    TRY_DO(io::write_full(fd_.get(), data));
    end_ += data.size();
    return {};
  }

 private:
  std::string path_, temporary_;
  bool ours_ = false;
  Fd fd_;
  std::mutex mutex_;
  uint64_t end_ = kPageBytes;
};

}  // namespace

Result<std::unique_ptr<RecordSink>> open_directory_sink(const std::string& path, const PackOptions& options) {
  auto sink = std::make_unique<DirectorySink>(options, path);
  TRY_DO(sink->open());
  return sink;
}

Result<std::unique_ptr<RecordSink>> open_file_sink(const std::string& path, const PackOptions& options) {
  auto sink = std::make_unique<FileSink>(options, path);
  TRY_DO(sink->open());
  return sink;
}

Result<std::unique_ptr<RecordSink>> open_stream_sink(Fd fd, const PackOptions& options) {
  auto sink = std::make_unique<FileSink>(options, "a stream");
  TRY_DO(sink->use(std::move(fd)));
  return sink;
}

}  // namespace godwit::image
