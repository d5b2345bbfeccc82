#include "files/hash.h"

#include <linux/magic.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <memory>
#include <mutex>
#include <thread>

#include "base/check.h"
#include "base/clock.h"
#include "base/raw_buffer.h"
#include "base/sys.h"

namespace godwit::files {
namespace {

constexpr size_t kChunksATask = 8;               // what a thread takes at a time
constexpr uint64_t kWorthThreads = 4u << 20;     // below this, starting a thread costs more than it saves
constexpr int kTries = 3;                        // for files that change while they are read
constexpr int64_t kClockSlackNs = 100'000'000;  // a file's ctime ticks every 1 to 10 ms; be generous

// The fingerprint of a chunk: GMAC, that is AES-GCM of nothing with the data as what is only authenticated.
class Fingerprinter {
 public:
  Fingerprinter() : context_(EVP_CIPHER_CTX_new(), &EVP_CIPHER_CTX_free) {
    const auto& key = process_key();
    GODWIT_CHECK(EVP_EncryptInit_ex(context_.get(), EVP_aes_128_gcm(), nullptr, key.data(), nullptr) == 1,
                 "AES-GCM of OpenSSL");
  }
  Fingerprint of(std::span<const std::byte> data) {
    static constexpr unsigned char kNonce[12]{};  // one nonce for all is sound only because tags stay in this process
    Fingerprint tag{};
    int n = 0;
    EVP_CIPHER_CTX* c = context_.get();
    const bool ok = EVP_EncryptInit_ex(c, nullptr, nullptr, nullptr, kNonce) == 1 &&
                    EVP_EncryptUpdate(c, nullptr, &n, reinterpret_cast<const unsigned char*>(data.data()),
                                      static_cast<int>(data.size())) == 1 &&
                    EVP_EncryptFinal_ex(c, tag.data(), &n) == 1 &&
                    EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_GET_TAG, static_cast<int>(tag.size()), tag.data()) == 1;
    GODWIT_CHECK(ok, "GMAC of OpenSSL");
    return tag;
  }

