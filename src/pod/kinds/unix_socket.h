// The two halves of the kind "unix": unix_socket.cc dumps, unix_restore.cc and unix_connect.cc restore.
#pragma once

#include "pod/kinds.h"

namespace godwit::pod {

Result<void> restore_unix_peers(RestoreContext& ctx, const std::string& state);
Result<Fd> restore_unix_socket(RestoreContext& ctx, const pb::OpenFile& file);
Result<void> connect_unix_socket(RestoreContext& ctx, const pb::OpenFile& file, const Fd& fd);
Result<void> activate_unix_socket(RestoreContext& ctx, const pb::OpenFile& file, const Fd& fd);

}  // namespace godwit::pod
