// What a command has at hand: where the grid's state is, how to speak to the controller, how to say that it failed.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "godwit/control.grpc.pb.h"
#include "godwit/sched.grpc.pb.h"
#include "rpc/rpc.h"

namespace godwit::cli {

/// Exit statuses, cli.h.
inline constexpr int kDone = 0;
inline constexpr int kProgramFailed = 1;
inline constexpr int kWrongUsage = 2;
inline constexpr int kRefusedStatus = 3;
inline constexpr int kFailedStatus = 4;

struct Context {
  std::string state_dir;
  bool json = false;
  std::string program;  ///< path of this binary

  /// Standard output. A closed pipe behind it is no error: the reader has seen enough.
  void print(std::string_view text);

  /// The controller of the grid that state_dir belongs to. No grid: an Error that says how to start one.
  Result<wire::Controller::Stub*> controller();
  /// Its other service: policy and plans.
  Result<wire::Scheduling::Stub*> scheduling();

  /// Tells the user and returns the exit status: "godwit: …" on standard error with every reason and its remedy, or
  /// {"error": …} on standard output with --json.
  int report(const rpc::Failure& failure);
  int report(const Error& error) { return report(rpc::Failure{error, {}}); }
  int report(const grpc::Status& status);

 private:
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<wire::Controller::Stub> stub_;
  std::unique_ptr<wire::Scheduling::Stub> scheduling_;
};

/// --state, else GODWIT_STATE, else the place for this user.
std::string default_state_dir();
int exit_status(Code code);
/// 0, or 1 when the program failed.
int exit_status(const wire::ExitStatus& exit);

}  // namespace godwit::cli

/// In a command's run(): the value, or report the failure and return its exit status.
#define OR_REPORT_IMPL(tmp, declaration, ...)              \
  auto&& tmp = (__VA_ARGS__);                              \
  if (!tmp) return context.report(std::move(tmp).error()); \
  declaration = *std::move(tmp)
#define OR_REPORT(declaration, ...) OR_REPORT_IMPL(GODWIT_CONCAT(or_report_, __COUNTER__), declaration, __VA_ARGS__)
