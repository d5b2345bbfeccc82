// What a portable program has open that isn't a file.
#pragma once

#include <sys/types.h>

#include <map>
#include <optional>
#include <string>

#include "base/fd.h"
#include "engine/engine.h"
#include "pod/proc.h"

namespace godwit::portable {

/// Pipes and sockets of all other processes that can be seen: looked for when somebody asks first.
class Holders {
 public:
  Holders(const pod::ProcFs& proc, pid_t main) : proc_(proc), main_(main) {}
  /// A process that has what `link` names; none that can be seen.
  std::optional<pid_t> of(const std::string& link);
  pid_t main() const { return main_; }

 private:
  void look_at(pid_t pid);
  const pod::ProcFs& proc_;
  pid_t main_;
  bool looked_ = false;
  std::map<std::string, pid_t> found_;
};

/// Why it can't move, if so. `link`: what /proc says of it.
std::optional<engine::Blocker> look_at_special(const Fd& process, int fd, const std::string& link,
                                               const std::string& object, Holders& holders);

/// Numbers are read from it, in the order of bytes of the processor.
bool gives_numbers(const std::string& link);

}  // namespace godwit::portable
