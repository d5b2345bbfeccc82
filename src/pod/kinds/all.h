// The rows that kinds/*.cc define; only kinds.cc includes this.
#pragma once

#include "pod/kinds.h"

namespace godwit::pod {

extern const FileKind kDeviceKind;   // device.cc: /dev/null and its like
extern const FileKind kRegularKind;  // regular.cc: regular files and directories by path

}  // namespace godwit::pod
