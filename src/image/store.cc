// The chunk store: how a second checkpoint costs only what changed.
//
// PROBLEM. A unit's checkpoints are kept so that one can go back to any of them, and most of their bytes are the same:
// memory that wasn't written, the program's libraries, its data. Several keepers write at the same time, any of them may be
// killed between two instructions, the disk may be full, and nobody should have to run a repair afterwards.
//
// IDEA. Content is cut into chunks, and a chunk's name is the SHA-256 of its content. Then equal content meets in one file
// without anybody comparing; a file, once it has its name, never changes, so readers need no locks; and what a reader gets
// is checked against the name it asked for.
//
//     STORE/format            "godwit-chunks 1"
//     STORE/lock              nothing in it; flock: shared = a session, exclusive = a collection
//     STORE/ab/ab12…ef        a chunk; the first two digits spread them over 256 directories
//     STORE/ab/.new-…         one being written
//     STORE/bad/ab12…ef       one whose content was found not to be what its name says
//
// One file a chunk, rather than packs with an index: the file system is an index which several processes may change at the
// same time, and which survives their death. Packs (restic, borg) pay where chunks are small or the store is far away; ours
// are 256 KiB of memory or up to 1 MiB of a file, on a local disk. The cost was measured: image_bench, `write_store`.
//
// WRITING. Take the digest; if a complete file of that name is there, done. Else write `.new-…` in the same directory
// (a rename between directories would take a lock of the whole file system), then rename. Two writers of the same content
// both rename; the second replaces the first by the same bytes. A kill leaves a `.new-…`, removed by the next collection; a
// full disk an error and no file. After a power cut a file may have its name but not its bytes (no fsync per chunk: it would
// cost milliseconds each): has() compares the length with the header, get() the digest, and a bad file is put aside, so
// that the next put() writes it again. Session::sync() is one syncfs for all chunks, done before a manifest is published
// where the caller asked for durability.
//
// COLLECTING. A chunk lives as long as a kept manifest names it. Counting references would need an update that is atomic
// with publishing a manifest; marking needs none: the manifests are the truth. The one race is between a writer which found
// a chunk present, and a collection which saw no manifest with it. So a writer holds the lock shared from before its first
// look until its manifest is published (a *session*), and a collection runs only when it gets the lock exclusively, reads
// the manifests while it holds it, and gives up if any can't be read: content is never removed on a guess. Locks die with
// their process, so a killed writer blocks nothing. A collection unlinks some 100 000 chunks a second; sessions wait that long.
//
// CUTTING. Memory at multiples of 256 KiB of its address space, zero pages left out: insertion doesn't happen in memory, so
// content-defined cutting would find nothing more. Files are cut by their module.
//
// ENCRYPTION. With a key, payloads are AES-256-GCM with a random nonce; header and name are authenticated with them. The name
// stays the SHA-256 of the plain content: somebody who can list the store can tell whether it holds content that he knows.
//
// LIMITS. Damage is noticed when a chunk is read or by verify(), not when a second writer finds it present with the right
// length. Sources: restic's design document, casync, git's object store.
#include "image/store.h"

#include <fmt/format.h>
#include <sys/file.h>
#include <sys/random.h>
#include <unistd.h>

#include <atomic>
#include <unordered_set>

#include "base/check.h"
#include "base/io.h"
#include "base/log.h"
#include "base/sys.h"
#include "image/buffer.h"

