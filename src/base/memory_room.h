// How much memory a process of this machine may still take: the machine's and its control groups'.
#pragma once

#include <cstdint>
#include <string>

namespace godwit {

/// Bytes: MemAvailable of /proc/meminfo, or less where a memory control group above this process (cgroups(7), version 1 or 2)
/// leaves less: its limit, minus its usage, plus what of that is file cache that hasn't been used lately. A file that
/// can't be read sets no bound; UINT64_MAX when none does. `root` is put before all paths, for tests. Any thread.
uint64_t memory_room(const std::string& root = "");

}  // namespace godwit
