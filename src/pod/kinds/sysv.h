// System V IPC: segments, semaphores, message queues, with the ids and keys that programs know them by.
//
// Segments that are attached are memory and travel with the areas: the engine calls the functions below. Everything else
// is the section kind "sysv" (sysv_section.cc).
//
// Which objects belong to the tree? All of them if nobody else lives in its IPC namespace, as in a unit. Elsewhere those
// that a process of the tree was the last to use; if the kernel names a living user outside as well, "sysv-shared".
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>

#include "base/result.h"

namespace godwit::pod {
class RestoreContext;
namespace v1 {
class SysvOwner;
}
namespace pb = v1;

/// SharedMemory.state of an attached segment.
Result<std::string> describe_sysv_segment(int id);

struct SysvSegmentMade {
  int id = 0;
  std::byte* memory = nullptr;  ///< attached here; munmap(2) or shmdt(2) ends it
};
/// Makes the segment with its id, or takes over the one that the source left behind unattached. What was made is removed
/// again with the context unless the section was activated.
Result<SysvSegmentMade> create_sysv_segment(RestoreContext& ctx, const std::string& state, uint64_t size);

/// Runs `make` so that the object it makes gets this id (`knob`: "shm_next_id", "sem_next_id" or "msg_next_id").
Result<int> make_with_id(RestoreContext& ctx, std::string_view knob, int id, const std::function<int()>& make);

}  // namespace godwit::pod
