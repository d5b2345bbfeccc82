// The rows that kinds/*.cc define; only kinds.cc includes this.
#pragma once

#include "pod/kinds.h"

namespace godwit::pod {

extern const FileKind kDeviceKind;   // device.cc: /dev/null and its like
extern const FileKind kRegularKind;  // regular.cc: regular files and directories by path

extern const FileKind kUnixSocketKind;      // unix_socket.cc: UNIX sockets of every type
extern const SectionKind kUnixPeersSection;  // unix_socket.cc: whether their peers are all here

}  // namespace godwit::pod
