#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <functional>
#include <memory>
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

/// An image's bytes as they come: from a file here, or from the grid's history. Empty: that was the last.
using Pieces = std::function<Result<std::string>()>;

Pieces pieces_of(const Fd& file) {
  return [&file, buffer = std::string(kPiece, '\0')]() mutable -> Result<std::string> {
    TRY(const size_t got, io::read_some(file.get(), std::as_writable_bytes(std::span(buffer))));
    return buffer.substr(0, got);
  };
}

/// A checkpoint in the grid's history.
class Fetched {
 public:
  Fetched(wire::Controller::Stub& controller, const wire::Checkpoint& checkpoint) {
    wire::FetchCheckpointRequest request;
    request.set_unit(checkpoint.unit());
    request.set_number(checkpoint.number());
    stream_ = controller.FetchCheckpoint(&call_, request);
  }
  ~Fetched() {
    call_.TryCancel();
    if (!finished_) (void)stream_->Finish();
  }
  Result<std::string> next() {
    wire::Data data;
    while (stream_->Read(&data))
      if (!data.data().empty()) return std::move(*data.mutable_data());
    finished_ = true;
    TRY_DO(rpc::check(stream_->Finish()));
    return std::string();
  }

 private:
  grpc::ClientContext call_;
  std::unique_ptr<grpc::ClientReader<wire::Data>> stream_;
  bool finished_ = false;
};

/// `key`: of a sealed image. Whatever is sent was verified; one that was cut ends in an error, and its beginning is no image.
Result<void> send_all(Stream& stream, const Pieces& next, const std::optional<sealing::SealKey>& key) {
  std::optional<sealing::Opener> opener;
  if (key) opener.emplace(*key);
  for (;;) {
    TRY(std::string bytes, next());
    if (bytes.empty()) break;
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

Result<sealing::SealKey> key_at(const std::string& given, const std::string& what) {
  const std::string path = seal_key_path(given);
  auto key = sealing::SealKey::load(path);
  if (!key && key.error().errnum == ENOENT)
    return fail(Code::kRefused, what + " is encrypted, and there is no key at " + path + "; name it with --key");
  return key;
}

/// The key that opens the file; nothing when it isn't sealed.
Result<std::optional<sealing::SealKey>> key_for(const Fd& file, const std::string& given) {
  if (!is_sealed_file(file)) {
    if (!given.empty()) return fail(Code::kUsage, "--key: the file isn't encrypted");
    return std::nullopt;
  }
  TRY(auto key, key_at(given, "the file"));
  return key;
}

/// The checkpoint, when it is an encrypted one. What else there is to say of the name the controller says.
std::optional<wire::Checkpoint> encrypted(wire::Controller::Stub& controller, const CheckpointName& name) {
  wire::UnitRequest request;
  request.set_unit(name.unit);
  wire::HistoryReply history;
  grpc::ClientContext call;
  if (!controller.History(&call, request, &history).ok() || history.checkpoints().empty()) return std::nullopt;
  for (const auto& c : history.checkpoints()) {
    const bool meant = c.number() == (name.number != 0 ? name.number : history.checkpoints().rbegin()->number());
    if (meant && !c.sealed_to().empty()) return c;
  }
  return std::nullopt;
}

/// What is to be sent, besides the first message.
struct Sent {
  Pieces next;
  std::optional<sealing::SealKey> key;
};

int from_grid(Context& context, const Parsed& parsed, bool from_file) {
  wire::RestoreInput first;
  auto& what = *first.mutable_what();
  Fd file;
  std::unique_ptr<Fetched> fetched;
  Sent sends;
  if (from_file) {
    OR_REPORT(file, sys::open(parsed.argument(0), O_RDONLY));
    OR_REPORT(sends.key, key_for(file, parsed.get("--key")));
    sends.next = pieces_of(file);
  }
  CheckpointName name;
  if (!from_file) {
    OR_REPORT(name, checkpoint_name(parsed.argument(0)));
  }
  OR_REPORT(auto* controller, context.controller());
  if (!from_file) {
    what.set_unit(name.unit);
    what.set_number(name.number);
    if (const auto sealed = encrypted(*controller, name)) {
      OR_REPORT(sends.key, key_at(parsed.get("--key"), parsed.argument(0)));
      fetched = std::make_unique<Fetched>(*controller, *sealed);
      sends.next = [&fetched] { return fetched->next(); };
    } else if (parsed.has("--key")) {
      return context.report(Error{Code::kUsage, 0, fmt::format("--key: {} isn't encrypted", parsed.argument(0))});
    }
  }
  what.set_from_file(sends.next != nullptr);
  what.set_sealed(sends.key.has_value());
  what.set_node(parsed.get("--node"));
  what.set_branch(parsed.has("--branch"));
  what.set_name(parsed.get("--name"));
  grpc::ClientContext call;
  ProgressBar bar(parsed.argument(0));
  const auto stream = controller->Restore(&call);
  Result<void> sent;
  // A thread of its own: the controller says how far it is while the file is being sent.
  std::thread sender([&] {
    if (stream->Write(first) && sends.next) sent = send_all(*stream, sends.next, sends.key);
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
  if (exists && S_ISREG(st.st_mode)) {
    OR_REPORT(const Fd file, sys::open(what, O_RDONLY));
    if (is_sealed_file(file)) {
      OR_REPORT(const auto key, key_at(parsed.get("--key"), "the file"));
      OR_REPORT(const bool tree, is_sealed_tree(file, key));
      if (tree) return restore_sealed(context, parsed, file, key);
    }
  }
  for (const char* option : {"--pids", "--pidfile", "--detach"})
    if (parsed.has(option))
      return context.report(Error{Code::kUsage, 0, fmt::format("{} goes with what checkpoint --pid wrote", option)});
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
        "A copy on a node that was away is destroyed when that node comes back.\n\nA checkpoint that was encrypted, in "
        "the history or in a file, is "
        "opened here, with GODWIT_SEAL_KEY or ~/.config/godwit/seal.key when --key is left out: the key doesn't leave "
        "this host. One "
        "that was altered or cut is refused. The node that builds the unit has it in the clear for so long.\n\nA "
        "directory that checkpoint --pid "
        "wrote, or its encrypted file, is restored on this machine, without a grid. A checkpoint of a portable program "
        "(godwit cc) goes on "
        "here, whatever "
        "architecture it was taken on, and may also be started by its name.",
    .examples =
        "  godwit restore sim@3\n  godwit restore sim@3 --branch --name sim-b --node node-2\n"
        "  godwit restore sim@4 --key ada.key\n  godwit restore sim.godwit\n  godwit restore /tmp/image --detach "
        "--pidfile /tmp/pid",
    .json = true,
    .run = run};

}  // namespace godwit::cli
