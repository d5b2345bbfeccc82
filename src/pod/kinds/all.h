// The rows that kinds/*.cc define; only kinds.cc includes this.
#pragma once

#include "pod/kinds.h"

namespace godwit::pod {

extern const FileKind kDeviceKind;   // device.cc: /dev/null and its like
extern const FileKind kRegularKind;  // regular.cc: regular files and directories by path

extern const FileKind kUnixSocketKind;      // unix_socket.cc: UNIX sockets of every type
extern const FileKind kInetSocketKind;       // inet_socket.cc: TCP and UDP without established connections
extern const FileKind kNetlinkSocketKind;    // netlink_socket.cc
extern const FileKind kOtherSocketKind;      // netlink_socket.cc: every other socket, refused
extern const SectionKind kUnixPeersSection;  // unix_socket.cc: whether their peers are all here

}  // namespace godwit::pod
