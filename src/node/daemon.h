// Daemon: the units of this machine, between the controller and the keepers. The services (service.h) stand on it.
//
// Every durable event of a keeper is handled on a thread of its own (Workers), because it may have to wait for the controller for
// as long as that is away. The event is acknowledged last: a daemon killed before that is told again (keeper.proto).
//
// Threads: all methods may be called from any. Lock order: a unit's gate, then units_mutex_, then a Unit's own.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "node/cluster.h"
#include "node/collect.h"
#include "node/images.h"
#include "node/node.h"
#include "node/place.h"
#include "node/site_limits.h"
#include "node/unit.h"
#include "node/workers.h"

namespace godwit::node {

class Daemon {
 public:
  using UnitPtr = std::shared_ptr<Unit>;

  Daemon(Options options, rpc::Identity identity);
  ~Daemon();
  Daemon(const Daemon&) = delete;
  Daemon& operator=(const Daemon&) = delete;

  /// Finds the keepers of before and takes up what they were about.
  Result<void> adopt_all();
  /// Registers and beats until stop(). `registered` is called the first time.
  void keep_registered(const std::function<void()>& registered);
  void stop();

  const Options& options() const { return options_; }
  const rpc::Identity& identity() const { return identity_; }
  const Place& place() const { return place_; }
  /// Of another site's node or unit: nothing but a refusal when that site asks for too much.
  Outcome<SiteLimits::Ticket> welcome(const std::string& site);
  Images& images() { return images_; }
  wire::NodeInfo info() const;
  std::vector<wire::UnitLoad> loads() const;
  /// Code::kNotFound when nothing of it is here.
  Outcome<UnitPtr> unit(const std::string& id) const;
  UnitPtr unit_of_migration(const std::string& migration) const;

  Outcome<wire::UnitLoad> launch(const wire::LaunchRequest& request);
  /// Waits until a unit that is being started runs, or why it doesn't: then nothing of it is left.
  Outcome<wire::UnitLoad> await_start(const UnitPtr& unit, std::chrono::milliseconds limit);
  Outcome<UnitPtr> restore(const wire::RestoreNodeRequest& request);
  Outcome<wire::PrepareReply> prepare(const wire::PrepareRequest& request);
  /// Tells the keeper to move the unit out, unless it does that already. The end is in the unit's news, or finished_move().
  Outcome<UnitPtr> migrate(const wire::MigrateRequest& request);
  /// A move out that is over: kept on disk, as the unit's directory goes with the unit.
  std::optional<wire::keeper::MoveEnded> finished_move(const std::string& migration) const;
  Outcome<void> release(const wire::ReleaseRequest& request);
  Outcome<void> discard(const wire::Disown& request);
  /// The entrance check of this node for a unit elsewhere.
  Outcome<wire::AdmitReply> admit(const wire::AdmitRequest& request);
  Outcome<void> arm(const std::string& spec);

 private:
  using Packet = wire::keeper::Packet;

  std::string units_dir() const { return options_.state_dir + "/units"; }
  std::string moves_dir() const { return options_.state_dir + "/moves"; }
  std::string unit_dir(const std::string& id) const { return units_dir() + "/" + id; }
  /// Held by who changes what a unit is here (launch, prepare, discard …): one at a time a unit.
  std::shared_ptr<std::mutex> gate(const std::string& id);
  /// A keeper in phase EMPTY for that record; nothing of an older stay is left. The gate is held.
  Outcome<UnitPtr> new_keeper(const UnitRecord& record);
  Outcome<void> make_room(const std::string& id);
  UnitPtr known(const std::string& id) const;
  /// Ends the keeper, removes the directory, forgets the unit.
  void remove(const UnitPtr& unit);

  // Events.
  void on_durable(const UnitPtr& unit, const Packet* packet);
  void handle(const UnitPtr& unit, const Packet& packet);
  void keeper_lost(const UnitPtr& unit);
  void answer_commit(const UnitPtr& unit, const wire::keeper::CommitQuestion& question);
  void answer_resolve(const UnitPtr& unit, const wire::keeper::ResolveQuestion& question);
  void unit_ended(const UnitPtr& unit, const wire::keeper::Ended& ended);
  void move_ended(const UnitPtr& unit, const wire::keeper::MoveEnded& ended, uint64_t seq);
  bool report_end(const UnitPtr& unit);
  void adopt(const std::string& id);
  void settle_dead(const UnitPtr& unit);
  void catch_up_with_commit(const UnitPtr& unit);
  void forget_old_moves() const;
  void settle_commits();
  void refresh_units();
  void add_activity(wire::NodeLoad& load, google::protobuf::RepeatedPtrField<wire::UnitLoad>& units);
  void add_notice(wire::NodeLoad& load);
  void add_receiving(google::protobuf::RepeatedPtrField<wire::ReleaseRequest>& rows) const;

  const Options options_;
  const rpc::Identity identity_;
  const Place place_;
  SiteLimits limits_;
  Cluster cluster_;
  Images images_;
  Collector collector_;  ///< keep_registered()'s
  int64_t notice_ = 0;  ///< id of the last one that was logged; keep_registered()'s
  mutable std::mutex units_mutex_;
  std::map<std::string, UnitPtr> units_;
  std::map<std::string, std::shared_ptr<std::mutex>> gates_;
  mutable std::mutex fault_mutex_;
  std::string fault_;
  Workers workers_;
};

}  // namespace godwit::node
