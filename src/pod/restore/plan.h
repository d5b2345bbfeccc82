// Plan: calls of one thread that are made in one round, with the data that they point to.
//
// A round costs as much as a hundred calls (remote.h), and a process is restored by a dozen small steps; each of them adds
// its calls to the plan. A step that needs an answer before it can go on runs the plan first, one that needs it only to
// complain leaves word by then().
#pragma once

#include <cstring>
#include <functional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "pod/remote.h"

namespace godwit::pod {

class Plan {
 public:
  Plan(Remote& remote, const Tracee& thread) : remote_(remote), thread_(&thread) {}

  template <typename... A>
  size_t add(long number, A... arguments) {
    return batch_.add(number, arguments...);
  }
  template <typename... A>
  size_t must(std::string_view what, long number, A... arguments) {
    return batch_.must(what, number, arguments...);
  }
  /// Data for the calls; its address in the process, good until they were made. What doesn't fit makes run() fail.
  uint64_t put(std::span<const std::byte> data);
  template <typename T>
  uint64_t put(const T& value) {
    return put(std::as_bytes(std::span(&value, 1)));
  }
  uint64_t put_text(const std::string& text) { return put(std::as_bytes(std::span(text.c_str(), text.size() + 1))); }
  /// Where the next put() goes.
  [[nodiscard]] uint64_t place() const { return raw(remote_.scratch()) + used_; }
  [[nodiscard]] size_t room() const { return used_ < kScratchSize ? kScratchSize - used_ : 0; }
  /// `look` is called with the results; it may make calls of its own.
  void then(std::function<Result<void>(const Batch&)> look) { looks_.push_back(std::move(look)); }

  /// Makes what is planned, if anything is.
  Result<void> run();
  /// From here on in another thread of the process.
  Result<void> go_on_in(const Tracee& thread);

 private:
  Remote& remote_;
  const Tracee* thread_;
  Batch batch_;
  size_t used_ = 0;
  std::vector<std::function<Result<void>(const Batch&)>> looks_;
};

}  // namespace godwit::pod
