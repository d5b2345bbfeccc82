// Body: the unit on this node, as processes: its namespaces, its init, its standard streams.
//
// The keeper's main thread enters the unit's mount, IPC and UTS namespaces when the unit comes to be here and never leaves
// them. What lies outside (the unit's directory, the node's stores, /proc) is held by descriptors opened before.
//
// Threads: main thread only, except signal_main, kill_all and the numbers.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "confine/confine.h"
#include "files/travel.h"
#include "godwit/common.pb.h"
#include "pod/pod.h"

namespace godwit::keeper {

/// The unit's first program. Its init is 1; PIDs are kept, so it is this number on every node.
inline constexpr pid_t kMainPid = 2;

class Body {
 public:
  /// `unit_dir` is STATE/units/ID; its out.log is made if it isn't there. `emulated`: the architecture of a node that
  /// isn't the machine's own.
  static Result<std::unique_ptr<Body>> open(const std::string& unit_dir, const std::string& emulated);

  /// Before the unit comes to be here: what its document lets it do. Without: everything.
  void set_rules(confine::Rules rules) { rules_ = std::move(rules); }
  /// Starts the program of the spec in namespaces of its own.
  Result<void> launch(const wire::UnitSpec& spec);
  /// Which engine, and what it is to know.
  struct Wish {
    wire::Grain grain = wire::POD;
    bool close_connections = false;
  };
  /// The engine that sees this unit.
  Result<std::unique_ptr<engine::SourceEngine>> source(const Wish& wish, const wire::UnitSpec& spec) const;
  /// An engine that will build the unit here: enters the namespaces at its first prepare().
  Result<std::unique_ptr<engine::DestinationEngine>> destination(const Wish& wish, const wire::UnitSpec& spec);
  /// For the entrance check alone.
  Result<std::unique_ptr<engine::DestinationEngine>> gate(wire::Grain grain) const;

  /// SIGKILL to all, and waits for them. Idempotent.
  void destroy();
  Result<void> signal_main(int signal) const;
  void kill_all() const;

  /// Readable when somebody of the unit ended; -1 when there is no unit.
  [[nodiscard]] int exits_fd() const;
  /// Takes what init reported. The unit's status once all of it has ended.
  Result<std::optional<wire::ExitStatus>> poll_end();
  [[nodiscard]] pid_t init_pid() const { return init_; }
  [[nodiscard]] const Fd& output() const { return output_; }
  /// kUnitMount as the unit sees it, for threads that are not in its mount namespace. Invalid before the unit is here.
  [[nodiscard]] const Fd& unit_mount() const { return unit_mount_; }
  /// Before the unit comes to be here: the file system that it will see. Without it, the node's as it is.
  void set_view(files::ViewPlan plan, files::MemoryMounts memory) {
    view_ = std::move(plan);
    memory_ = std::move(memory);
  }
  struct Layer {
    std::string mountpoint;
    Fd upper;
  };
  /// What the unit's view keeps beside the node's own files.
  [[nodiscard]] const std::vector<Layer>& layers() const { return layers_; }
  /// The directories that the unit has for itself (files/own_directories.h), by the path that it sees.
  [[nodiscard]] const std::map<std::string, Fd>& own() const { return own_; }
  /// Files that processes of the unit have mapped shared and writable: their times don't tell when they were written.
  [[nodiscard]] std::set<files::FileKey> shared_mappings() const;
  [[nodiscard]] std::set<files::FileKey> mapped_files(std::span<const engine::FileMapping> mappings) const;
  /// Of the programs that run here, as `uname -m`; emulated: it isn't the machine's own.
  [[nodiscard]] std::string architecture() const;
  [[nodiscard]] bool is_emulated() const { return !emulated_.empty(); }
  struct Load {
    uint32_t processes = 0;
    uint64_t memory_bytes = 0;
    double cpu_seconds = 0;
  };
  [[nodiscard]] Load load() const;

 private:
  class Receiver;
  class PodReceiver;
  class PortableReceiver;
  Result<void> start(const wire::UnitSpec& spec, pod::Sandbox::Program program);
  Result<void> emulate(pod::Sandbox::Program& program) const;
  Result<void> build_view();
  Result<void> plan_own_directories(const wire::UnitSpec& spec);
  void keep_state_visible();
  std::vector<pid_t> processes() const;
  Result<void> enter(const wire::UnitSpec& spec, std::optional<pod::ClockOffsets> time);
  /// The rules hold from here on: on resources when the unit is complete, on addresses just before it runs.
  Result<void> arm_limits();
  Result<void> arm_addresses();
  std::string unit_dir_, emulated_;
  Fd output_;  // out.log, from outside of the unit
  Fd unit_mount_;
  Fd proc_;  // the node's /proc: init mounts the unit's own over the path
  files::ViewPlan view_;
  files::MemoryMounts memory_;  // until they are a part of the view
  std::vector<Layer> layers_;
  std::map<std::string, Fd> own_;
  confine::Rules rules_;
  std::unique_ptr<confine::Confinement> confinement_;  // none without rules
  std::unique_ptr<pod::Sandbox> sandbox_;
  std::atomic<pid_t> init_{0};
};

}  // namespace godwit::keeper
