// The services that kinds ask for during a dump.
#include <algorithm>
#include <cerrno>

#include "base/sys.h"
#include "pod/capture/capture.h"
#include "pod/refusals.h"

namespace godwit::pod {

void Capture::refuse(std::string_view code, const std::string& object, const std::string& detail) {
  blockers_.push_back(make_blocker(code, object, detail));
}

bool Capture::has_vanished(const Error& error) const {
  const int e = error.errnum;
  return inspecting() && (error.code == Code::kGone || e == ENOENT || e == ESRCH || e == EBADF);
}

FrozenProcess* Capture::process_of(pid_t host_pid) {
  const auto it = std::ranges::find(processes_, host_pid, &FrozenProcess::host_pid);
  return it == processes_.end() ? nullptr : &*it;
}

Result<ProcStat> Capture::stat_of(const FrozenProcess& process) const {
  if (process.stat) return *process.stat;
  return proc_.stat(process.host_pid);
}

Result<ProcStatus> Capture::status_of(const FrozenProcess& process, size_t thread) const {
  if (thread < process.statuses.size()) return process.statuses[thread];
  return proc_.status(process.host_pid);
}

const Look& Capture::look(const FrozenProcess& process) {
  if (frozen_ != nullptr) return frozen_->look(process);
  const auto [it, is_new] = looks_.try_emplace(process.host_pid);
  if (is_new) it->second = look_at(proc_, process.host_pid, process.host_pid == options_.init_host_pid);
  return it->second;
}

Result<pid_t> Capture::pid_in_tree(pid_t host_pid) {
  // Threads too: F_SETOWN_EX and timers may name one.
  for (const auto& process : processes_) {
    if (process.host_pid == host_pid) return process.pid;
    for (size_t i = 0; i < process.threads.size(); i++) {
      if (process.threads[i].tid() == host_pid) return process.thread_ids[i];
    }
  }
  return fail(Code::kNotFound, "pid " + std::to_string(host_pid) + " isn't in the tree");
}

Result<pid_t> Capture::host_pid(pid_t pid_in_tree) {
  const auto it = std::ranges::find(processes_, pid_in_tree, &FrozenProcess::pid);
  if (it == processes_.end()) return fail(Code::kNotFound, "no pid " + std::to_string(pid_in_tree) + " in the tree");
  return it->host_pid;
}

namespace {
Error not_frozen() { return Error{Code::kFailed, 0, "a remote call needs a frozen process"}; }
}  // namespace

Result<int64_t> Capture::remote_call(pid_t host_pid, long number, std::span<const uint64_t> arguments) {
  FrozenProcess* process = process_of(host_pid);
  if (process == nullptr || frozen_ == nullptr) return std::unexpected(not_frozen());
  TRY(Remote * remote, frozen_->remote(*process));
  return remote->call(process->leader(), number, arguments);
}

Result<uint64_t> Capture::remote_scratch(pid_t host_pid) {
  FrozenProcess* process = process_of(host_pid);
  if (process == nullptr || frozen_ == nullptr) return std::unexpected(not_frozen());
  TRY(Remote * remote, frozen_->remote(*process));
  return raw(remote->scratch());
}

Result<void> Capture::remote_write(pid_t host_pid, uint64_t address, std::span<const std::byte> data) {
  return write_memory(proc_, host_pid, address, data);
}

Result<void> Capture::remote_read(pid_t host_pid, uint64_t address, std::span<std::byte> data) {
  return read_memory(proc_, host_pid, address, data);
}

void Capture::demand_file(const std::string& path, int use, uint64_t size, const std::string& used_by) {
  auto& demand = demands_[path + '\0' + std::to_string(use)];
  if (!demand.path().empty()) return;
  demand.set_path(path);
  demand.set_use(static_cast<wire::FileDemand::Use>(use));
  demand.set_size(size);
  demand.set_used_by(used_by);
}

Result<uint32_t> Capture::add_contents(Fd content, uint64_t size) {
  const SpaceId id = next_space_++;
  auto* shared = state_.add_shared();
  shared->set_id(id);
  shared->set_size(size);
  shared->set_kind(pb::SharedMemory::FILE);
  SpaceSource source;
  source.id = id;
  source.object = std::move(content);
  source.size = size;
  sources_.push_back(std::move(source));
  return id;
}

std::vector<HeldDescriptor> Capture::descriptors() {
  std::vector<HeldDescriptor> all;
  for (const auto& process : state_.processes()) {
    const auto host = host_pid(process.pid());
    if (!host) continue;
    for (const auto& d : process.descriptors()) {
      const FileEntry& file = *files_.entries()[d.file() - 1];
      all.push_back({*host, process.pid(), d.fd(), d.file(), file.st.st_mode, file.flags, &file.ours, &file.fdinfo});
    }
  }
  return all;
}

Nanos Capture::clock(clockid_t clock) {
  // Both readings of host_facts() were made together, so their difference is the offset of the unit's time namespace.
  const Nanos now = clock_now(clock);
  const Nanos since = clock_now(CLOCK_REALTIME) - Nanos(state_.host().realtime_ns());
  if (clock == CLOCK_MONOTONIC) return Nanos(state_.host().monotonic_ns()) + since;
  if (clock == CLOCK_BOOTTIME) return Nanos(state_.host().boottime_ns()) + since;
  return now;
}

std::vector<pid_t> Capture::processes() {
  std::vector<pid_t> all;
  for (const auto& process : state_.processes()) {
    if (process.state() == pb::ZOMBIE || process.is_init()) continue;
    if (const auto host = host_pid(process.pid())) all.push_back(*host);
  }
  return all;
}

bool Capture::may_inherit(const OpenFileView& view) {
  if (!options_.inherit_stdio) return false;
  for (const auto& d : descriptors()) {
    if (d.fd > 2) continue;
    if (files_.entries()[d.file - 1]->ours.get() == view.ours.get()) return true;
  }
  return false;
}

}  // namespace godwit::pod
