// The refusal table. Sorted by code.
#include "pod/refusals.h"

#include <algorithm>
#include <array>

#include "base/check.h"

namespace godwit::pod {
namespace {

constexpr Refusal kTable[] = {
    {"aio", "an asynchronous I/O context (io_setup)", "requests in it are half done by the kernel",
     "running the program with its aio turned off"},
    {"compat-32", "a 32-bit program", "its registers and system calls are those of the i386 ABI",
     "a 64-bit build of the program"},
    {"cpu-features", "a destination whose CPU lacks instructions that the program may use",
     "the program's libraries chose their code by the CPU it was started on",
     "a destination with the same or a newer CPU"},
    {"memory", "a destination with too little memory", "the unit would not fit",
     "freeing memory there, or another destination"},
    {"pid-in-use", "a PID that is taken at the destination", "a process keeps its PIDs for life",
     "restoring with --pids new"},
    {"dead-leader", "a process whose first thread has ended while others run", "such a leader can't be made again",
     "waiting until it ends"},
    {"droppable", "memory mapped with MAP_DROPPABLE", "its pages may vanish at any time, so no copy of them is true",
     "ending the use of it (vgetrandom state is re-made by the program)"},
    {"file-kind", "a descriptor of a kind that Godwit does not know", "nobody taught Godwit to save and restore it",
     "closing the descriptor, or adding the kind (docs/howto/add-a-kernel-object.md)"},
    {"hugetlb", "memory of hugetlbfs", "its pages come from a pool that the destination may not have",
     "transparent huge pages instead (madvise(MADV_HUGEPAGE))"},
    {"io-mapping", "memory that maps a device", "what lies behind it is hardware of this machine",
     "closing the device"},
    {"io-uring", "an io_uring instance", "requests in its rings are half done by the kernel and can't be read back",
     "running the program without io_uring"},
    {"nested-namespace", "a process in a namespace of its own inside the tree",
     "only one level of namespaces is rebuilt", "starting the program without unshare(1) or a container inside it"},
    {"netlink-unread", "a netlink socket with unread messages", "they tell of this machine's kernel",
     "trying again a moment later"},
    {"no-permission", "a process that Godwit may not trace", "ptrace over it is denied",
     "running Godwit as root or as its owner"},
    {"pkey", "memory with a protection key", "protection keys are not yet rebuilt",
     "running the program without pkey_mprotect"},
    {"posix-mqueue", "a POSIX message queue", "its messages can only be read by taking them out", "closing the queue"},
    {"ptraced", "a process that a debugger or tracer holds", "a process has only one tracer", "detaching the debugger"},
    {"secretmem", "memory of memfd_secret", "the kernel lets nobody else read it", "ending the use of memfd_secret"},
    {"seccomp-filter", "a seccomp filter that can't be read",
     "reading a filter needs CAP_SYS_ADMIN in the initial namespace", "running Godwit as root"},
    {"shadow-stack", "a thread with a user shadow stack", "shadow stacks are not yet rebuilt",
     "GLIBC_TUNABLES=glibc.cpu.x86_shstk=off"},
    {"shared-memory-outside", "shared memory that a process outside of the unit has mapped too",
     "after a move the two would no longer share it", "running both in one unit"},
    {"foreign-namespace", "a process that lives in other namespaces than the caller",
     "kept PIDs and paths would mean other things",
     "running godwit inside that container, or running the program as a unit"},
    {"socket-filter", "a socket with an eBPF program", "the kernel doesn't give the program back",
     "detaching it (SO_DETACH_FILTER)"},
    {"socket-kind", "a socket of a family or type that Godwit doesn't carry (raw, packet, vsock …)",
     "nobody taught Godwit to save and restore it", "closing the socket"},
    {"sysv-hugetlb", "a System V segment of huge pages", "its pages come from a pool that the destination may not have",
     "shmget(2) without SHM_HUGETLB"},
    {"sysv-shared", "System V objects in an IPC namespace that other programs use too",
     "after a move the others would no longer share them",
     "running the program as a unit, which has an IPC namespace of its own"},
    {"sysv-undo", "a program of several threads that operates on System V semaphores",
     "its SEM_UNDO adjustments can't be read while threads share them",
     "a semaphore of another sort (sem_open(3), a futex)"},
    {"tcp-established", "an established TCP connection",
     "its peer is outside of the unit and would talk to the old machine",
     "closing it, or asking for it to be closed (--tcp close)"},
    {"terminal-kind", "a terminal that is not a pseudo-terminal, or has a line discipline of its own",
     "it belongs to hardware of this machine", "running the program in a pseudo-terminal (godwit run -t)"},
    {"terminal-outside", "a terminal whose other side is outside of the tree",
     "after a move nobody would read or type there",
     "running the program as a unit (godwit run -t), or with its standard streams in files"},
    {"tracer", "a process that traces another", "the tracer's hold on its tracee can't be rebuilt",
     "ending the debugger"},
    {"uninterruptible", "a thread that doesn't stop",
     "it waits inside the kernel where signals don't reach it (state D)",
     "waiting until that operation ends (a dead network file system?)"},
    {"unix-backlog", "a connection that waits to be accepted and already holds data, or whose client is gone",
     "the kernel lets nobody read it before it is accepted", "trying again a moment later"},
    {"unix-error", "a UNIX packet socket with a pending error and unread packets", "looking at the packets would clear the error",
     "trying again a moment later"},
    {"unix-oob", "a UNIX socket with an out-of-band byte", "it can only be read by taking it out", "trying again a moment later"},
    {"unix-peer-outside", "a UNIX socket connected to a program outside of the tree", "its peer would stay behind",
     "running both in one unit, or closing the connection"},
    {"unix-unreachable", "a UNIX datagram socket connected to one that has no name and isn't its pair",
     "such a connection can't be made again", "binding a name to the peer"},
    {"userfaultfd", "memory under the program's own userfaultfd", "faults that wait in it can't be carried",
     "ending the use of userfaultfd"},
};

}  // namespace

std::span<const Refusal> refusals() { return kTable; }

engine::Blocker make_blocker(std::string_view code, const std::string& object, const std::string& detail) {
  const auto* row = std::ranges::find(kTable, code, &Refusal::code);
  GODWIT_CHECK(row != std::end(kTable), code);
  std::string reason(row->reason);
  if (!detail.empty()) reason += " (" + detail + ")";
  return {std::string(row->code), object, std::move(reason), std::string(row->lift)};
}

}  // namespace godwit::pod
