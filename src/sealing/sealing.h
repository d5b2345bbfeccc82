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

/// Whether these are the first bytes of a sealed stream; eight are enough.
bool is_sealed(std::string_view bytes);

}  // namespace godwit::sealing
