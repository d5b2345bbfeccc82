#include "cli/local.h"

#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/base.h"
#include "base/new_file.h"
#include "cli/common.h"
#include "cli/parse.h"
#include "cli/present.h"
#include "godwit/pod.pb.h"
#include "pod/pod.h"
#include "portable/portable.h"
#include "sealing/sealing.h"

namespace godwit::cli {
namespace {

using Json = nlohmann::ordered_json;

/// The engine's demands in words.
void describe(const std::string& bytes, wire::CheckReply& reply) {
  pod::v1::Demands demands;
  if (!demands.ParseFromString(bytes)) return;
  const auto add = [&](std::string kind, std::string what) {
    auto* d = reply.add_demands();
    d->set_kind(std::move(kind));
    d->set_what(std::move(what));
  };
  std::string features;
  for (const auto& f : demands.cpu_features()) features += (features.empty() ? "" : " ") + f;
  if (!features.empty()) add("cpu", features);
  for (const auto& k : demands.kernel_features()) add("kernel", k);
  if (demands.memory_bytes() > 0) add("memory", size_text(demands.memory_bytes()));
  if (demands.needs_root()) add("right", "root");
  constexpr const char* kUses[] = {"mapped", "program", "open for reading", "open for writing", "directory", "socket"};
  for (const auto& f : demands.files()) {
    const auto use = static_cast<size_t>(f.use());
    add("file", fmt::format("{} ({}{}{})", f.path(), use < std::size(kUses) ? kUses[use] : "used",
                            f.used_by().empty() ? "" : ", ", f.used_by()));
  }
}

wire::CheckReply reply_of(const std::vector<engine::Blocker>& blockers) {
  wire::CheckReply reply;
  for (const auto& b : blockers) {
    auto* out = reply.add_blockers();
    out->set_code(b.code);
    out->set_object(b.object);
    out->set_reason(b.reason);
    out->set_lift(b.lift);
  }
  return reply;
}

std::string json_text(const Json& json) { return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n"; }

Json json_of(const pod::TreeReport& report) {
  Json out;
  out["pid"] = report.root;
  out["processes"] = report.processes;
  out["threads"] = report.threads;
  out["downtime_ms"] = report.frozen_ms;
  out["total_ms"] = report.total_ms;
  out["memory_bytes"] = report.memory_bytes;
  out["bytes"] = report.stored_bytes;
  out["phases"] = Json::object();
  for (const auto& t : report.timings) out["phases"][t.step] = t.ms;
  return out;
}

std::string phases_of(const pod::TreeReport& report) {
  google::protobuf::RepeatedPtrField<wire::Phase> phases;
  for (const auto& t : report.timings) {
    auto* p = phases.Add();
    p->set_name(t.step);
    p->set_ms(t.ms);
  }
  return phases_text(phases);
}

// What is sealed of a tree: this, and an image as one file.
constexpr std::string_view kTreeMark{"godwit tree 1\n\0\0", 16};

/// The tree ends only when the whole file is there.
Result<pod::TreeReport> checkpoint_sealed(pid_t pid, const Parsed& parsed, pod::CheckpointOptions options,
                                          std::vector<engine::Blocker>& blockers) {
  const std::string path = parsed.get("--output");
  TRY(const auto key, sealing::find_public_key(parsed.get("--encrypt")));
  NewFile file(path);
  TRY_DO(file.open(0600));
  TRY(const auto seal, sealing::SealingPipe::open(key, file.fd()));
  options.stream = seal->take_input();
  TRY_DO(io::write_full(options.stream.get(), kTreeMark));
  bool whole = false;
  options.kept = [&]() -> Result<void> {
    TRY_DO(seal->finish());
    TRY_DO(file.finish());
    whole = true;
    return {};
  };
  auto done = pod::checkpoint_tree(pid, path, std::move(options), blockers);
  if (!done && !whole)
    if (auto wrote = seal->finish(); !wrote)
      return std::unexpected(wrote.error());  // a full disk, not the pipe that broke
  return done;
}

}  // namespace

int check_pid(Context& context, const Parsed& parsed) {
  if (parsed.has("--to"))
    return context.report(Error{Code::kUsage, 0, "--to goes with a unit of a grid; a process is checked on its own"});
  const pid_t pid = static_cast<pid_t>(std::stol(parsed.argument(0)));
  OR_REPORT(const auto found, pod::check_tree(pid));
  wire::CheckReply reply = reply_of(found.blockers);
  describe(found.demands, reply);
  reply.set_memory_bytes(found.memory_bytes);
  const std::string what = fmt::format("process {} ({} process{}, {} thread{})", pid, found.processes,
                                       found.processes == 1 ? "" : "es", found.threads, found.threads == 1 ? "" : "s");
  context.print(context.json ? check_json(reply) : check_text(reply, what, ""));
  return found.blockers.empty() ? kDone : kRefusedStatus;
}

int checkpoint_pid(Context& context, const Parsed& parsed) {
  OR_REPORT(const long pid, number(parsed, "--pid", 1, 1L << 22, 0));
  if (!parsed.has("--output"))
    return context.report(Error{Code::kUsage, 0, "godwit checkpoint --pid needs -o DIR, where the image goes"});
  const auto ours = portable::is_portable(static_cast<pid_t>(pid));
  if (ours && *ours) return checkpoint_portable(context, parsed, static_cast<pid_t>(pid));
  OR_REPORT(const auto tcp, tcp_policy(parsed));
  pod::CheckpointOptions options;
  options.leave_running = parsed.has("--leave-running");
  options.stop_first = parsed.has("--stop");
  options.close_connections = tcp == wire::TCP_CLOSE;
  const std::string path = parsed.get("--output");
  std::vector<engine::Blocker> blockers;
  const auto done = parsed.has("--encrypt")
                        ? checkpoint_sealed(static_cast<pid_t>(pid), parsed, std::move(options), blockers)
                        : pod::checkpoint_tree(static_cast<pid_t>(pid), path, std::move(options), blockers);
  if (!done) return context.report(rpc::Failure{done.error(), blockers});
  if (context.json) {
    Json out = json_of(*done);
    out["pid"] = pid;
    out["directory"] = path;
    out["rounds"] = done->rounds;
    context.print(json_text(out));
  } else {
    context.print(fmt::format("process {} ({} processes, {} threads) is in {}: {}, down {:.1f} ms, in all {:.1f} ms\n",
                              pid, done->processes, done->threads, path, size_text(done->stored_bytes), done->frozen_ms,
                              done->total_ms));
    context.print(phases_of(*done));
  }
  return kDone;
}

bool is_sealed_file(const Fd& file) {
  std::string start(8, '\0');
  return io::pread_full(file.get(), std::as_writable_bytes(std::span(start)), 0).has_value() &&
         sealing::is_sealed(start);
}

Result<bool> is_sealed_tree(const Fd& file, const sealing::SealKey& key) {
  // A byte more than the first chunk: so it is known whether that is the last.
  std::string start(sealing::kHeader + sealing::kChunk + sealing::kTag + 1, '\0');
  const ssize_t got = ::pread(file.get(), start.data(), start.size(), 0);
  if (got < 0) return fail_errno(errno, "reading the file");
  start.resize(static_cast<size_t>(got));
  sealing::Opener opener(key);
  TRY(std::string plain, opener.add(start));
  if (plain.empty()) {
    TRY(plain, opener.finish());
  }
  return plain.starts_with(kTreeMark);
}

namespace {

/// In memory: nothing of it is written in the clear.
Result<Fd> opened_image(const Fd& file, const sealing::SealKey& key) {
  TRY(Fd image, sys::memfd("image"));
  sealing::Opener opener(key);
  std::string buffer(4 * sealing::kChunk, '\0');
  size_t skip = kTreeMark.size();
  const auto put = [&](std::string_view plain) {
    const size_t less = std::min(skip, plain.size());
    skip -= less;
    return io::write_full(image.get(), plain.substr(less));
  };
  for (;;) {
    TRY(const size_t got, io::read_some(file.get(), std::as_writable_bytes(std::span(buffer))));
    if (got == 0) break;
    TRY(const std::string plain, opener.add(std::string_view(buffer).substr(0, got)));
    TRY_DO(put(plain));
  }
  TRY(const std::string rest, opener.finish());
  TRY_DO(put(rest));
  return image;
}

int restore_from(Context& context, const Parsed& parsed, const std::string& path) {
  for (const char* option : {"--node", "--branch", "--name"})
    if (parsed.has(option))
      return context.report(Error{
          Code::kUsage, 0, fmt::format("{} goes with a unit of a grid, not with what checkpoint --pid wrote", option)});
  const std::string pids = parsed.get("--pids");
  if (!pids.empty() && pids != "keep" && pids != "new")
    return context.report(Error{Code::kUsage, 0, fmt::format("--pids is keep or new, not \"{}\"", pids)});
  pod::RestoreTreeOptions options;
  options.new_pids = pids == "new";
  options.detach = parsed.has("--detach");
  options.pid_file = parsed.get("--pidfile");
  OR_REPORT(const auto done, pod::restore_tree(path, options));
  if (context.json) {
    Json out = json_of(done);
    out["exit"] = nullptr;
    if (done.status)
      out["exit"] = {{"status", WIFEXITED(*done.status) ? WEXITSTATUS(*done.status) : 0},
                     {"signal", WIFSIGNALED(*done.status) ? WTERMSIG(*done.status) : 0}};
    context.print(json_text(out));
  } else if (options.detach) {
    context.print(fmt::format("{}\n", done.root));
  }
  return !done.status || *done.status == 0 ? kDone : kProgramFailed;
}

}  // namespace

int restore_directory(Context& context, const Parsed& parsed) {
  if (parsed.has("--key")) return context.report(Error{Code::kUsage, 0, "--key: a directory isn't encrypted"});
  return restore_from(context, parsed, parsed.argument(0));
}

int restore_sealed(Context& context, const Parsed& parsed, const Fd& file, const sealing::SealKey& key) {
  OR_REPORT(const Fd image, opened_image(file, key));
  return restore_from(context, parsed, "/proc/self/fd/" + std::to_string(image.get()));
}

}  // namespace godwit::cli
