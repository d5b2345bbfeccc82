// The heap of a process that must not wait for memory later: a page that is touched for the first time costs a microsecond or more,
// and so does each that is still shared since a fork(2).
#pragma once

namespace godwit {

/// From here on freed memory stays with this process, up to 16 MiB in each arena: what a rehearsal used is there for the real thing.
/// Blocks of up to 32 MiB come from the heap, too. Call it before there are threads. malloc(3) of glibc: mallopt(3).
void keep_freed_memory();

/// Makes all pages of the main thread's heap present and this process's own (madvise(2), MADV_POPULATE_WRITE, Linux 5.14; nothing
/// happens on an older kernel). For a process that has forked and will be in a hurry soon. Any thread.
void own_heap();

}  // namespace godwit
