#include "controller/mover.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/base.h"
#include "base/pki.h"
#include "controller/delegated.h"
#include "controller/token.h"

namespace godwit::controller {
namespace {

using std::chrono::milliseconds;

// How long a daemon that doesn't answer is waited for before the move is given up: long enough for it to be started
// again by systemd or a test, short enough for a user.
constexpr milliseconds kGrace{10'000};
constexpr milliseconds kPause{250};
constexpr milliseconds kPrepareLimit{20'000};
// After the commit the source only has its report to give; the user needn't wait long for a table.
constexpr milliseconds kReportLimit{5'000};
constexpr milliseconds kStatusLimit{1'000};

bool is_lost(const rpc::Failure& f) { return f.error.code == Code::kPeer || f.error.code == Code::kGone; }

}  // namespace

// ------------------------------------------------------------------------------------------------------- the watchers

void Move::add(const wire::Progress& progress) {
  const std::lock_guard lock(mutex_);
  latest_ = progress;
  ++count_;
  changed_.notify_all();
}

void Move::end(Outcome<wire::Report> result) {
  const std::lock_guard lock(mutex_);
  result_ = std::move(result);
  changed_.notify_all();
}

bool Move::next(size_t* cursor, wire::Progress* progress, const std::function<bool()>& cancelled) {
  std::unique_lock lock(mutex_);
  while (count_ == *cursor && !result_) {
    if (cancelled()) return false;
    changed_.wait_for(lock, kPause);
  }
  if (count_ == *cursor) return false;
  *cursor = count_;
  *progress = latest_;
  return true;
}

std::optional<Outcome<wire::Report>> Move::result(const std::function<bool()>& cancelled) {
  std::unique_lock lock(mutex_);
  while (!result_) {
    if (cancelled()) return std::nullopt;
    changed_.wait_for(lock, kPause);
  }
  return result_;
}

// ------------------------------------------------------------------------------------------------------- the threads

Outcome<std::shared_ptr<Move>> Mover::start(const std::string& unit, const std::string& to,
                                            const wire::MoveOptions& options) {
  TRY(const MovePlan plan, ledger_.decide([&](const State& s, const Now& now) -> Outcome<MovePlan> {
    TRY(const wire::Unit found, find_unit(s, unit));
    return plan_move(s, now, found, to, options, pki::random_hex(8));
  }));
  log::info("move planned migration={} unit={} from={} to={} epoch={}", plan.migration.id(), plan.migration.unit(),
            plan.migration.from(), to, plan.migration.epoch());
  if (auto passed = fault::pass("controller.planned"); !passed) {
    (void)ledger_.decide([&](const State& s, const Now&) {
      wire::ResolveRequest request;
      request.set_migration(plan.migration.id());
      return resolve(s, request, passed.error().message());
    });
    return std::unexpected(rpc::Failure{passed.error().as(Code::kFailed), {}});
  }
  auto move = std::make_shared<Move>(plan.migration);
  launch(move);
  return move;
}

void Mover::resume_all() {
  const auto open = ledger_.read([](const State& s, const Now&) {
    std::vector<wire::Migration> all;
    for (const auto& [unit, id] : s.open_moves) all.push_back(s.migrations.at(id));
    return all;
  });
  for (const auto& migration : open) {
    log::info("move taken up again migration={} unit={}", migration.id(), migration.unit());
    launch(std::make_shared<Move>(migration));
  }
}

void Mover::launch(std::shared_ptr<Move> move) {
  const std::lock_guard lock(mutex_);
  if (stopping_) return move->end(failure(Code::kPeer, "the controller is ending"));
  for (auto it = runners_.begin(); it != runners_.end();) {
    if (it->second.done) {
      it->second.thread.join();
      it = runners_.erase(it);
    } else {
      ++it;
    }
  }
  const std::string id = move->migration().id();
  Runner& runner = runners_[id];
  runner.move = move;
  runner.thread = std::thread([this, move, id] {
    drive(*move);
    const std::lock_guard done_lock(mutex_);
    runners_[id].done = true;
  });
}

void Mover::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    for (auto& [id, runner] : runners_) {
      const std::lock_guard move_lock(runner.move->mutex_);
      if (runner.move->running_) runner.move->running_->TryCancel();
    }
  }
  for (auto& [id, runner] : runners_)
    if (runner.thread.joinable()) runner.thread.join();
  runners_.clear();
}

// ---------------------------------------------------------------------------------------------------------- the move

wire::MigrationState Mover::state_of(const std::string& migration) const {
  return ledger_.read([&](const State& s, const Now&) {
    const auto it = s.migrations.find(migration);
    return it == s.migrations.end() ? wire::ABORTED : it->second.state();
  });
}

bool Mover::has_ended(const std::string& unit) const {
  return ledger_.read([&](const State& s, const Now&) {
    const auto it = s.units.find(unit);
    return it == s.units.end() || it->second.state() == wire::EXITED;
  });
}

/// A lazy move's source can't always know whether the last page arrived; the destination does. False when the unit ended for
/// want of memory, or nothing is heard of it for too long.
bool Mover::arrived_whole(const wire::Migration& m) const {
  const auto stopping = [this] { return stopping_.load(); };
  const Stopwatch silence;
  while (!stopping() && silence.elapsed_ms() < static_cast<double>(kReportLimit.count())) {
    const auto unit = ledger_.read([&](const State& s, const Now&) { return find_unit(s, m.unit()); });
    if (!unit || unit->epoch() != m.epoch() + 1) return false;  // something else has happened to it since
    if (unit->state() == wire::EXITED) return unit->exit().reason().empty();  // by itself, or for want of memory
    if (const auto node = peers_.node(m.to())) {
      grpc::ClientContext context;
      limit(context, kStatusLimit);
      wire::StatusReply reply;
      const bool told = (*node)->Status(&context, {}, &reply).ok();
      const bool whole = std::ranges::any_of(reply.units(), [&](const wire::UnitLoad& u) {
        return u.unit() == m.unit() && u.epoch() == unit->epoch() && u.state() == wire::RUNNING && !u.arriving();
      });
      if (told && whole) return true;
    }
    (void)ledger_.wait([&](const State&, const Now&) { return false; }, kPause, stopping);
  }
  return false;
}

void Mover::drive(Move& move) {
  auto result = run(move);
  if (result) {
    wire::Report report = *result;
    const auto& m = move.migration();
    report.set_migration(m.id());
    report.set_unit(m.unit());
    report.set_from(m.from());
    report.set_to(m.to());
    report.set_epoch(m.epoch() + 1);
    (void)ledger_.decide([&](const State& s, const Now&) {
      Changes changes;
      changes.durable = false;  // a lost report is a lost table, no more
      if (const auto it = s.migrations.find(m.id()); it != s.migrations.end()) {
        wire::Migration reported = it->second;
        *reported.mutable_report() = report;
        changes.migrations.push_back(reported);
      }
      return changes;
    });
    const bool without_end = m.options().mode() == wire::LAZY && (!report.lost().empty() || report.total_ms() == 0);
    if (without_end && arrived_whole(m)) {
      report.clear_lost();
    } else if (without_end) {
      log::warn("move without an end migration={} unit={}: {}", m.id(), m.unit(), report.lost());
      return move.end(failure(Code::kFailed, report.lost().empty()
                                                 ? "the unit was moved, but node " + m.from() +
                                                       " has no report: if memory was still there, the unit has ended"
                                                 : report.lost()));
    }
    log::info("move done migration={} unit={} to={} downtime_ms={:.2f} total_ms={:.1f}", m.id(), m.unit(), m.to(),
              report.downtime_ms(), report.total_ms());
    return move.end(report);
  }
  log::warn("move failed migration={} unit={}: {}", move.migration().id(), move.migration().unit(),
            result.error().error.message());
  move.end(std::move(result));
}

/// Attempts until it is final or a daemon stayed away for too long.
Outcome<wire::Report> Mover::run(Move& move) {
  Stopwatch silence;
  for (;;) {
    auto done = attempt(move);
    if (done) return done;
    const bool committed = state_of(move.migration().id()) == wire::COMMITTED;
    const bool ended = !committed && has_ended(move.migration().unit());  // nobody is left to be moved
    if (!is_lost(done.error()) || ended) return settle(move, done.error());
    const milliseconds patience = committed ? kReportLimit : kGrace;
    if (silence.elapsed_ms() > static_cast<double>(patience.count())) return settle(move, done.error());
    const auto stopping = [this] { return stopping_.load(); };
    if (stopping()) return done;
    (void)ledger_.wait([](const State&, const Now&) { return false; }, kPause, stopping);
  }
}

Outcome<wire::Report> Mover::attempt(Move& move) {
  const wire::Migration& m = move.migration();
  wire::PrepareReply prepared;
  if (state_of(m.id()) == wire::ABORTED)  // one of the two nodes has resolved it meanwhile
    return failure(Code::kFailed, ledger_.read([&](const State& s, const Now&) {
      const auto it = s.migrations.find(m.id());
      return it == s.migrations.end() ? std::string("aborted") : it->second.error();
    }));
  // Once committed, the destination has nothing to prepare; only the source's report is missing.
  if (state_of(m.id()) == wire::PLANNED) {
    TRY(const auto destination, peers_.node(m.to()));
    wire::PrepareRequest request;
    request.set_migration(m.id());
    request.set_unit(m.unit());
    request.set_epoch(m.epoch());
    request.set_source(m.from());
    *request.mutable_options() = m.options();
    *request.mutable_spec() = ledger_.read([&](const State& s, const Now&) {
      const auto it = s.units.find(m.unit());
      return it == s.units.end() ? wire::UnitSpec{} : it->second.spec();
    });
    TRY(*request.mutable_passage(), passage_of(m));
    grpc::ClientContext context;
    limit(context, kPrepareLimit);
    if (const auto status = destination->Prepare(&context, request, &prepared); !status.ok()) {
      auto why = rpc::failure_of(status);
      why.error = why.error.in("node " + m.to());
      return std::unexpected(std::move(why));
    }
  }
  return migrate(move, prepared);
}

Outcome<std::string> Mover::passage_of(const wire::Migration& migration) {
  auto text = ledger_.read([&](const State& s, const Now& now) { return passage(s, now, migration, log_); });
  if (!text) return std::unexpected(rpc::Failure{text.error(), {}});
  return *std::move(text);
}

Outcome<wire::Report> Mover::migrate(Move& move, const wire::PrepareReply& prepared) {
  const wire::Migration& m = move.migration();
  TRY(const auto source, peers_.node(m.from()));
  wire::MigrateRequest request;
  request.set_migration(m.id());
  request.set_unit(m.unit());
  request.set_epoch(m.epoch());
  request.set_destination(m.to());
  request.set_endpoint(prepared.endpoint());
  request.set_token(prepared.token());
  *request.mutable_options() = m.options();
  if (state_of(m.id()) == wire::PLANNED) {
    TRY(*request.mutable_passage(), passage_of(m));
  }
  grpc::ClientContext context;
  {
    const std::lock_guard lock(move.mutex_);
    move.running_ = &context;
  }
  const auto stream = source->Migrate(&context, request);
  // Once the migration is final the source has only its report left to give; a user doesn't wait for ever for that.
  // Memory of a lazy move follows after it, for as long as it takes: progress is a sign of life.
  std::atomic<bool> over = false;
  std::atomic<uint64_t> heard = 0;
  std::thread watch([&] {
    const auto is_over = [&] { return over.load(); };
    (void)ledger_.wait(
        [&](const State& s, const Now&) {
          const auto it = s.migrations.find(m.id());
          return it == s.migrations.end() || it->second.state() != wire::PLANNED;
        },
        std::chrono::hours(24 * 365), is_over);
    for (uint64_t before = 0; !over; before = heard) {
      (void)ledger_.wait([&](const State&, const Now&) { return is_over(); }, kReportLimit, is_over);
      if (heard == before) break;
    }
    if (!over) context.TryCancel();
  });
  std::optional<wire::Report> report;
  wire::MoveEvent event;
  while (stream->Read(&event)) {
    heard++;
    if (event.has_progress()) move.add(event.progress());
    if (event.has_report()) report = event.report();
  }
  const grpc::Status status = stream->Finish();
  over = true;
  ledger_.wake();
  watch.join();
  {
    const std::lock_guard lock(move.mutex_);
    move.running_ = nullptr;
  }
  if (!status.ok()) {
    auto why = rpc::failure_of(status);
    why.error = why.error.in("node " + m.from());
    return std::unexpected(std::move(why));
  }
  // The source says that it is done; only the store's word counts.
  if (state_of(m.id()) != wire::COMMITTED) return failure(Code::kFailed, "the source ended the move without a commit");
  return report.value_or(wire::Report{});
}

/// Gives the move up, unless it has been committed: then it has happened.
Outcome<wire::Report> Mover::settle(Move& move, const rpc::Failure& why) {
  const wire::Migration& m = move.migration();
  wire::ResolveRequest request;
  request.set_migration(m.id());
  for (;;) {
    auto verdict = ledger_.decide([&](const State& s, const Now&) { return resolve(s, request, why.error.message()); });
    if (verdict && verdict->reply.state() == wire::COMMITTED) return wire::Report{};
    if (verdict) break;
    const auto stopping = [this] { return stopping_.load(); };
    if (stopping()) return std::unexpected(verdict.error());
    log::warn("migration {} can't be resolved yet: {}", m.id(), verdict.error().error.message());
    (void)ledger_.wait([](const State&, const Now&) { return false; }, kPause * 4, stopping);
  }
  release(m);
  rpc::Failure told = why;
  if (why.error.code != Code::kRefused)
    told.error = Error{why.error.code == Code::kChanged ? Code::kChanged : Code::kFailed, 0,
                       why.error.message() + (has_ended(m.unit()) ? "; nothing was moved, the unit is at its end"
                                                                  : "; rolled back: the unit runs on where it was")};
  return std::unexpected(std::move(told));
}

void Mover::release(const wire::Migration& migration) {
  auto destination = peers_.node(migration.to());
  if (!destination) return;
  wire::ReleaseRequest request;
  request.set_migration(migration.id());
  request.set_unit(migration.unit());
  grpc::ClientContext context;
  limit(context, milliseconds(2000));
  wire::Empty reply;
  // A destination that can't be told now asks resolve itself and drops its keeper then.
  (void)(*destination)->Release(&context, request, &reply);
}

}  // namespace godwit::controller
