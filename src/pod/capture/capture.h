// Capture: from a frozen (or, to inspect, running) tree to its PodState.
//
// Order: files first (areas and sections refer to them), then each process: areas, then one remote batch for what only
// the process itself can tell, then one for each thread, then the sections. Memory is not read here: the result says
// which spaces there are and how to read them.
#pragma once

#include <linux/kcmp.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "godwit/pod.pb.h"
#include "pod/capture/file_table.h"
#include "pod/freeze.h"
#include "pod/kinds.h"
#include "pod/memory.h"
#include "pod/proc.h"

namespace godwit::pod {

/// Where the bytes of a space are read from.
struct SpaceSource {
  SpaceId id = 0;
  pid_t host_pid = 0;            ///< a process's own memory …
  std::vector<MapEntry> areas;   ///< … and the areas of it that travel
  std::vector<bool> whole_file;  ///< parallel to areas: also unchanged pages of the file (it is deleted)
  Fd object;                     ///< … or a shared object
  uint64_t size = 0;
};

/// Numbers of shared objects given before, by device and inode: a live move builds each once, however many outlines
/// speak of it (a System V segment can't be made twice).
struct KnownShared {
  std::map<std::pair<dev_t, uint64_t>, SpaceId> ids;
  SpaceId next = 1;  ///< above every number ever given to a space or an object
};

struct CaptureOptions {
  bool inspecting = false;
  bool own_pid_namespace = false;
  bool close_connections = false;
  bool inherit_stdio = false;    ///< standard streams that lead out of the tree are replaced at the restore
  pid_t init_host_pid = 0;        ///< the unit's init, which is rebuilt and not restored; 0 if there is none
  /// Space numbers given before (live moves keep them), by host pid.
  const std::map<pid_t, SpaceId>* known_spaces = nullptr;
  KnownShared* known_shared = nullptr;
  /// areas with their VmFlags, read before the freeze, by host pid: used where nothing changed.
  const std::map<pid_t, std::vector<MapEntry>>* earlier_areas = nullptr;
};

class Capture final : public DumpContext {
 public:
  Capture(const ProcFs& proc, std::vector<FrozenProcess>& processes, Frozen* frozen, CaptureOptions options)
      : proc_(proc), processes_(processes), frozen_(frozen), options_(options) {}

  /// Fills state(). Blockers are collected; an Error is a failure of the capture itself.
  Result<void> run();
  /// Processes and areas only: what an outline needs.
  Result<void> run_outline();

  pb::PodState& state() { return state_; }
  pb::Outline outline() const;
  const std::vector<engine::Blocker>& blockers() const { return blockers_; }
  std::vector<SpaceSource>& sources() { return sources_; }
  const std::map<std::string, wire::FileDemand>& file_demands() const { return demands_; }

  // DumpContext
  bool inspecting() const override { return options_.inspecting; }
  void refuse(std::string_view code, const std::string& object, const std::string& detail) override;
  Result<FileId> file_at(pid_t host_pid, int fd) override { return files_.at(host_pid, fd); }
  Result<FileId> file_of(const Fd& fd, const std::string& object) override;
  std::vector<FileId> files_with_inode(dev_t device, ino_t inode) override { return files_.with_inode(device, inode); }
  Result<pid_t> pid_in_tree(pid_t host_pid) override;
  Result<pid_t> host_pid(pid_t pid_in_tree) override;
  Result<int64_t> remote_call(pid_t host_pid, long number, std::span<const uint64_t> arguments) override;
  Result<uint64_t> remote_scratch(pid_t host_pid) override;
  Result<void> remote_write(pid_t host_pid, uint64_t address, std::span<const std::byte> data) override;
  Result<void> remote_read(pid_t host_pid, uint64_t address, std::span<std::byte> data) override;
  void demand_file(const std::string& path, int use, uint64_t size, const std::string& used_by) override;
  Result<uint32_t> add_contents(Fd content, uint64_t size) override;
  std::vector<HeldDescriptor> descriptors() override;
  const Fd& proc_dir() override { return proc_.dir(); }
  Nanos clock(clockid_t clock) override;
  std::vector<pid_t> processes() override;
  bool close_connections() const override { return options_.close_connections; }
  bool may_inherit(const OpenFileView& view) override;
  bool is_unit() const override { return options_.own_pid_namespace; }