 private:
  static const std::array<unsigned char, 16>& process_key() {
    static const auto kKey = [] {
      std::array<unsigned char, 16> k{};
      GODWIT_CHECK(RAND_bytes(k.data(), static_cast<int>(k.size())) == 1, "random bytes of OpenSSL");
      return k;
    }();
    return kKey;
  }
  std::unique_ptr<EVP_CIPHER_CTX, decltype(&EVP_CIPHER_CTX_free)> context_;
};

// What is known of one chunk after it was read.
struct Slot {
  uint64_t index = 0;
  ChunkId id;
  Fingerprint fingerprint{};
  bool zero = false;
};

struct Work {
  HashJob* job = nullptr;
  std::vector<Slot> slots;  // each written by the one thread that read it
  std::atomic<bool> changed{false};
  std::mutex mutex;  // guards job->status
};

struct Task {
  Work* work = nullptr;
  size_t first = 0;
  size_t count = 0;
};

// Whether the file system's times tell of every write that no mapping of now explains.
bool times_tell(const Fd& file) {
  struct statfs fs{};
  if (::fstatfs(file.get(), &fs) < 0) return false;
  switch (static_cast<unsigned long>(fs.f_type)) {
    case NFS_SUPER_MAGIC:
    case SMB_SUPER_MAGIC:
    case SMB2_SUPER_MAGIC:
    case CIFS_SUPER_MAGIC:
    case V9FS_MAGIC:
    case CEPH_SUPER_MAGIC:
    case FUSE_SUPER_MAGIC:
    case CODA_SUPER_MAGIC:
    case AFS_FS_MAGIC:
    case OCFS2_SUPER_MAGIC:
    case TMPFS_MAGIC:
    case RAMFS_MAGIC: return false;
    default: return true;
  }
}

// The indices of the chunks that have data. A file without holes has them all; of a sparse one the file system is
// asked, because a hole may be as large as the largest file.
Result<std::vector<Slot>> find_slots(const Fd& file, const struct stat& st) {
  const auto size = static_cast<uint64_t>(st.st_size);
  std::vector<Slot> slots;
  const auto add = [&](uint64_t from, uint64_t to) -> bool {
    uint64_t index = from / kChunkSize;
    if (!slots.empty() && slots.back().index >= index) index = slots.back().index + 1;
    for (; index * kChunkSize < to; ++index) {
      if (slots.size() == kMaxPieces) return false;
      slots.push_back({index, {}, {}, false});
    }
    return true;
  };
  const auto too_big = [] { return fail(Code::kRefused, "more than 16 TiB of data in one file"); };
  if (static_cast<uint64_t>(st.st_blocks) * 512 >= size) {
    if (size / kChunkSize >= kMaxPieces) return too_big();
    add(0, size);
    return slots;
  }
  for (off_t at = 0; static_cast<uint64_t>(at) < size;) {
    const off_t data = ::lseek(file.get(), at, SEEK_DATA);
    if (data < 0 && errno == ENXIO) break;  // nothing but a hole up to the end
    const off_t hole = data < 0 ? -1 : ::lseek(file.get(), data, SEEK_HOLE);
    if (hole < 0) {  // the file system doesn't know, or the file shrank: read it all
      slots.clear();
      if (size / kChunkSize >= kMaxPieces) return too_big();
      add(0, size);
      return slots;
    }
    if (!add(static_cast<uint64_t>(data), std::min(static_cast<uint64_t>(hole), size))) return too_big();
    at = hole;
  }
  return slots;
}

// Reads up to the buffer's end or the file's; returns how much.
Result<size_t> read_at(const Fd& file, std::span<std::byte> buffer, uint64_t offset) {
  size_t done = 0;
  while (done < buffer.size()) {
    const ssize_t n =
        ::pread(file.get(), buffer.data() + done, buffer.size() - done, static_cast<off_t>(offset + done));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail_errno(errno, "read");
    if (n == 0) break;
    done += static_cast<size_t>(n);
  }
  return done;
}

class Hashing {
 public:
  Hashing(std::span<HashJob> jobs, HashCache* cache, const Progress& progress)
      : jobs_(jobs), cache_(cache), progress_(progress) {}

  void run() {
    std::vector<HashJob*> open_jobs;
    for (HashJob& job : jobs_) open_jobs.push_back(&job);
    for (int attempt = 0; attempt < kTries && !open_jobs.empty(); ++attempt) {
      round(open_jobs);
      std::erase_if(open_jobs, [](const HashJob* job) { return !job->status || job->stable; });
    }
  }

 private:
  // One pass over the given jobs.
  void round(const std::vector<HashJob*>& jobs) {
    std::vector<std::unique_ptr<Work>> works;
    std::vector<Task> tasks;
    total_ = 0;
    done_ = 0;
    for (HashJob* job : jobs) {
      auto work = std::make_unique<Work>();
      work->job = job;
      job->stable = true;
      job->result = {};
      job->status = plan(*work);
      if (!job->status || work->slots.empty()) continue;
      for (size_t at = 0; at < work->slots.size(); at += kChunksATask)
        tasks.push_back({work.get(), at, std::min(kChunksATask, work->slots.size() - at)});
      total_ += work->job->result.stamp.size;
      works.push_back(std::move(work));
    }
    do_tasks(tasks);
    for (auto& work : works) finish(*work);
  }

  // Looks at the file, and finds what is to be read of it: nothing, if the cache knows it.
  Result<void> plan(Work& work) {
    HashJob& job = *work.job;
    const int64_t now = clock_now(CLOCK_REALTIME).count();
    TRY(auto file, job.open());
    TRY(auto st, sys::stat(file));
    if (!S_ISREG(st.st_mode)) return fail(Code::kRefused, job.name + " is not a regular file");
    Hashed& result = job.result;
    result.stamp = Stamp::of(st);
    result.content.size = result.stamp.size;
    result.settled = result.stamp.ctime_ns + kClockSlackNs < now && times_tell(file);
    if (cache_ != nullptr && result.settled && !job.with_fingerprints && cache_->find(result.stamp, result.content))
      return {};
    TRY(work.slots, find_slots(file, st));
    return {};
  }