namespace godwit::image {
namespace {

constexpr std::string_view kFormat = "godwit-chunks 1\n";
constexpr std::string_view kNewPrefix = ".new-";

std::string shard(const ChunkId& id) { return id.hex().substr(0, 2); }
std::string place_of(const ChunkId& id) { return shard(id) + "/" + id.hex(); }

/// A name that no other process or thread uses, also across PID namespaces.
std::string fresh_name() {
  static const uint64_t process = [] {
    uint64_t random = 0;
    const ssize_t got = ::getrandom(&random, sizeof random, 0);
    GODWIT_CHECK(got == sizeof random, "getrandom");
    return random;
  }();
  static std::atomic<uint64_t> next{0};
  return fmt::format("{}{:x}-{:x}-{:x}", kNewPrefix, process, ::getpid(), next++);
}

/// Buffers a thread needs for put() and get(): kept, because fresh pages cost more than the copy into them.
std::span<std::byte> thread_scratch() {
  thread_local const Buffer buffer((chunk_room(kMaxChunkBytes) + kPageBytes - 1) / kPageBytes * kPageBytes);
  return buffer.span();
}

}  // namespace

Result<std::unique_ptr<ChunkStore>> ChunkStore::open(const std::string& path, const StoreOptions& options) {
  TRY_DO(sys::make_dirs(path, 0700));
  TRY(Fd dir, sys::open(path, O_RDONLY | O_DIRECTORY));
  auto format = io::read_file_at(dir, "format", 4096);
  if (!format && format.error().errnum == ENOENT) {
    TRY_DO(io::replace_file(path + "/format", kFormat, 0600));
  } else if (!format) {
    return std::unexpected(format.error());
  } else if (*format != kFormat) {
    return fail(Code::kRefused, fmt::format("{} is not a chunk store of a kind that this Godwit knows", path));
  }
  return std::unique_ptr<ChunkStore>(new ChunkStore(path, std::move(dir), options));
}

Result<Fd> ChunkStore::lock(int operation) const {
  TRY(Fd fd, sys::open_at(dir_, "lock", O_RDWR | O_CREAT, 0600));
  while (::flock(fd.get(), operation) != 0) {
    if (errno == EINTR) continue;
    if (errno == EWOULDBLOCK) return fail(Code::kRefused, "somebody is writing to " + path_);
    return fail_errno(errno, "lock " + path_);
  }
  return fd;
}

Result<ChunkStore::Session> ChunkStore::session() const {
  TRY(Fd held, lock(LOCK_SH));
  return Session(*this, std::move(held));
}

Result<Put> ChunkStore::Session::put(std::span<const std::byte> content) const {
  if (content.empty() || content.size() > kMaxChunkBytes)
    return fail(Code::kUsage, fmt::format("a chunk of {} bytes, allowed are 1 to {}", content.size(), kMaxChunkBytes));
  Put out;
  out.id = sha256(content);
  if (store_->has(out.id)) return out;
  const StoreOptions& options = store_->options_;
  TRY(const auto file, encode_chunk(content, out.id, options.zstd_level, options.key, thread_scratch()));
  TRY(out.bytes_added, store_->write(out.id, file));
  return out;
}

Result<uint64_t> ChunkStore::write(const ChunkId& id, std::span<const std::byte> file) const {
  const std::string temporary = shard(id) + "/" + fresh_name();
  auto fd = sys::open_at(dir_, temporary, O_WRONLY | O_CREAT | O_EXCL, 0600);
  if (!fd && fd.error().errnum == ENOENT) {
    if (::mkdirat(dir_.get(), shard(id).c_str(), 0700) != 0 && errno != EEXIST)
      return fail_errno(errno, "make directory in " + path_);
    fd = sys::open_at(dir_, temporary, O_WRONLY | O_CREAT | O_EXCL, 0600);
  }
  if (!fd) return std::unexpected(fd.error());
  Result<void> done = io::write_full(fd->get(), file);
  if (done && ::renameat(dir_.get(), temporary.c_str(), dir_.get(), place_of(id).c_str()) != 0)
    done = fail_errno(errno, "name a chunk in " + path_);
  if (!done) {
    ::unlinkat(dir_.get(), temporary.c_str(), 0);
    return std::unexpected(done.error().in("chunk store"));
  }
  return file.size();
}

Result<void> ChunkStore::Session::sync() const {
  if (::syncfs(store_->dir_.get()) != 0) return fail_errno(errno, "sync " + store_->path_);
  return {};
}

bool ChunkStore::has(const ChunkId& id) const {
  const auto fd = sys::open_at(dir_, place_of(id), O_RDONLY | O_NONBLOCK | O_NOFOLLOW);
  if (!fd) return false;
  std::array<std::byte, kChunkHeaderBytes> bytes;
  const auto info = sys::stat(*fd);
  if (!info || !S_ISREG(info->st_mode) || !io::pread_full(fd->get(), bytes, 0)) return false;
  const auto header = decode_chunk_header(bytes, kMaxChunkBytes);
  return header && header->file_bytes() == static_cast<uint64_t>(info->st_size);
}

Result<void> ChunkStore::read(const ChunkId& id, const Room& room) const {
  const auto fd = sys::open_at(dir_, place_of(id), O_RDONLY | O_NONBLOCK | O_NOFOLLOW);
  if (!fd && fd.error().errnum == ENOENT)
    return fail(Code::kNotFound, fmt::format("chunk {} is not in {}", id.hex(), path_));
  if (!fd) return std::unexpected(fd.error());
  // Put aside is only what is certainly bad, whoever asks with whatever expectation or key.
  const auto damaged = [&](std::string why) {
    put_aside(id);
    return fail(Code::kCorrupt, fmt::format("chunk {} in {}: {}", id.hex(), path_, why));
  };
  TRY(const struct stat info, sys::stat(*fd));
  const auto size = static_cast<uint64_t>(info.st_size);
  const auto scratch = thread_scratch();
  if (!S_ISREG(info.st_mode) || size < kChunkHeaderBytes || size > scratch.size())
    return damaged(fmt::format("a file of {} bytes", size));
  const auto file = scratch.first(size);
  const auto got = io::pread_full(fd->get(), file, 0);
  if (!got) return got.error().code == Code::kPeer ? damaged("truncated") : got;
  const auto header = decode_chunk_header(file, kMaxChunkBytes);
  if (!header && header.error().code != Code::kCorrupt) return std::unexpected(header.error());
  if (!header) return damaged(header.error().text);
  if (header->file_bytes() != size)
    return damaged(fmt::format("{} bytes, its header says {}", size, header->file_bytes()));
  TRY(const auto plain, room(header->plain_bytes));
  const auto decoded = decode_chunk(*header, file, id, options_.key, plain);
  if (!decoded && (header->encrypted || decoded.error().code != Code::kCorrupt))
    return decoded;  // maybe only the key is wrong
  if (!decoded) return damaged(decoded.error().text);
  if (sha256(plain) != id) return damaged("its SHA-256 isn't its name");
  return {};
}

Result<std::string> ChunkStore::get(const ChunkId& id) const {
  std::string content;
  TRY_DO(read(id, [&](size_t bytes) -> Result<std::span<std::byte>> {
    content.resize(bytes);
    return std::as_writable_bytes(std::span(content));
  }));
  return content;
}

Result<void> ChunkStore::get_into(const ChunkId& id, std::span<std::byte> out) const {
  return read(id, [&](size_t bytes) -> Result<std::span<std::byte>> {
    if (bytes == out.size()) return out;
    return fail(Code::kCorrupt, fmt::format("chunk {} has {} bytes, expected {}", id.hex(), bytes, out.size()));
  });
}

void ChunkStore::put_aside(const ChunkId& id) const {
  ::mkdirat(dir_.get(), "bad", 0700);
  if (::renameat(dir_.get(), place_of(id).c_str(), dir_.get(), ("bad/" + id.hex()).c_str()) == 0)
    log::warn("damaged chunk put aside chunk={} store={}", id.hex(), path_);
}

Result<void> ChunkStore::each_chunk(const std::function<Result<void>(const std::string&, const ChunkId*)>& use) const {
  for (int i = 0; i < 256; i++) {
    const std::string name = fmt::format("{:02x}", i);
    const auto dir = sys::open_at(dir_, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    if (!dir) {
      if (dir.error().errnum == ENOENT) continue;
      return std::unexpected(dir.error());
    }
    TRY(const auto entries, sys::list_dir_at(dir_, name));
    for (const std::string& entry : entries) {
      const auto id = ChunkId::from_hex(entry);
      if (id && shard(*id) == name) TRY_DO(use(name + "/" + entry, &*id));
      if (!id && entry.starts_with(kNewPrefix)) TRY_DO(use(name + "/" + entry, nullptr));
    }
  }
  return {};
}

Result<ChunkStore::Collected> ChunkStore::collect(const std::function<Result<void>(const Keep&)>& mark) const {
  TRY(const Fd held, lock(LOCK_EX | LOCK_NB));
  std::unordered_set<ChunkId, ChunkIdHash> keep;
  TRY_DO(mark([&](const ChunkId& id) { keep.insert(id); }));
  Collected out;
  TRY_DO(each_chunk([&](const std::string& path, const ChunkId* id) -> Result<void> {
    if (id != nullptr && keep.contains(*id)) {
      out.chunks_kept++;
      return {};
    }
    const auto info = sys::stat_at(dir_, path, AT_SYMLINK_NOFOLLOW);
    if (::unlinkat(dir_.get(), path.c_str(), 0) != 0) {
      if (errno == ENOENT) return {};  // a reader put it aside meanwhile
      return fail_errno(errno, "remove " + path_ + "/" + path);
    }
    if (id != nullptr) out.chunks_removed++;
    if (info) out.bytes_removed += static_cast<uint64_t>(info->st_size);
    return {};
  }));
  return out;
}

Result<std::vector<ChunkId>> ChunkStore::verify() const {
  TRY(const Session held, session());
  std::vector<ChunkId> bad;
  TRY_DO(each_chunk([&](const std::string&, const ChunkId* id) -> Result<void> {
    if (id == nullptr) return {};
    const auto content = get(*id);
    if (!content && content.error().code == Code::kCorrupt) bad.push_back(*id);
    if (!content && content.error().code != Code::kCorrupt && content.error().code != Code::kNotFound)
      return std::unexpected(content.error());
    return {};
  }));
  return bad;
}

}  // namespace godwit::image
