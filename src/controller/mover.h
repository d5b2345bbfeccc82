// Mover: drives migrations from planned to their end, each on a thread of its own.
//
// A move belongs to the controller, not to the command that asked for it: `godwit move` may be interrupted, the move goes
// on. And it belongs to the store, not to this process: everything that drive() does may be repeated (Prepare and Migrate
// of the same migration give the same answer or join what is in progress), so after a SIGKILL the new controller calls
// drive() on every migration that is still planned.
//
//     planned ─ Prepare(destination) ─ Migrate(source): events … report ─┬─ committed: done
//        ▲            │ refused              │ failed                    │
//        │            └──────────┬───────────┘                           └─ a daemon didn't answer for kGrace: resolve
//        └─ daemon gone: again   └─ resolve: aborted ─ Release(destination)
//
// drive() never decides who owns the unit: it asks resolve(), which a commit may have beaten. Then the move has happened,
// whatever else failed, and is reported as such.
#pragma once

#include <atomic>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "controller/ledger.h"
#include "controller/peers.h"

namespace godwit::controller {

/// One move in progress, as its watchers see it.
class Move {
 public:
  explicit Move(wire::Migration migration) : migration_(std::move(migration)) {}
  const wire::Migration& migration() const { return migration_; }

  /// Waits for the next progress after `*cursor`, or the end. False: no more progress, result() is there; or cancelled.
  bool next(size_t* cursor, wire::Progress* progress, const std::function<bool()>& cancelled);
  /// Waits for the end; empty when cancelled.
  std::optional<Outcome<wire::Report>> result(const std::function<bool()>& cancelled);

 private:
  friend class Mover;
  void add(const wire::Progress& progress);
  void end(Outcome<wire::Report> result);

  const wire::Migration migration_;
  std::mutex mutex_;
  std::condition_variable changed_;
  wire::Progress latest_;  ///< watchers need the latest, not each: a slow one must not hold memory
  size_t count_ = 0;
  std::optional<Outcome<wire::Report>> result_;
  grpc::ClientContext* running_ = nullptr;  ///< so that a stop can cancel the call
};

class Mover {
 public:
  /// `log`: with which the heads of trace lists are signed.
  Mover(Ledger& ledger, Peers& peers, const delegation::PrivateKey& log) : ledger_(ledger), peers_(peers), log_(log) {}
  ~Mover() { stop(); }
  Mover(const Mover&) = delete;
  Mover& operator=(const Mover&) = delete;

  /// Plans a move and starts to drive it.
  Outcome<std::shared_ptr<Move>> start(const std::string& unit, const std::string& to,
                                       const wire::MoveOptions& options);
  /// Takes up every migration that isn't final: once, when the controller starts.
  void resume_all();
  /// Cancels the calls; the migrations stay as they are in the store.
  void stop();

 private:
  void launch(std::shared_ptr<Move> move);
  void drive(Move& move);
  Outcome<wire::Report> run(Move& move);
  Outcome<wire::Report> attempt(Move& move);
  Outcome<std::string> passage_of(const wire::Migration& migration);
  Outcome<wire::Report> migrate(Move& move, const wire::PrepareReply& prepared);
  Outcome<wire::Report> settle(Move& move, const rpc::Failure& why);
  void release(const wire::Migration& migration);
  wire::MigrationState state_of(const std::string& migration) const;
  bool has_ended(const std::string& unit) const;
  bool arrived_whole(const wire::Migration& migration) const;

  struct Runner {
    std::shared_ptr<Move> move;
    std::thread thread;
    bool done = false;
  };
  Ledger& ledger_;
  Peers& peers_;
  const delegation::PrivateKey& log_;
  std::mutex mutex_;
  std::atomic<bool> stopping_ = false;
  std::map<std::string, Runner> runners_;  ///< by migration
};

}  // namespace godwit::controller
