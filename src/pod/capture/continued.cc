// Children that were continued (SIGCONT) and whose parent hasn't asked yet: waitpid(2) with WCONTINUED will tell it, once. The
// kernel keeps that in the child's signal_struct (SIGNAL_STOP_CONTINUED) and shows it in no file; the parent is made to ask,
// without taking the answer (WNOWAIT).
#include <sys/syscall.h>
#include <sys/wait.h>

#include <algorithm>
#include <vector>

#include "pod/capture/capture.h"

namespace godwit::pod {

Result<void> Capture::capture_continued(FrozenProcess& parent) {
  constexpr size_t kAtOnce = kScratchSize / sizeof(siginfo_t);
  std::vector<const FrozenProcess*> children;
  for (const auto& p : processes_) {
    if (p.host_parent == parent.host_pid && !p.zombie) children.push_back(&p);
  }
  for (size_t first = 0; first < children.size(); first += kAtOnce) {
    const size_t count = std::min(kAtOnce, children.size() - first);
    TRY(Remote * remote, frozen_->remote(parent));
    Batch batch;
    // What waitid(2) leaves untouched when there is nothing to tell must read as such.
    std::vector<siginfo_t> told(count);
    TRY_DO(remote->write_scratch(0, std::as_bytes(std::span(told))));
    for (size_t i = 0; i < count; i++) {
      batch.add(SYS_waitid, P_PID, children[first + i]->pid, raw(remote->scratch()) + i * sizeof(siginfo_t),
                WCONTINUED | WNOHANG | WNOWAIT, 0);
    }
    TRY_DO(remote->run(parent.leader(), batch));
    TRY_DO(remote->read_scratch(0, std::as_writable_bytes(std::span(told))));
    for (size_t i = 0; i < count; i++) {
      if (batch.result(i) != 0 || told[i].si_pid == 0 || told[i].si_code != CLD_CONTINUED) continue;
      if (pb::Process* child = captured(children[first + i]->pid)) child->set_continued(true);
    }
  }
  return {};
}

}  // namespace godwit::pod
