// The rows that kinds/*.cc define; only kinds.cc includes this.
#pragma once

#include "pod/kinds.h"

namespace godwit::pod {

extern const FileKind kDeletedKind;      // deleted.cc: files without a name, O_TMPFILE
extern const FileKind kDeviceKind;       // device.cc: /dev/null and its like
extern const FileKind kEpollKind;        // epoll.cc
extern const FileKind kEventfdKind;      // eventfd.cc
extern const FileKind kFifoKind;         // fifo.cc: named pipes
extern const FileKind kInotifyKind;      // inotify.cc
extern const FileKind kKernelFileKind;   // kernel_file.cc: /proc, /sys, control groups
extern const FileKind kMemfdKind;        // memfd.cc
extern const FileKind kPathKind;         // path.cc: O_PATH
extern const FileKind kPidfdKind;        // pidfd.cc
extern const FileKind kPipeKind;         // pipe.cc
extern const FileKind kRegularKind;      // regular.cc: regular files and directories by path
extern const FileKind kSignalfdKind;     // signalfd.cc
extern const FileKind kTimerfdKind;      // timerfd.cc
extern const FileKind kUnknownKind;      // unsupported.cc: the last row, whatever nobody knows
extern const FileKind kUnsupportedKind;  // unsupported.cc: what is known not to be movable

extern const SectionKind kLocksKind;  // locks.cc: flock, fcntl locks, leases

extern const FileKind kUnixSocketKind;      // unix_socket.cc: UNIX sockets of every type
extern const FileKind kInetSocketKind;       // inet_socket.cc: TCP and UDP without established connections
extern const FileKind kNetlinkSocketKind;    // netlink_socket.cc
extern const FileKind kOtherSocketKind;      // netlink_socket.cc: every other socket, refused
extern const FileKind kPtyMasterKind;        // tty.cc: masters of pseudo-terminals
extern const FileKind kPtySlaveKind;         // tty.cc: their other side, and /dev/tty
extern const FileKind kOtherTerminalKind;    // tty.cc: every other terminal, refused
extern const SectionKind kSysvSection;       // sysv_section.cc: semaphores, message queues, unattached segments
extern const SectionKind kTerminalsSection;  // tty.cc: what pairs hold; controlling terminals of sessions
extern const SectionKind kUnixPeersSection;  // unix_socket.cc: whether their peers are all here

}  // namespace godwit::pod
