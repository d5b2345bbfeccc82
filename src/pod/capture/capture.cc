// The order of a capture (see capture.h), and the outline of what it found.
#include <algorithm>

#include "pod/capture/capture.h"
#include "pod/validate.h"

namespace godwit::pod {

pb::Process* Capture::captured(pid_t pid) {
  auto& list = *state_.mutable_processes();
  const auto it = std::ranges::find(list, pid, &pb::Process::pid);
  return it == list.end() ? nullptr : &*it;
}

Result<void> Capture::run() {
  TRY_DO(check_caller());
  TRY_DO(capture_tree());
  TRY_DO(capture_descriptors());
  for (auto& process : processes_) {
    if (process.host_pid == options_.init_host_pid) continue;
    pb::Process* out = captured(process.pid);
    if (out == nullptr) continue;
    auto done = capture_process(process, *out);
    if (!done && !has_vanished(done.error())) return std::unexpected(done.error().in(process.name()));
  }
  for (const auto* kind : section_kinds()) {
    auto text = kind->dump(*this);
    if (!text && !has_vanished(text.error())) return std::unexpected(text.error());
    if (!text || text->empty()) continue;
    auto* section = state_.add_sections();
    section->set_kind(std::string(kind->name));
    section->set_state(std::move(*text));
  }
  TRY_DO(dump_files());
  return {};
}

Result<void> Capture::run_outline() {
  TRY_DO(capture_tree());
  for (auto& process : processes_) {
    if (process.zombie || process.host_pid == options_.init_host_pid || captured(process.pid) == nullptr) continue;
    auto done = capture_space(process, *state_.add_spaces());
    if (!done) {
      if (!has_vanished(done.error())) return std::unexpected(done.error().in(process.name()));
      state_.mutable_spaces()->RemoveLast();
    }
  }
  return {};
}

pb::Outline Capture::outline() const {
  pb::Outline outline;
  for (const auto& p : state_.processes()) {
    auto* o = outline.add_processes();
    o->set_pid(p.pid());
    o->set_ppid(p.ppid());
    o->set_sid(p.sid());
    o->set_pgid(p.pgid());
    o->set_zombie(p.state() == pb::ZOMBIE);
    o->set_exit_signal(p.exit_signal());
    o->set_shares_files_with(p.shares_files_with());
    o->set_shares_fs_with(p.shares_fs_with());
    o->set_terminal(p.terminal());
    o->set_is_init(p.is_init());
    o->set_child_subreaper(p.child_subreaper());
    for (const auto& s : state_.spaces()) {
      if (s.pid() == p.pid() && p.state() != pb::ZOMBIE && !p.is_init()) o->set_space(s.id());
    }
  }
  outline.set_descriptors_below(descriptors_below(state_));
  for (const auto& s : state_.spaces()) {
    auto* space = outline.add_spaces();
    space->set_id(s.id());
    space->set_pid(s.pid());
    *space->mutable_areas() = s.areas();
  }
  *outline.mutable_shared() = state_.shared();
  *outline.mutable_host() = state_.host();
  outline.set_own_pid_namespace(state_.own_pid_namespace());
  return outline;
}

}  // namespace godwit::pod