  void do_tasks(std::vector<Task>& tasks) {
    if (tasks.empty()) return;
    std::atomic<size_t> next{0};
    const auto worker = [&] {
      RawBuffer buffer(kChunkSize);
      Fingerprinter fingerprinter;
      for (size_t i; (i = next++) < tasks.size();) do_task(tasks[i], buffer.all(), fingerprinter);
    };
    if (total_ < kWorthThreads) return worker();
    std::jthread second(worker);
    worker();
  }

  void do_task(const Task& task, std::span<std::byte> buffer, Fingerprinter& fingerprinter) {
    auto done = read_task(task, buffer, fingerprinter);
    if (done) return;
    std::scoped_lock lock(task.work->mutex);
    task.work->job->status = std::unexpected(std::move(done).error().in(task.work->job->name));
  }

  Result<void> read_task(const Task& task, std::span<std::byte> buffer, Fingerprinter& fingerprinter) {
    HashJob& job = *task.work->job;
    if (task.work->changed) return {};
    TRY(auto file, job.open());
    uint64_t bytes = 0;
    for (size_t i = task.first; i < task.first + task.count; ++i) {
      Slot& slot = task.work->slots[i];
      const auto data = buffer.first(job.result.content.piece_length(slot.index));
      TRY(const size_t n, read_at(file, data, slot.index * kChunkSize));
      if (n < data.size()) {
        task.work->changed = true;
        std::ranges::fill(data.subspan(n), std::byte{0});
      }
      identify(job, slot, data, fingerprinter);
      bytes += data.size();
    }
    TRY(auto st, sys::stat(file));
    if (Stamp::of(st) != job.result.stamp) task.work->changed = true;
    report(bytes);
    return {};
  }

  static void identify(const HashJob& job, Slot& slot, std::span<const std::byte> data, Fingerprinter& fingerprinter) {
    slot.zero = is_zero(data);
    if (slot.zero) return;
    if (job.with_fingerprints) {
      slot.fingerprint = fingerprinter.of(data);
      const Hashed* old = job.previous;
      if (old != nullptr && old->fingerprints.size() == old->content.pieces.size() &&
          old->content.piece_length(slot.index) == data.size()) {
        const auto& pieces = old->content.pieces;
        const auto at = std::ranges::lower_bound(pieces, slot.index, {}, &Content::Piece::index);
        if (at != pieces.end() && at->index == slot.index &&
            old->fingerprints[static_cast<size_t>(at - pieces.begin())] == slot.fingerprint) {
          slot.id = at->id;
          return;
        }
      }
    }
    slot.id = chunk_id_of(data);
  }

  void finish(Work& work) {
    HashJob& job = *work.job;
    if (!job.status) return;
    job.stable = !work.changed;
    if (!job.stable) job.result.settled = false;
    for (const Slot& slot : work.slots) {
      if (slot.zero) continue;
      job.result.content.pieces.push_back({slot.index, slot.id});
      if (job.with_fingerprints) job.result.fingerprints.push_back(slot.fingerprint);
    }
    if (cache_ != nullptr && job.result.settled) cache_->keep(job.result.stamp, job.result.content);
  }

  void report(uint64_t bytes) {
    const uint64_t done = done_ += bytes;
    if (!progress_) return;
    std::scoped_lock lock(progress_mutex_);
    progress_({"hashing", std::min(done, total_), total_});
  }

  std::span<HashJob> jobs_;
  HashCache* cache_;
  const Progress& progress_;
  std::mutex progress_mutex_;
  uint64_t total_ = 0;
  std::atomic<uint64_t> done_{0};
};

}  // namespace

void hash_files(std::span<HashJob> jobs, HashCache* cache, const Progress& progress) {
  Hashing(jobs, cache, progress).run();
}

}  // namespace godwit::files
