// `checkpoint --pid` and `restore FILE` for programs that `godwit cc` made.
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "base/base.h"
#include "cli/common.h"
#include "cli/local.h"
#include "cli/present.h"
#include "portable/portable.h"

namespace godwit::cli {
namespace {

/// The executed file says by itself why it can't go on.
[[noreturn]] void become(const std::string& path) {
  std::string word = path.find('/') == std::string::npos ? "./" + path : path;
  char* argv[] = {word.data(), nullptr};
  ::execv(word.c_str(), argv);
  fmt::print(stderr, "godwit: {}: {}\n", path, ::strerror(errno));
  ::_exit(kRefusedStatus);
}

/// Without a terminal's signals and not a child that anybody waits for.
Result<pid_t> begin_detached(const std::string& path) {
  TRY(auto ends, sys::pipe(O_CLOEXEC));
  const pid_t child = ::fork();
  if (child < 0) return fail_errno(errno, "starting a process");
  if (child == 0) {
    ::setsid();
    const pid_t own = ::fork();
    if (own != 0) {
      (void)io::write_full(ends.second.get(), std::as_bytes(std::span(&own, 1)));
      ::_exit(0);
    }
    become(path);
  }
  pid_t started = -1;
  ends.second.reset();
  TRY(const size_t got, io::read_some(ends.first.get(), std::as_writable_bytes(std::span(&started, 1))));
  if (got != sizeof started || started < 0) return fail(Code::kSystem, "the process couldn't be started");
  return started;
}

}  // namespace

bool is_portable_file(const std::string& path) {
  const auto file = sys::open(path, O_RDONLY);
  return file && portable::read_package(*file).has_value();
}

int checkpoint_portable(Context& context, const Parsed& parsed, pid_t pid) {
  for (const char* option : {"--stop", "--tcp", "--encrypt"})
    if (parsed.has(option))
      return context.report(Error{Code::kUsage, 0, fmt::format("{} isn't for portable programs", option)});
  const std::string path = parsed.get("--output");
  OR_REPORT(const auto saved, portable::checkpoint(pid, path, {parsed.has("--leave-running")}));
  if (context.json) {
    nlohmann::ordered_json out;
    out["pid"] = pid;
    out["file"] = path;
    out["program"] = saved.program;
    out["downtime_ms"] = saved.stopped_ms;
    out["memory_bytes"] = saved.image_bytes;
    out["bytes"] = saved.file_bytes;
    context.print(out.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n");
  } else {
    context.print(fmt::format("process {} is in {}: {} of state in a file of {}, down {:.1f} ms\n", pid, path,
                              size_text(saved.image_bytes), size_text(saved.file_bytes), saved.stopped_ms));
  }
  return kDone;
}

int restore_portable(Context& context, const Parsed& parsed) {
  for (const char* option : {"--node", "--branch", "--name", "--pids"})
    if (parsed.has(option))
      return context.report(
          Error{Code::kUsage, 0,
                fmt::format("{} isn't for a file that checkpoint --pid made of a portable program", option)});
  const std::string path = parsed.argument(0);
  OR_REPORT(const auto file, sys::open(path, O_RDONLY));
  OR_REPORT(const auto package, portable::read_package(file));
  if (package.image_block == 0)
    return context.report(
        Error{Code::kUsage, 0, fmt::format("{} is a portable program, not a checkpoint of one: just run it", path)});
  if (!parsed.has("--detach")) become(path);
  OR_REPORT(const pid_t pid, begin_detached(path));
  if (parsed.has("--pidfile"))
    if (auto kept = io::replace_file(parsed.get("--pidfile"), fmt::format("{}\n", pid)); !kept)
      return context.report(kept.error());
  context.print(context.json ? fmt::format("{{\"pid\": {}}}\n", pid) : fmt::format("{}\n", pid));
  return kDone;
}

}  // namespace godwit::cli
