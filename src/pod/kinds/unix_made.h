// What a restore has made of UNIX sockets, private to unix_*.cc.
#pragma once

#include <cstdint>
#include <map>
#include <optional>

#include "base/fd.h"
#include "base/result.h"
#include "godwit/pod_kinds_unix.pb.h"
#include "pod/kinds.h"
#include "pod/kinds/unix_name.h"

namespace godwit::pod {

struct MadeUnixSocket {
  FileId id = 0;
  pb::UnixSocket state;
  std::optional<StagedName> staged;
  Fd lost_peer;  ///< plays the peer that is gone until its last words are said
};
struct UnixMade {
  std::map<uint64_t, pb::UnixEnd> ends;  ///< by the inode at the source, as the next
  std::map<uint64_t, MadeUnixSocket> sockets;
  bool connected = false;
};
UnixMade& unix_made(RestoreContext& ctx);

/// A socket of this type, neither bound nor connected.
Result<Fd> new_unix_socket(int type);

}  // namespace godwit::pod
