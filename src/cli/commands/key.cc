// Keys of users: made here, shown in their public half only.
#include <fmt/format.h>

#include "base/base.h"
#include "cli/command.h"
#include "cli/context.h"
#include "cli/present.h"
#include "cli/user_key.h"
#include "sealing/sealing.h"

namespace godwit::cli {
namespace {

void print(Context& context, const delegation::PublicKey& key, const std::string& path) {
  if (context.json)
    context.print(object_json({{"id", key.id()}, {"key", key.base64()}, {"file", path}}));
  else
    context.print(fmt::format("{}\n  id   {}\n  file {}\n", key.base64(), key.id(), path));
}

/// A key that is there is told apart from what else went wrong: there is something to be done about it.
int not_saved(Context& context, const Error& error, const std::string& path) {
  if (error.code != Code::kRefused) return context.report(error);
  return context.report(Error{Code::kRefused, 0,
                              fmt::format("{0} is there already and is not overwritten: use it as it is (its public "
                                          "half is {0}.pub), or make another one with --out FILE",
                                          path)});
}

int new_sealing_key(Context& context, const std::string& path) {
  OR_REPORT(const auto key, sealing::SealKey::generate());
  if (auto saved = key.save(path); !saved) return not_saved(context, saved.error(), path);
  const auto& open = key.public_key();
  if (context.json)
    context.print(object_json({{"id", open.id()}, {"key", open.text()}, {"file", path}}));
  else
    context.print(fmt::format("{}\n  id   {}\n  file {}\n", open.text(), open.id(), path));
  return kDone;
}

int run_new(Context& context, const Parsed& parsed) {
  const bool sealing = parsed.has("--sealing");
  const std::string path = sealing ? seal_key_path(parsed.get("--out")) : user_key_path(parsed.get("--out"));
  if (const size_t slash = path.rfind('/'); slash != std::string::npos && slash > 0)
    if (auto made = sys::make_dirs(path.substr(0, slash), 0700); !made) return context.report(made.error());
  if (sealing) return new_sealing_key(context, path);
  OR_REPORT(const auto key, delegation::PrivateKey::generate());
  if (auto saved = key.save(path); !saved) return not_saved(context, saved.error(), path);
  print(context, key.public_key(), path);
  return kDone;
}

int run_show(Context& context, const Parsed& parsed) {
  const std::string path = user_key_path(parsed.argument(0));
  OR_REPORT(const auto key, public_key_at(path));
  print(context, key, path);
  return kDone;
}

}  // namespace

const Command kKeyNew = {
    .name = "key new",
    .group = "delegation",
    .summary = "make the key with which you sign what your units may do",
    .options = {{"--out", "-o", "FILE", "where to; GODWIT_KEY, or ~/.config/godwit/user.key when left out",
                 Words::kFile},
                {"--sealing", "", "", "instead: a key to which images can be encrypted (godwit checkpoint --encrypt)"}},
    .details =
        "Makes an Ed25519 key: FILE, which only you may read, and FILE.pub, which you may give to anybody. A key that "
        "is "
        "there is never overwritten. The private key never leaves this host; a file that others may read is refused "
        "wherever it is used.\n\n"
        "With --sealing it is an X25519 key, in GODWIT_SEAL_KEY or ~/.config/godwit/seal.key when --out is left out. "
        "What was "
        "encrypted to it can't be read without it: keep a copy.",
    .examples = "  godwit key new\n  godwit key new --sealing",
    .json = true,
    .run = run_new};

const Command kKeyShow = {
    .name = "key show",
    .group = "delegation",
    .summary = "the public half of a key, and its id",
    .arguments = {{"FILE", "a key or a .pub file; your own key when left out", Words::kFile, true}},
    .details =
        "Prints the public key as base64, its id (SHA-256 of the key) and its file. The private half is never shown.",
    .examples = "  godwit key show\n  godwit key show ada.key.pub",
    .json = true,
    .run = run_show};

}  // namespace godwit::cli
