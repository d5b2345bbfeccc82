// Shared memory that isn't a file's: each object is made once here, and mapped or attached by every process that has it.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "base/sys.h"
#include "pod/kinds/sysv.h"
#include "pod/restore/restorer.h"

namespace godwit::pod {
namespace {

constexpr uint64_t kPage = 4096;

}  // namespace

Result<Restorer::SharedObject> Restorer::build_shared_object(const pb::SharedMemory& wanted) {
  SharedObject object;
  object.size = (wanted.size() + kPage - 1) & ~(kPage - 1);
  if (object.size == 0) object.size = kPage;
  void* memory = MAP_FAILED;
  if (wanted.kind() == pb::SharedMemory::SYSV) {
    TRY(const auto segment, create_sysv_segment(*this, wanted.state(), object.size));
    object.sysv_id = segment.id;
    memory = segment.memory;
  } else if (wanted.kind() == pb::SharedMemory::ANON) {
    // The same kind of object as the source's: shared anonymous memory, of which map_files gives a descriptor.
    memory = ::mmap(nullptr, object.size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory != MAP_FAILED) {
      char name[64];
      std::snprintf(name, sizeof name, "map_files/%lx-%lx", reinterpret_cast<uint64_t>(memory),
                    reinterpret_cast<uint64_t>(memory) + object.size);
      if (auto fd = proc_.open(::getpid(), name, O_RDWR))
        object.fd = std::move(*fd);
      else
        ::munmap(std::exchange(memory, MAP_FAILED), object.size);  // an ordinary user may not: a memfd then
    }
  }
  if (memory == MAP_FAILED) {
    TRY(object.fd, sys::memfd("godwit-shared"));
    if (::ftruncate(object.fd.get(), static_cast<off_t>(wanted.size())) < 0)
      return fail_errno(errno, "ftruncate of a shared object");
    memory = ::mmap(nullptr, object.size, PROT_READ | PROT_WRITE, MAP_SHARED, object.fd.get(), 0);
    if (memory == MAP_FAILED)
      return fail_errno(errno, "mmap of a shared object of " + std::to_string(wanted.size()) + " bytes");
  }
  object.memory = static_cast<std::byte*>(memory);
  return object;
}

Result<void> Restorer::build_shared_objects(const pb::Outline& outline) {
  for (const auto& wanted : outline.shared()) {
    if (shared_.contains(wanted.id())) continue;
    TRY(auto object, build_shared_object(wanted));
    shared_.insert_or_assign(wanted.id(), std::move(object));
  }
  return {};
}

const Restorer::SharedObject* Restorer::sysv_segment(const pb::Area& area) const {
  if (area.backing() != pb::Area::SHARED_OBJECT) return nullptr;
  const auto it = shared_.find(area.object());
  return it == shared_.end() || it->second.sysv_id < 0 ? nullptr : &it->second;
}

// System V segments are attached whole, for shmdt(2) and the count of users know nothing of mmap(2); what the program
// has unmapped of them since is unmapped again. Before all other pieces, which may lie in such a gap.
void Restorer::attach_segments(Batch& batch, std::span<const pb::Area> pieces) const {
  std::map<std::pair<uint32_t, uint64_t>, std::vector<const pb::Area*>> attached;  // by object and address
  for (const auto& piece : pieces) {
    if (sysv_segment(piece) != nullptr) attached[{piece.object(), piece.start() - piece.offset()}].push_back(&piece);
  }
  for (const auto& [key, areas] : attached) {
    const SharedObject& object = *sysv_segment(*areas.front());
    uint32_t prot = 0;
    for (const auto* area : areas) prot |= area->prot();
    const int flags =
        SHM_REMAP | ((prot & PROT_WRITE) == 0 ? SHM_RDONLY : 0) | ((prot & PROT_EXEC) != 0 ? SHM_EXEC : 0);
    batch.must("attaching a System V segment", SYS_shmat, object.sysv_id, key.second, flags);
    uint64_t at = key.second;
    for (const auto* area : areas) {
      if (area->start() > at) batch.must("unmapping", SYS_munmap, at, area->start() - at);
      at = area->end();
      if (area->prot() != (PROT_READ | (prot & PROT_WRITE) | (prot & PROT_EXEC))) {
        batch.must("protecting", SYS_mprotect, area->start(), area->end() - area->start(), area->prot());
      }
    }
    const uint64_t end = key.second + object.size;
    if (end > at) batch.must("unmapping", SYS_munmap, at, end - at);
  }
}

}  // namespace godwit::pod
