#include "cli/user_key.h"

#include "cli/common.h"

#include <stdlib.h>

#include <ctime>

#include "base/base.h"
#include "base/program_file.h"

namespace godwit::cli {

namespace {

std::string key_path(const std::string& given, const char* variable, const std::string& name) {
  if (!given.empty()) return given;
  if (const char* set = ::getenv(variable); set && *set) return set;
  if (const char* set = ::getenv("XDG_CONFIG_HOME"); set && *set) return std::string(set) + "/godwit/" + name;
  const char* home = ::getenv("HOME");
  return std::string(home ? home : "") + "/.config/godwit/" + name;
}

}  // namespace

std::string user_key_path(const std::string& given) { return key_path(given, "GODWIT_KEY", "user.key"); }
std::string seal_key_path(const std::string& given) { return key_path(given, "GODWIT_SEAL_KEY", "seal.key"); }

Result<delegation::PrivateKey> user_key(const std::string& given) {
  const std::string path = user_key_path(given);
  auto key = delegation::PrivateKey::load(path);
  if (!key && key.error().errnum == ENOENT)
    return fail(Code::kRefused, "there is no key at " + path + "; make one with: godwit key new");
  return key;
}

Result<delegation::PublicKey> public_key_at(const std::string& path) {
  if (path.ends_with(".pub")) return delegation::load_public_key(path);
  TRY(const auto key, user_key(path));
  return key.public_key();
}

uint64_t seconds_now() { return static_cast<uint64_t>(std::time(nullptr)); }

Result<delegation::Envelope> new_delegation(const delegation::PrivateKey& key, const std::vector<std::string>& argv,
                                            const std::string& cwd, const std::string& policy) {
  const std::string program = program_file(argv.front(), cwd);
  if (program.empty()) return fail(Code::kNotFound, "no program \"" + argv.front() + "\" in PATH");
  TRY(const auto digest, delegation::digest_of_file(program));
  auto grants = delegation::Checked<delegation::Grants>(delegation::default_grants(seconds_now()));
  if (!policy.empty()) {
    TRY(const std::string text, read_named_file(policy, 1u << 20));
    grants = delegation::grants_of_policy(text, seconds_now());
    if (!grants) return std::unexpected(grants.error().error().in(policy).as(Code::kUsage));
  }
  const auto document =
      delegation::new_document(key.public_key(), digest, delegation::digest_of_arguments(argv), *std::move(grants));
  return delegation::to_result(document.sign(key));
}

}  // namespace godwit::cli
