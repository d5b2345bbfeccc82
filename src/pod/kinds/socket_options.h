// Options of sockets, by one table: what getsockopt(2) gave at the source is set again where it differs.
//
// Options come in two stages: those that bind(2) and listen(2) look at, and those that would change what the restore
// itself does with the socket (SO_PASSCRED binds a name by itself, SO_PEEK_OFF moves with every peek).
#pragma once

#include <string>

#include "base/fd.h"
#include "base/result.h"

namespace godwit::pod {
namespace v1 {
class SocketOptions;
}
class DumpContext;

/// Reads every option of the table that this socket has. A filter that can't be read is refused ("socket-filter").
Result<void> dump_socket_options(DumpContext& ctx, const Fd& socket, const std::string& object, v1::SocketOptions& out);

enum class OptionStage { kBeforeBind, kAtEnd };
Result<void> restore_socket_options(const Fd& socket, const v1::SocketOptions& options, OptionStage stage);

/// An integer option; Code::kSystem when the socket doesn't have it.
Result<int> int_option(const Fd& socket, int level, int name);
Result<void> set_int_option(const Fd& socket, int level, int name, int value);
/// SO_SNDBUF or SO_RCVBUF so that reading it back gives `value` (the kernel doubles what is set), above the limit if allowed.
Result<void> set_buffer_size(const Fd& socket, int name, int value);

}  // namespace godwit::pod
