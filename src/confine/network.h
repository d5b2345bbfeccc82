// The addresses of a document, as programs on the unit's control group (bpf(2)).
//
// They are asked at connect(2), at sendto(2) and sendmsg(2) of a datagram and at bind(2), where a refusal is an EPERM that the
// program sees at once; and for each packet, so that nothing depends on which call a socket was made ready with, by whom:
//   leaves   of TCP only what opens a connection (a SYN); each datagram; of other protocols everything:  to `connect`
//   arrives  of TCP only what opens a connection: at `listen`; a datagram: from `connect` or at `listen`
// "Other protocols" have no ports: a network of all ports allows them. IPv6 with extension headers passes in neither direction.
// A bind to port 0 is let through, for the port isn't known yet: what arrives there is judged as it arrives.
#pragma once

#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "delegation/grants.h"

namespace godwit::confine {

struct NetworkRules {
  std::vector<delegation::Network> connect, listen;
};

class NetworkGuard {
 public:
  /// Loads the programs and hangs them on `group`, where they let everything pass until arm().
  static Result<NetworkGuard> make(const Fd& group, const NetworkRules& rules);
  Result<void> arm();
  /// Whether such programs can be loaded here at all.
  static Result<void> probe();

 private:
  Fd armed_;  ///< an array map of one number
};

}  // namespace godwit::confine
