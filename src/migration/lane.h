// Private to the data streams: what both ends of a stream keep.
#pragma once

#include <openssl/evp.h>
#include <zstd.h>

#include <memory>
#include <vector>

#include "base/check.h"
#include "migration/pages.h"

namespace godwit::migration {

/// SHA-256 that grows with each frame head.
class Chain {
 public:
  Chain() : context_(EVP_MD_CTX_new()) {
    GODWIT_CHECK(context_ && EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr) == 1);
  }
  void add(std::span<const std::byte> data) {
    GODWIT_CHECK(EVP_DigestUpdate(context_.get(), data.data(), data.size()) == 1);
  }
  /// The digest so far; more may be added after it.
  [[nodiscard]] Digest256 value() const {
    const std::unique_ptr<EVP_MD_CTX, Free> copy(EVP_MD_CTX_new());
    Digest256 out;
    GODWIT_CHECK(copy && EVP_MD_CTX_copy_ex(copy.get(), context_.get()) == 1 &&
                 EVP_DigestFinal_ex(copy.get(), reinterpret_cast<unsigned char*>(out.data()), nullptr) == 1);
    return out;
  }

 private:
  struct Free {
    void operator()(EVP_MD_CTX* c) const { EVP_MD_CTX_free(c); }
  };
  std::unique_ptr<EVP_MD_CTX, Free> context_;
};

struct ZstdFree {
  void operator()(ZSTD_CCtx* c) const { ZSTD_freeCCtx(c); }
  void operator()(ZSTD_DCtx* c) const { ZSTD_freeDCtx(c); }
};

}  // namespace godwit::migration
