// What the kernel tells of one UNIX socket through sock_diag(7): its peer, who waits to be accepted, its shutdown state.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"

namespace godwit::pod {

struct UnixDiag {
  int type = 0;
  int state = 0;  ///< TCP_ESTABLISHED, TCP_LISTEN, TCP_CLOSE
  bool has_peer = false;
  uint64_t peer = 0;  ///< inode; 0 with has_peer: the peer is closed, or nobody has accepted it yet
  std::vector<uint64_t> waiting;  ///< listening: inodes of clients in the backlog; 0: a client that is gone
  uint32_t backlog = 0;  ///< listening: what listen(2) was given
  uint32_t shutdown = 0;  ///< 1: receive, 2: send
  uint32_t uid = 0;
  uint64_t node_inode = 0;  ///< of the file it is bound to, 0 if none
  uint32_t node_device = 0;  ///< in the kernel's own encoding: major << 20 | minor
  std::string name;  ///< sun_path; abstract names start with NUL
};

/// A netlink socket in the network namespace of `socket` (most often this process's own);
/// `proc` is this process's /proc.
Result<Fd> open_unix_diag(const Fd& proc, const Fd& socket);
/// kNotFound when no socket of that namespace has this inode.
Result<UnixDiag> query_unix(const Fd& netlink, uint64_t inode);

}  // namespace godwit::pod
