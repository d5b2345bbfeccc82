// Who may speak to a keeper: processes of the node's own PID namespace, as its daemon is.
//
// The socket is for the node's user alone (mode 0600). But a unit that runs as this user, root most often, sees the node's files, and
// Landlock doesn't ask when it connects to a socket by its path. Whoever speaks here commands the unit, and could say that a
// commit was granted. A process of a unit is always in a PID namespace below the node's, and can't leave it.
#pragma once

#include <sys/stat.h>

#include "base/fd.h"
#include "base/result.h"

namespace godwit::keeper {

class Visitors {
 public:
  /// On a thread that is in the node's mount namespace.
  static Result<Visitors> open();
  /// Code::kRefused for whoever isn't of the node's PID namespace.
  [[nodiscard]] Result<void> check(const Fd& socket) const;

 private:
  Visitors(Fd proc, ino_t own) : proc_(std::move(proc)), own_(own) {}
  Fd proc_;
  ino_t own_;
};

}  // namespace godwit::keeper
