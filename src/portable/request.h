// Asks a running portable program for its state: the other half of runtime/request.cc, where the protocol is described.
//
//     TRY(auto request, Request::begin(proc, pid));          // the program has been told; it runs on
//     TRY(const auto bytes, request.ask(image, 0));          // all its threads are at rest, its image is written
//     TRY_DO(request.commit());                              // it has ended
//
// Destroyed before commit(), or refused, the program goes on as if nothing had happened.
//
// Threads: one at a time.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <string>

#include "base/fd.h"
#include "base/result.h"

namespace godwit::portable {

class Request {
 public:
  Request(Request&&) = default;
  Request& operator=(Request&&) = delete;
  ~Request();

  /// `proc`: a /proc that shows the process by this number. kRefused when it isn't ready to be asked.
  static Result<Request> begin(const Fd& proc, pid_t pid);
  /// `flags`: GODWIT_REQUEST_ (protocol.h). Bytes of the image that was written to `image`. kRefused with all reasons, a line each.
  Result<uint64_t> ask(const Fd& image, uint32_t flags);
  /// Waits until it has ended. It doesn't go on any more, also when that takes too long.
  Result<void> commit();

 private:
  Request(Fd peer, Fd process) : peer_(std::move(peer)), process_(std::move(process)) {}
  Fd peer_, process_;
};

/// An abstract UNIX stream socket at which a portable program will report, and its report. `process` is its pidfd: kGone when it
/// ends instead.
Result<Fd> listen_at(const std::string& name);
Result<Fd> accept_from(const Fd& listener, pid_t pid, const Fd& process, std::chrono::milliseconds limit);

/// Has the runtime of this process come far enough to be asked? Its arena is there and it listens to the request's signal.
Result<bool> is_ready(const Fd& proc, pid_t pid);
/// The package that it was started from: its starting script said so in the environment.
Result<std::string> package_path(const Fd& proc, pid_t pid);

}  // namespace godwit::portable
