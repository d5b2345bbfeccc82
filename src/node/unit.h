// Unit: what this daemon knows of one unit that has a keeper, or had one, here.
//
// Its record (STATE/units/ID/unit.json) is written before what it says is acted on, so that a daemon that is killed
// finds out where it was. All else comes from the keeper.
//
// Threads: all methods may be called from any.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>

#include "base/result.h"
#include "godwit/control.pb.h"
#include "node/cluster.h"
#include "node/keeper.h"

namespace godwit::node {

struct UnitRecord {
  std::string unit;
  uint64_t epoch = 0;         ///< that this node was given; 0: none yet (destination of a move)
  std::string token;          ///< the controller's proof of it
  std::string migration;      ///< by which it comes here; empty once it is here, or when it was launched here
  uint64_t source_epoch = 0;  ///< with migration
  std::string receive_token;  ///< with migration: what the source must show
  bool ended = false;
  int status = 0;             ///< how it ended
  int signal = 0;
  int64_t ended_ms = 0;
  std::string progress;       ///< where its progress shows: UnitSpec's
  std::string reason;         ///< why Godwit ended it; empty when it didn't
};
Result<void> save_record(const std::string& dir, const UnitRecord& record);
Result<UnitRecord> load_record_of(const std::string& dir);

class Unit {
 public:
  using Packet = wire::keeper::Packet;
  /// Takes durable events, on a keeper's reader thread; a null packet: the keeper is gone.
  using Durable = std::function<void(const std::shared_ptr<Unit>&, const Packet*)>;

  Unit(UnitRecord record, std::string dir) : dir_(std::move(dir)), record_(std::move(record)) {}

  const std::string& dir() const { return dir_; }
  std::string log_path() const { return dir_ + "/out.log"; }
  UnitRecord record() const;
  /// Changes the record. What the disk has no room for holds all the same: save() tries again.
  void change(const std::function<void(UnitRecord&)>& edit);
  /// Writes the record if it isn't on disk as it is.
  void save();

  /// Connects to the keeper in its directory.
  Result<void> attach_keeper(const std::shared_ptr<Unit>& self, Durable durable);
  /// Null when it has none (any more).
  std::shared_ptr<Keeper> keeper() const;
  /// The keeper, or why there is none: for calls that need one.
  Outcome<std::shared_ptr<Keeper>> need_keeper() const;
  void drop_keeper();
  /// Nothing of it is here any more; who waits for it is woken.
  void set_gone();
  bool gone() const;

  /// Asks the keeper for its present state and writes the record; nothing while another thread does.
  void refresh();

  /// What the controller and heartbeats are told; nothing while it isn't (yet) a unit here.
  std::optional<wire::UnitLoad> load() const;

  // What came from the keeper and somebody may wait for.
  struct News {
    uint64_t progress_count = 0;
    wire::Progress progress;
    std::optional<wire::keeper::Launched> launched;
    std::optional<wire::keeper::Ended> ended;
    std::map<std::string, wire::keeper::MoveEnded> moves;  ///< by migration
    std::map<uint32_t, wire::keeper::Checkpointed> checkpoints;
    bool keeper_lost = false;
    bool gone = false;
  };
  /// Waits until `wanted` holds of the news or the time is over; gives what it found.
  bool wait(std::chrono::milliseconds limit, const std::function<bool(const News&)>& wanted) const;
  News news() const;
  void tell(const std::function<void(News&)>& edit);

  /// The commit was granted: the record isn't enough, as the keeper may not have acted on it yet.
  void set_committed(uint64_t epoch, const std::string& token);

  /// A call for the commit of the move in progress, until it is taken.
  void keep(std::unique_ptr<OpenCommit> call);
  std::unique_ptr<OpenCommit> take_commit();

 private:
  void on_event(const std::shared_ptr<Unit>& self, const Packet* packet, const Durable& durable);

  const std::string dir_;
  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  UnitRecord record_;
  bool unsaved_ = false;
  std::atomic<bool> refreshing_ = false;
  std::shared_ptr<Keeper> keeper_;
  News news_;
  std::unique_ptr<OpenCommit> commit_;
  std::set<uint64_t> seen_;  ///< durable events of this connection: each is handled once
};

}  // namespace godwit::node
