#include "cli/context.h"

#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "base/io.h"

namespace godwit::cli {

std::string default_state_dir() {
  if (const char* set = ::getenv("GODWIT_STATE"); set && *set) return set;
  if (::geteuid() == 0) return "/var/lib/godwit";
  if (const char* home = ::getenv("HOME"); home && *home) return std::string(home) + "/.local/state/godwit";
  return "/tmp/godwit-" + std::to_string(::geteuid());
}

int exit_status(Code code) {
  switch (code) {
    case Code::kUsage:
    case Code::kNotFound: return kWrongUsage;
    case Code::kRefused:
    case Code::kCorrupt: return kRefusedStatus;
    default: return kFailedStatus;
  }
}

int exit_status(const wire::ExitStatus& exit) {
  return exit.status() == 0 && exit.signal() == 0 ? kDone : kProgramFailed;
}

void Context::print(std::string_view text) { (void)io::write_full(STDOUT_FILENO, text); }

namespace {

// One that isn't there may be about to be started again; one that is there may have a busy machine.
bool connect(grpc::Channel& channel) {
  const auto start = std::chrono::system_clock::now();
  const auto until_refused = start + std::chrono::seconds(5);
  const auto until_slow = start + std::chrono::seconds(20);
  for (;;) {
    const auto state = channel.GetState(true);
    if (state == GRPC_CHANNEL_READY) return true;
    const auto limit = state == GRPC_CHANNEL_CONNECTING ? until_slow : until_refused;
    if (std::chrono::system_clock::now() >= limit) return false;
    (void)channel.WaitForStateChange(state, limit);
  }
}

}  // namespace

Result<wire::Controller::Stub*> Context::controller() {
  if (stub_) return stub_.get();
  const auto none = [] { return fail(Code::kRefused, "no grid is running here; start one with: godwit up --nodes 3"); };
  const std::string path = state_dir + "/client.json";
  auto text = io::read_file(path, 64 << 10);
  if (!text && text.error().errnum == EACCES)
    return fail(Code::kRefused, fmt::format("{} can't be read by this user; is the grid another user's?", path));
  if (!text) return none();
  const auto client = nlohmann::json::parse(*text, nullptr, false);
  if (!client.is_object() || !client.contains("controller") || !client["controller"].is_string())
    return fail(Code::kCorrupt, fmt::format("{} can't be read; was it written by another version?", path));
  const std::string address = client["controller"];
  rpc::Identity identity;
  if (!client.value("insecure", false)) {
    TRY(identity, rpc::load_identity(state_dir, client.value("identity", "client")));
  }
  channel_ = rpc::channel(address, identity, "controller");
  if (!connect(*channel_))
    return fail(Code::kPeer,
                fmt::format("the controller at {} doesn't answer; is it running? (godwit down; godwit up)", address));
  stub_ = wire::Controller::NewStub(channel_);
  return stub_.get();
}

Result<wire::Scheduling::Stub*> Context::scheduling() {
  TRY_DO(controller());
  if (!scheduling_) scheduling_ = wire::Scheduling::NewStub(channel_);
  return scheduling_.get();
}

int Context::report(const rpc::Failure& failure) {
  if (json) {
    nlohmann::ordered_json out;
    out["error"]["code"] = std::string(code_name(failure.error.code));
    out["error"]["message"] = failure.error.message();
    auto& blockers = out["error"]["blockers"] = nlohmann::ordered_json::array();
    for (const auto& b : failure.blockers)
      blockers.push_back({{"code", b.code}, {"object", b.object}, {"reason", b.reason}, {"lift", b.lift}});
    print(out.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
    return exit_status(failure.error.code);
  }
  std::string text = fmt::format("godwit: {}\n", failure.error.message());
  for (const auto& b : failure.blockers) {
    text += fmt::format("  {}: {} [{}]\n", b.object, b.reason, b.code);
    if (!b.lift.empty()) text += fmt::format("      → {}\n", b.lift);
  }
  (void)io::write_full(STDERR_FILENO, text);
  return exit_status(failure.error.code);
}

int Context::report(const grpc::Status& status) {
  if (status.ok()) return kDone;
  auto failure = rpc::failure_of(status);
  if (failure.error.code == Code::kPeer && status.error_details().empty())
    failure.error.text = "the controller is gone: " + failure.error.text;
  return report(failure);
}

}  // namespace godwit::cli
