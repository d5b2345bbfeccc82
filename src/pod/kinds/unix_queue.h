// What waits in a UNIX socket: read without taking it out, and sent again.
#pragma once

#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "pod/kinds.h"

namespace godwit::pod {
struct UnixAddress;
namespace v1 {
class UnixMessage;
class UnixSocket;
}  // namespace v1

/// Fills `out.queue`. Descriptors in flight become files of the dump. Leaves the socket as it was.
Result<void> dump_unix_queue(DumpContext& ctx, const Fd& socket, const std::string& object, pb::UnixSocket& out);

/// Sends one message of a queue through `sender`, to the socket it is connected to or to `to`.
Result<void> send_unix_message(RestoreContext& ctx, const Fd& sender, int type, const pb::UnixMessage& message,
                               const UnixAddress* to = nullptr);

}  // namespace godwit::pod
