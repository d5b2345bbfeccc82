#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <optional>
#include <thread>

#include "base/base.h"
#include "cli/command.h"
#include "cli/common.h"
#include "cli/context.h"
#include "cli/local.h"
#include "cli/present.h"
#include "cli/user_key.h"
#include "sealing/sealing.h"

namespace godwit::cli {
namespace {

constexpr size_t kPiece = 256 << 10;

using Stream = grpc::ClientReaderWriter<wire::RestoreInput, wire::RestoreEvent>;

bool send(Stream& stream, std::string bytes) {
  wire::RestoreInput input;
  input.set_data(std::move(bytes));
  return input.data().empty() || stream.Write(input);
}

/// `key`: of a sealed file. Whatever is sent was verified; a file that was cut ends in an error, and its beginning is no image.
Result<void> send_file(Stream& stream, const Fd& file, const std::optional<sealing::SealKey>& key) {
  std::optional<sealing::Opener> opener;
  if (key) opener.emplace(*key);
  std::string buffer(kPiece, '\0');
  for (;;) {
    TRY(const size_t got, io::read_some(file.get(), std::as_writable_bytes(std::span(buffer))));
    if (got == 0) break;
    std::string bytes = buffer.substr(0, got);
    if (opener) {
      TRY(bytes, opener->add(bytes));
    }
    if (!send(stream, std::move(bytes))) return {};  // the status says why
  }
  if (!opener) return {};
  TRY(std::string rest, opener->finish());
  (void)send(stream, std::move(rest));
  return {};
}

/// The key that opens the file; nothing when it isn't sealed.
Result<std::optional<sealing::SealKey>> key_for(const Fd& file, const std::string& given) {
  std::string start(8, '\0');
  const bool enough = io::pread_full(file.get(), std::as_writable_bytes(std::span(start)), 0).has_value();
  if (!enough || !sealing::is_sealed(start)) {
    if (!given.empty()) return fail(Code::kUsage, "--key: the file isn't encrypted");
    return std::nullopt;
  }
  const std::string path = seal_key_path(given);
  auto key = sealing::SealKey::load(path);
  if (!key && key.error().errnum == ENOENT)
    return fail(Code::kRefused, "the file is encrypted, and there is no key at " + path + "; name it with --key");
  if (!key) return std::unexpected(key.error());
  return *std::move(key);
}

int from_grid(Context& context, const Parsed& parsed, bool from_file) {
  wire::RestoreInput first;
  auto& what = *first.mutable_what();
  Fd file;
  std::optional<sealing::SealKey> key;
  if (from_file) {
    OR_REPORT(file, sys::open(parsed.argument(0), O_RDONLY));
    OR_REPORT(key, key_for(file, parsed.get("--key")));
    what.set_from_file(true);
  } else {
    OR_REPORT(const auto name, checkpoint_name(parsed.argument(0)));
    what.set_unit(name.unit);
    what.set_number(name.number);
  }
  what.set_node(parsed.get("--node"));
  what.set_branch(parsed.has("--branch"));
  what.set_name(parsed.get("--name"));
  OR_REPORT(auto* controller, context.controller());
  grpc::ClientContext call;
  ProgressBar bar(parsed.argument(0));
  const auto stream = controller->Restore(&call);
  Result<void> sent;
  // A thread of its own: the controller says how far it is while the file is being sent.
  std::thread sender([&] {
    if (stream->Write(first) && from_file) sent = send_file(*stream, file, key);
    if (!sent) call.TryCancel();
    (void)stream->WritesDone();
  });
  wire::RestoreEvent event;
  wire::Unit unit;
  while (stream->Read(&event)) {
    if (event.has_progress()) bar.show(event.progress());
    if (event.has_done()) unit = event.done();
  }
  sender.join();
  bar.clear();
  const auto status = stream->Finish();
  if (!sent) return context.report(sent.error());
  if (!status.ok()) return context.report(status);
  context.print(context.json ? unit_json(unit)
                             : fmt::format("{} runs on {} (unit {}, epoch {})\n", unit.spec().name(), unit.node(),
                                           unit.id(), unit.epoch()));
  return kDone;
}

int run(Context& context, const Parsed& parsed) {
  const std::string what = parsed.argument(0);
  struct stat st{};
  const bool exists = ::stat(what.c_str(), &st) == 0;
  if (exists && S_ISDIR(st.st_mode)) return restore_directory(context, parsed);
  if (exists && S_ISREG(st.st_mode) && is_portable_file(what)) return restore_portable(context, parsed);
  for (const char* option : {"--pids", "--pidfile", "--detach"})
    if (parsed.has(option))
      return context.report(
          Error{Code::kUsage, 0, fmt::format("{} goes with a directory that checkpoint --pid wrote", option)});
  // A file's name may hold '@': what exists and is no unit's checkpoint name is a file.
  const bool from_file = exists && S_ISREG(st.st_mode);
  if (!exists && what.find('/') != std::string::npos)
    return context.report(Error{Code::kUsage, 0, fmt::format("{}: no such file", what)});
  return from_grid(context, parsed, from_file);
}

}  // namespace

const Command kRestore = {
    .name = "restore",
    .group = "moving",
    .summary = "let a checkpoint run again",
    .arguments = {{"UNIT@N|FILE|DIR", "a checkpoint, an image file, or a directory of checkpoint --pid", Words::kFile}},
    .options = {{"--node", "", "NODE", "where; the least loaded node when left out", Words::kNode},
                {"--branch", "-b", "", "as a new unit beside the old one"},
                {"--name", "-n", "NAME", "the branch's name"},
                {"--key", "-k", "FILE", "what opens an encrypted image; your own sealing key when left out",
                 Words::kFile},
                {"--pids", "", "keep|new", "DIR: the process ids as they were (the default), or a new PID namespace"},
                {"--pidfile", "", "FILE", "DIR: write the first process's id there", Words::kFile},
                {"--detach", "", "", "DIR: return when it runs; wait for its end when left out"}},
    .details =
        "Puts the unit back as it was at the checkpoint, its output and work directory included. In place it may not "
        "run anywhere: end it first, or restore beside it with --branch. UNIT alone means its newest checkpoint. "
        "A copy on a node that was away is destroyed when that node comes back.\n\nA file of checkpoint --encrypt is "
        "opened here, with GODWIT_SEAL_KEY or ~/.config/godwit/seal.key when --key is left out: the key doesn't leave "
        "this host. One "
        "that was altered or cut is refused.\n\nA directory that checkpoint --pid "
        "wrote is restored on this machine, without a grid. A checkpoint of a portable program (godwit cc) goes on "
        "here, whatever "
        "architecture it was taken on, and may also be started by its name.",
    .examples =
        "  godwit restore sim@3\n  godwit restore sim@3 --branch --name sim-b --node node-2\n"
        "  godwit restore sim.godwit\n  godwit restore /tmp/image --detach --pidfile /tmp/pid",
    .json = true,
    .run = run};

}  // namespace godwit::cli
