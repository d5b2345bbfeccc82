// System V segments. See sysv.h.
#include <sys/ipc.h>
#include <sys/shm.h>

#include <cerrno>
#include <string>

#include "base/io.h"
#include "base/log.h"
#include "godwit/pod_kinds_sysv.pb.h"
#include "pod/kinds.h"
#include "pod/kinds/sysv.h"
#include "pod/kinds/sysv_made.h"

namespace godwit::pod {

SysvMade& sysv_made(RestoreContext& ctx) {
  auto& slot = ctx.memory("sysv");
  if (slot == nullptr) slot = std::make_shared<SysvMade>();
  return *static_cast<SysvMade*>(slot.get());
}

SysvMade::~SysvMade() {
  if (kept) return;
  for (const auto& remove : undo) remove();
}

Result<int> make_with_id(RestoreContext& ctx, std::string_view knob, int id, const std::function<int()>& make) {
  const std::string path = "sys/kernel/" + std::string(knob);
  // Needs CAP_CHECKPOINT_RESTORE or CAP_SYS_ADMIN over the IPC namespace (ipc/ipc_sysctl.c). Only a wish: the kernel
  // takes the next free id if this one is taken.
  TRY_DO(io::write_file_at(ctx.proc_dir(), path, std::to_string(id)));
  const int made = make();
  if (made < 0) {
    const int error = errno;
    (void)io::write_file_at(ctx.proc_dir(), path, "-1");
    return fail_errno(error, "making System V object " + std::to_string(id));
  }
  return made;
}

Result<std::string> describe_sysv_segment(int id) {
  shmid_ds ds{};
  if (::shmctl(id, IPC_STAT, &ds) != 0) return fail_errno(errno, "looking at segment " + std::to_string(id));
  pb::SysvSegment s;
  auto* owner = s.mutable_owner();
  owner->set_id(id);
  owner->set_key(ds.shm_perm.__key);
  owner->set_mode(ds.shm_perm.mode & 0777);
  owner->set_uid(ds.shm_perm.uid);
  owner->set_gid(ds.shm_perm.gid);
  s.set_size(ds.shm_segsz);
  s.set_destroyed((ds.shm_perm.mode & SHM_DEST) != 0);
  s.set_locked((ds.shm_perm.mode & SHM_LOCKED) != 0);
  return s.SerializeAsString();
}

namespace {

// A checkpoint that ended the program leaves its segments behind, unattached; a restore takes them over.
bool is_left_behind(const pb::SysvSegment& s) {
  shmid_ds ds{};
  return ::shmctl(s.owner().id(), IPC_STAT, &ds) == 0 && ds.shm_nattch == 0 && ds.shm_segsz == s.size() &&
         ds.shm_perm.__key == s.owner().key();
}

}  // namespace

Result<SysvSegmentMade> create_sysv_segment(RestoreContext& ctx, const std::string& state, uint64_t size) {
  pb::SysvSegment s;
  if (!s.ParseFromString(state) || s.owner().id() < 0 || (s.size() + 4095) / 4096 != (size + 4095) / 4096) {
    return fail(Code::kCorrupt, "a System V segment's state");
  }
  SysvSegmentMade made;
  if (is_left_behind(s)) {
    made.id = s.owner().id();
  } else {
    TRY(made.id, make_with_id(ctx, "shm_next_id", s.owner().id(), [&] {
          return ::shmget(s.destroyed() ? IPC_PRIVATE : s.owner().key(), s.size(),
                          IPC_CREAT | IPC_EXCL | static_cast<int>(s.owner().mode()));
        }));
    sysv_made(ctx).undo.push_back([id = made.id] { ::shmctl(id, IPC_RMID, nullptr); });
    if (made.id != s.owner().id()) {
      return fail(Code::kFailed, "System V segment " + std::to_string(s.owner().id()) + " is taken here");
    }
  }
  shmid_ds ds{};
  if (::shmctl(made.id, IPC_STAT, &ds) != 0) return fail_errno(errno, "looking at a new segment");
  ds.shm_perm.uid = s.owner().uid();
  ds.shm_perm.gid = s.owner().gid();
  ds.shm_perm.mode = static_cast<unsigned short>(s.owner().mode());
  if (::shmctl(made.id, IPC_SET, &ds) != 0) log::warn("the owner of System V segment {} isn't kept", made.id);
  if (s.locked() && ::shmctl(made.id, SHM_LOCK, nullptr) != 0) log::warn("System V segment {} isn't locked", made.id);
  void* memory = ::shmat(made.id, nullptr, 0);
  if (memory == reinterpret_cast<void*>(-1)) return fail_errno(errno, "attaching a new segment");
  made.memory = static_cast<std::byte*>(memory);
  // Only once its users have attached it: before, this would end it.
  if (s.destroyed()) sysv_made(ctx).at_activate.push_back([id = made.id] { ::shmctl(id, IPC_RMID, nullptr); });
  return made;
}

}  // namespace godwit::pod