 private:
  // files.cc
  Result<void> capture_descriptors();
  Result<void> capture_descriptors_of(FrozenProcess& process, pb::Process& out);
  Result<FileId> note_file(Fd ours, pid_t host_pid, pid_t pid, int fd, const std::string& object,
                           const std::string& fd_dir);
  Result<std::string> own_link(const Fd& ours) const;
  Result<std::string> own_fdinfo(const Fd& ours) const;
  Result<void> dump_files();
  // tree.cc
  Result<void> capture_tree();
  Result<void> sort_processes();
  void capture_terminals();
  void find_shared(const FrozenProcess& process, pb::Process& out);
  bool is_memory_shared(const FrozenProcess& a, const FrozenProcess& b) const;
  void check_process(const FrozenProcess& process, const ProcStatus& status);
  Result<void> check_caller();
  void check_namespaces(const FrozenProcess& process);
  // processes.cc
  Result<void> capture_process(FrozenProcess& process, pb::Process& out);
  Result<void> capture_process_remotely(FrozenProcess& process, const ProcStatus& status, pb::Process& out,
                                        pb::AddressSpace& space);
  // continued.cc
  Result<void> capture_continued(FrozenProcess& parent);
  // threads.cc
  Result<void> capture_thread(FrozenProcess& process, size_t index, pb::Thread& out);
  Result<void> ask_thread(FrozenProcess& process, const Tracee& thread, pb::Thread& out);
  Result<void> capture_seccomp(const FrozenProcess& process, const Tracee& thread, const ProcStatus& status,
                               pb::Thread& out);
  // areas.cc
  Result<void> capture_space(FrozenProcess& process, pb::AddressSpace& out);
  Result<std::vector<MapEntry>> areas_of(FrozenProcess& process);
  Result<void> capture_area(FrozenProcess& process, const MapEntry& area, pb::AddressSpace& out, SpaceSource& source);
  Result<void> capture_shared_area(FrozenProcess& process, const MapEntry& area, pb::Area& out);
  Result<SpaceId> shared_object(FrozenProcess& process, const MapEntry& area);
  SpaceId space_of(pid_t host_pid);

  /// As read at the freeze, or read now when the process is only looked at.
  Result<ProcStat> stat_of(const FrozenProcess& process) const;
  Result<ProcStatus> status_of(const FrozenProcess& process, size_t thread = 0) const;
  const Look& look(const FrozenProcess& process);
  FrozenProcess* process_of(pid_t host_pid);
  /// Of processes that are only looked at: one that ended, or a descriptor that was closed, before all was read of it.
  bool has_vanished(const Error& error) const;
  /// The entry of a process in state(); null for one that ended while it was only looked at.
  pb::Process* captured(pid_t pid);

  const ProcFs& proc_;
  std::vector<FrozenProcess>& processes_;
  Frozen* frozen_;
  CaptureOptions options_;
  pb::PodState state_;
  FileTable files_;
  std::map<pid_t, Look> looks_;  // of processes that run
  KcmpGroups memories_{KCMP_VM}, tables_{KCMP_FILES}, directories_{KCMP_FS};
  size_t files_dumped_ = 0;
  std::vector<engine::Blocker> blockers_;
  std::vector<SpaceSource> sources_;
  std::map<std::string, wire::FileDemand> demands_;
  std::map<std::pair<dev_t, uint64_t>, SpaceId> shared_by_inode_;
  SpaceId next_space_ = 1;
};

/// The facts of this machine that a state refers to. The clocks are those of time namespace of `host_pid`.
Result<pb::HostFacts> host_facts(const ProcFs& proc, pid_t host_pid);

/// What a tree looks like without stopping it: processes without threads, for Capture with `inspecting`.
Result<std::vector<FrozenProcess>> look_at_tree(const ProcFs& proc, pid_t root);

}  // namespace godwit::pod
