// sealing: a stream of bytes that only the owner of one key can read, and nobody can change unseen.
//
//     TRY(const SealKey key, SealKey::load(path));                  // X25519; path.pub is what others seal to
//     TRY(Sealer seal, Sealer::to(key.public_key()));
//     out += seal.header(); out += seal.add(bytes); …; out += seal.finish();
//     Opener open(key);
//     TRY(out, open.add(bytes)); …; TRY(out, open.finish());        // only finish() says that nothing is missing
//
// It never touches what the bytes are. Nothing that wasn't verified comes out of an Opener, but before finish() a stream that was
// cut between two chunks can't be told from one that goes on: whoever acts on the whole must wait for it.
//
// Anonymous: it doesn't say who sealed. An image carries its unit's document for that.
//
// Threads: an object is one thread's at a time. Format: docs/formats/sealed.md. Why it is built so: sealing.cc.
#pragma once

#include <openssl/types.h>

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>

#include "base/fd.h"
#include "base/private_key.h"
#include "base/result.h"

namespace godwit::sealing {

inline constexpr size_t kChunk = 64u << 10;
inline constexpr size_t kTag = 16;
inline constexpr size_t kHeader = 80;

struct SealPublicKey {
  std::array<unsigned char, 32> bytes{};
  bool operator==(const SealPublicKey&) const = default;
  /// "x25519:" and 64 hex digits: what stands in the .pub file.
  [[nodiscard]] std::string text() const;
  /// SHA-256 of the bytes, 64 hex digits.
  [[nodiscard]] std::string id() const;
};
Result<SealPublicKey> public_key_of(std::string_view text);
/// The text itself, or a file that holds it.
Result<SealPublicKey> find_public_key(const std::string& text_or_path);

class SealKey {
 public:
  static Result<SealKey> generate();
  /// From 32 bytes that are known to others: for tests only.
  static SealKey from_seed(const std::array<unsigned char, 32>& seed);
  /// Code::kRefused for a file that isn't the caller's or root's, or that others may read or write.
  static Result<SealKey> load(const std::string& path);
  /// Writes PATH (mode 0600 from its first byte on) and PATH.pub. An existing key is never overwritten: Code::kRefused.
  [[nodiscard]] Result<void> save(const std::string& path) const;
  [[nodiscard]] const SealPublicKey& public_key() const { return public_; }
  [[nodiscard]] EVP_PKEY* get() const { return key_.get(); }

 private:
  SealKey(pki::OwnKey key, SealPublicKey of) : key_(std::move(key)), public_(of) {}
  static Result<SealKey> adopt(pki::OwnKey key);
  pki::OwnKey key_;
  SealPublicKey public_;
};

/// A stream's cipher and how many chunks have gone through it.
class Chunks {
 public:
  explicit Chunks(const std::array<unsigned char, 32>& key) : key_(key) {}
  ~Chunks();
  Chunks(Chunks&&) = default;
  Chunks& operator=(Chunks&&) = default;
  [[nodiscard]] std::string seal(std::string_view plain, bool last);
  /// The plain text, or nothing when it isn't the next chunk. Then it may be tried again with another `last`.
  [[nodiscard]] std::optional<std::string> open(std::string_view sealed, bool last);
  [[nodiscard]] uint64_t count() const { return count_; }

 private:
  std::array<unsigned char, 32> key_;
  uint64_t count_ = 0;
};

class Sealer {
 public:
  static Result<Sealer> to(const SealPublicKey& recipient);
  [[nodiscard]] const std::string& header() const { return header_; }
  /// What can be written now; up to a chunk is held back.
  std::string add(std::string_view bytes);
  /// The rest. Nothing may be added after it.
  std::string finish();

 private:
  Sealer(std::string header, Chunks chunks) : header_(std::move(header)), chunks_(std::move(chunks)) {}
  std::string header_;
  Chunks chunks_;
  std::string held_;
};

class Opener {
 public:
  /// `key` must outlive it.
  explicit Opener(const SealKey& key) : key_(key) {}
  /// Code::kRefused: sealed to another key. Code::kCorrupt: not sealed, altered, chunks in another order.
  Result<std::string> add(std::string_view bytes);
  /// Code::kCorrupt when the stream was cut.
  Result<std::string> finish();

 private:
  Result<void> read_header();
  const SealKey& key_;
  std::optional<Chunks> chunks_;
  std::string held_;
};

/// A pipe that seals: what is written to its input is in the file sealed, once finish() returned. For whoever writes to a
/// descriptor, as an image's writer does.
class SealingPipe {
 public:
  /// `file` must outlive it.
  static Result<std::unique_ptr<SealingPipe>> open(const SealPublicKey& recipient, const Fd& file);
  ~SealingPipe();
  SealingPipe(const SealingPipe&) = delete;
  SealingPipe& operator=(const SealingPipe&) = delete;
  /// Once. Whoever has it closes it at the end; after a failure of the file he gets EPIPE.
  Fd take_input() { return std::move(input_); }
  /// When the input was closed. The bytes that it wrote, or why not all of it was.
  Result<uint64_t> finish();

 private:
  SealingPipe(Sealer seal, Fd input, Fd output, const Fd& file);
  Result<void> run();
  Result<void> put(std::string_view bytes);
  Sealer seal_;
  Fd input_, output_;
  const Fd& file_;
  uint64_t written_ = 0;
  Result<void> done_;
  std::thread thread_;
};

/// Whether these are the first bytes of a sealed stream; eight are enough.
bool is_sealed(std::string_view bytes);

}  // namespace godwit::sealing
