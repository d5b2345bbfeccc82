// keeper: one unit on one node. Launches it, moves it out, takes it in, and outlives every daemon.
//
//     keeper::Keeper k(args, std::move(listener), std::move(identity), authority);
//     return k.run();                       // until the unit is gone and every event was acknowledged
//
// Two threads. The main thread is the unit's parent and tracer: it does one job at a time (launch, move, check …) and
// between jobs waits for the unit's processes to end. The listening thread speaks with the daemon: answers what can be
// answered at once (status, signal, kill, cancel, answers of the store), queues the rest as jobs for the main thread.
// Lock order: mutex_, then the Outbox's.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "keeper/body.h"
#include "keeper/feeder.h"
#include "keeper/identity.h"
#include "keeper/outbox.h"
#include "keeper/unit_files.h"
#include "keeper/visitors.h"
#include "link/keeper_args.h"
#include "migration/migration.h"

namespace godwit::keeper {

class Handover;

class Keeper {
 public:
  Keeper(link::KeeperArgs args, Fd listener, NodeIdentity identity);
  ~Keeper();
  /// The exit status of the process.
  int run();

 private:
  using Request = std::shared_ptr<const Packet>;

  // --- listening thread (listen.cc)
  void listen();
  bool serve(link::Channel& channel);
  void handle(Packet packet, std::vector<Fd> fds);
  bool handle_at_once(const Packet& packet, std::vector<Fd>& fds);
  void reply_done(uint64_t id);
  void reply_failure(uint64_t id, const Error& error, const std::vector<engine::Blocker>& blockers = {});
  void reply(uint64_t id, Result<void> result);
  wire::keeper::State state();

  // --- main thread
  void do_job(const Packet& request);
  void launch(const Packet& request);
  void checkpoint(const wire::keeper::TakeCheckpoint& request);
  void restore(const wire::keeper::Restore& request);
  void check(const Packet& request);
  void admit(const Packet& request);
  void discard(const Packet& request);
  /// The unit runs here: what is typed may reach it.
  void open_input();
  void unit_ended(const wire::ExitStatus& exit);
  void look_for_end();
  bool wait_for_work(Packet& job);
  [[nodiscard]] bool may_exit();

  // --- moves (moves.cc), main thread
  void move_out(const wire::keeper::MigrateOut& request);
  void move_in(const wire::keeper::ReceiveIn& request, uint64_t id);
  void progress(const migration::Progress& p);
  void post_move_ended(const std::string& id, const migration::Outcome& outcome, const wire::Report* report);
  void goes_on_here();
  void keep_receipt(const Handover& handover);
  /// Whom this node trusts, and what it wants said, at this moment: a keeper lives as long as its unit.
  Result<void> look_at_trust();
  Result<void> write_epoch(uint64_t epoch, const std::string& token);

  void set_phase(wire::keeper::Phase phase);
  /// Refuses a request that this phase has no place for; else takes the phase.
  Result<void> begin(std::initializer_list<wire::keeper::Phase> from, wire::keeper::Phase to);
  void queue(Packet packet);
  void wake();

  const link::KeeperArgs args_;
  NodeIdentity identity_;  // main thread
  Fd listener_;
  std::optional<Visitors> visitors_;
  Fd unit_dir_;
  Fd wake_;  // eventfd: a job was queued, or something to exit for happened
  Outbox outbox_;
  std::unique_ptr<Body> body_;
  NodeStores stores_;
  std::string why_ended_;  // main thread: set when the keeper itself ends the unit
  Feeder feeder_{[this](uint64_t id, Result<void> result) { reply(id, std::move(result)); }};

  std::mutex mutex_;
  wire::keeper::Phase phase_ = wire::keeper::EMPTY;  // guarded by mutex_, like all down to shutdown_
  uint64_t epoch_ = 0;
  std::string migration_, commit_token_, busy_, node_;
  std::string destination_name_;
  wire::UnitSpec spec_;
  std::deque<Packet> jobs_;
  std::shared_ptr<migration::Outgoing> outgoing_;
  std::shared_ptr<migration::Incoming> incoming_;
  bool shutdown_ = false;
  bool killed_ = false;
  std::jthread listening_;
  Fd stop_listening_;
};

/// Fills a wire failure from an error.
void to_wire(const Error& error, const std::vector<engine::Blocker>& blockers, wire::Failure& out);

}  // namespace godwit::keeper
