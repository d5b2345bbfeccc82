#include "cli/local.h"

#include <fmt/format.h>
#include <sys/wait.h>

#include <nlohmann/json.hpp>

#include "cli/common.h"
#include "cli/parse.h"
#include "cli/present.h"
#include "godwit/pod.pb.h"
#include "pod/pod.h"
#include "portable/portable.h"

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
  const auto done = pod::checkpoint_tree(static_cast<pid_t>(pid), path, options, blockers);
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

int restore_directory(Context& context, const Parsed& parsed) {
  for (const char* option : {"--node", "--branch", "--name"})
    if (parsed.has(option))
      return context.report(
          Error{Code::kUsage, 0, fmt::format("{} goes with a unit of a grid, not with a directory", option)});
  const std::string pids = parsed.get("--pids");
  if (!pids.empty() && pids != "keep" && pids != "new")
    return context.report(Error{Code::kUsage, 0, fmt::format("--pids is keep or new, not \"{}\"", pids)});
  pod::RestoreTreeOptions options;
  options.new_pids = pids == "new";
  options.detach = parsed.has("--detach");
  options.pid_file = parsed.get("--pidfile");
  OR_REPORT(const auto done, pod::restore_tree(parsed.argument(0), options));
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

}  // namespace godwit::cli
