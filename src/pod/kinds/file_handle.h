// From what the kernel tells of a watched inode (fdinfo) to a path.
#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>

#include "base/result.h"
#include "pod/kinds.h"

namespace godwit::pod::kinds {

struct Place {
  std::string path;  ///< may end in " (deleted)"
  mode_t mode = 0;
};

/// `line` has "fhandle-bytes:N fhandle-type:N f_handle:HEX" if the file system can encode handles. Tries the handle on
/// the mounts of the process, which needs CAP_DAC_READ_SEARCH; then looks around the process's working directory.
Result<Place> find_by_handle(DumpContext& ctx, pid_t host_pid, std::string_view line, dev_t dev, ino_t inode);

}  // namespace godwit::pod::kinds
