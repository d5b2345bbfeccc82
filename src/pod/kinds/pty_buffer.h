// What a pseudo-terminal holds in both directions: taken out, and put back as if nobody had.
#pragma once

#include <asm/termbits.h>

#include "base/fd.h"
#include "base/result.h"

namespace godwit::pod {
namespace v1 {
class Pty;
}
namespace pb = v1;

/// Takes everything out into `out` and puts it back at once. `slave` may be invalid: then only what the master has not
/// read. Both sides must be at rest (their users frozen).
Result<void> copy_pty_buffers(const Fd& master, const Fd& slave, const termios2& settings, pb::Pty& out);
/// Puts `pty`'s buffers into a terminal that has none, and leaves it with `settings`.
Result<void> fill_pty_buffers(const Fd& master, const Fd& slave, const termios2& settings, const pb::Pty& pty);

Result<termios2> terminal_settings(const Fd& fd);
Result<void> set_terminal_settings(const Fd& fd, const termios2& settings);

}  // namespace godwit::pod
