#include "controller/token.h"

#include <fmt/format.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <array>

#include "base/check.h"
#include "base/pki.h"

namespace godwit::controller {
namespace {

std::string hex(const unsigned char* bytes, size_t count) {
  std::string out;
  for (size_t i = 0; i < count; ++i) out += fmt::format("{:02x}", bytes[i]);
  return out;
}

}  // namespace

std::string epoch_token(const std::string& secret, const std::string& unit, uint64_t epoch, const std::string& node) {
  const std::string text = fmt::format("godwit epoch 1\n{}\n{}\n{}\n", unit, epoch, node);
  std::array<unsigned char, EVP_MAX_MD_SIZE> mac{};
  unsigned length = 0;
  const auto* made = ::HMAC(::EVP_sha256(), secret.data(), static_cast<int>(secret.size()),
                            reinterpret_cast<const unsigned char*>(text.data()), text.size(), mac.data(), &length);
  GODWIT_CHECK(made != nullptr);
  return hex(mac.data(), length);
}

bool epoch_token_holds(const std::string& secret, const std::string& unit, uint64_t epoch, const std::string& node,
                       const std::string& token) {
  return pki::same_secret(token, epoch_token(secret, unit, epoch, node));
}

}  // namespace godwit::controller
