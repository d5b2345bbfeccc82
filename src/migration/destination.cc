// Incoming: the destination's half of a move. Like source.cc: the table decides, perform() does, wait() listens.
//
// While the source sends, each of its messages asks for one step here and is answered when that step is done. What fails
// is told to the source after everything was removed: Aborted means that nothing is left. Once the unit is restored the
// link no longer matters: only the store's answer does, and run() does not return before it came.
#include "migration/destination_impl.h"

namespace godwit::migration {

using D = DestinationState;
using DE = DestinationEvent;
using DA = DestinationAction;
using stream::Control;

namespace {
constexpr Nanos kLookForArrival = std::chrono::milliseconds(20);
}  // namespace

Incoming::Impl::~Impl() {
  {
    const std::scoped_lock lock(mutex_);
    live_receiver_ = nullptr;
  }
  arrivals_.close();
  control_.reset();
  receiver_.reset();
}

Outcome Incoming::Impl::run() {
  if (auto r = fault::pass("destination.keeper"); !r) {
    note(std::move(r).error());
    handle(DE::kFailed);
  } else if (auto g = gather(); !g) {
    note(std::move(g).error());
    handle(DE::kFailed);
  } else {
    handle(DE::kDemands);
  }
  while (!is_final(state_)) {
    if (const auto event = wait()) handle(*event);
  }
  outcome_.committed = state_ == D::kRunning || state_ == D::kLost;
  auto& r = outcome_.report;
  r.total_ms = total_.elapsed_ms();
  if (receiver_) r.bytes_raw = receiver_->traffic().raw_bytes;
  if (receiver_) r.bytes_sent = receiver_->traffic().wire_bytes;
  r.phases = phases_.list();
  for (const auto& t : engine_.timings()) r.phases.push_back({"destination/" + t.step, t.ms});
  return std::move(outcome_);
}

void Incoming::Impl::handle(DE event) {
  follow(
      state_, event, [this](DA action) { return perform(action); },
      [this] { GODWIT_CHECK(state_ != D::kRunning || ours_, "runs without the commit"); });
}

std::optional<DE> Incoming::Impl::perform(DA action) {
  const auto done = [&](Result<void> r, std::optional<DE> good) -> std::optional<DE> {
    if (r) return good;
    note(std::move(r).error());
    return DE::kFailed;
  };
  switch (action) {
    case DA::kAdmit:
      if (auto r = admit(); !r) return done(std::move(r), std::nullopt);
      if (outcome_.blockers.empty()) return DE::kWelcome;
      note({Code::kRefused, 0, "refused: " + outcome_.blockers.front().reason});
      return DE::kRefused;
    case DA::kSendVerdict: return done(send_verdict(), std::nullopt);
    case DA::kRestore: return done(restore(), DE::kRestored);
    case DA::kAskCommit:
      delegate_.ask(nullptr);
      if (auto r = fault::pass("destination.commit"); !r) log::warn("{}", r.error().text);
      return std::nullopt;
    case DA::kSendGranted: send_granted(); return std::nullopt;
    case DA::kResume:
      if (auto r = resume(); !r) {
        note(std::move(r).error());
        return lazy_ ? std::optional(DE::kFailed) : std::nullopt;
      }
      return lazy_ && link_lost_ ? std::optional(DE::kLinkLost) : std::nullopt;
    case DA::kSendCommitted: send_committed(); return std::nullopt;
    case DA::kSendDelivered: send_delivered(); return std::nullopt;
    case DA::kLose:
      engine_.lose_late();
      if (auto r = engine_.finish_late(); !r) note(std::move(r).error());
      return std::nullopt;
    case DA::kDiscard: discard(); return std::nullopt;
    case DA::kSendAborted: send_aborted(); return std::nullopt;
    case DA::kFinish:
      asker_.close();
      control_.reset();
      return std::nullopt;
  }
  return std::nullopt;
}

std::optional<DE> Incoming::Impl::wait() {
  if (state_ == D::kArriving) {
    if (const auto what = look_for_arrival()) return what;
  }
  auto event = mailbox_.take(state_ == D::kAsking     ? plan_.patience.ask_again
                             : state_ == D::kArriving ? kLookForArrival
                                                      : std::chrono::hours(1));
  if (!event) return state_ == D::kAsking ? std::optional(DE::kTick) : std::nullopt;
  switch (event->kind) {
    case Event::Kind::kStream: return std::nullopt;
    case Event::Kind::kCancel:
      if (state_ == D::kArriving) return std::nullopt;  // too late
      if (state_ != D::kAsking) note(event->error);
      return DE::kFailed;
    case Event::Kind::kLinkLost: return on_link_lost(event->error);
    case Event::Kind::kAnswer: return on_answer(event->answer);
    case Event::Kind::kMessage: return on_message(*event->message);
  }
  return std::nullopt;
}

std::optional<DE> Incoming::Impl::on_link_lost(const Error& error) {
  if (state_ == D::kArriving && !engine_.misses_pages()) return look_for_arrival();
  // What came over a stream may have failed here, not the stream: stream 0 still carries the Aborted.
  if (error.code != Code::kPeer && (state_ == D::kChecking || state_ == D::kReceiving)) {
    note(error);
    return DE::kFailed;
  }
  if (error.code != Code::kCorrupt) link_lost_ = true;
  if (state_ == D::kChecking || state_ == D::kReceiving || state_ == D::kArriving)
    note(error.in("link to " + plan_.peer));
  return DE::kLinkLost;
}

std::optional<DE> Incoming::Impl::on_answer(const Answer& answer) {
  if (state_ != D::kAsking) return std::nullopt;
  outcome_.epoch = answer.epoch;
  outcome_.token = answer.token;
  ours_ = answer.committed;
  if (!ours_) note({Code::kFailed, 0, "the commit was denied: " + answer.reason});
  if (ours_) delegate_.granted(answer);
  phases_.add("commit", lap_.lap_ms());
  return !ours_ ? DE::kDenied : lazy_ ? DE::kGrantedLate : DE::kGranted;
}

std::optional<DE> Incoming::Impl::on_message(const Control& m) {
  if (state_ == D::kArriving) return on_late(m);
  if (state_ != D::kReceiving) return std::nullopt;  // after Complete the source has nothing to say that counts
  if (m.has_abort()) {
    note(from_wire(m.abort().failure(), outcome_.blockers).in(plan_.peer));
    return DE::kPeerAborted;
  }
  auto complete = serve(m);
  if (!complete) {
    note(std::move(complete).error());
    return DE::kFailed;
  }
  return *complete ? std::optional(DE::kComplete) : std::nullopt;
}

/// Does what a message of the source asks for; true after Complete.
Result<bool> Incoming::Impl::serve(const Control& m) {
  switch (m.body_case()) {
    case Control::kFilesOffer: TRY_DO(on_files_offer(m.files_offer())); return false;
    case Control::kFilesSent: TRY_DO(on_files_sent(m.files_sent())); return false;
    case Control::kOutline: TRY_DO(on_outline(m.outline())); return false;
    case Control::kRoundSent: TRY_DO(on_round(m.round_sent())); return false;
    case Control::kComplete: TRY_DO(on_complete(m.complete())); return true;
    default: return fail(Code::kPeer, "a message that has no place here");
  }
}

// The unit runs. Over when the engine misses nothing (or nobody is left who could), at the latest behind AllSent.
std::optional<DE> Incoming::Impl::look_for_arrival() {
  if (engine_.misses_pages()) return std::nullopt;
  if (auto r = fault::pass("destination.arriving"); !r) log::warn("{}", r.error().text);
  if (auto r = engine_.finish_late(); !r) {
    note(std::move(r).error());
    return DE::kFailed;
  }
  phases_.add("destination/late memory", lap_.lap_ms());
  {
    const std::scoped_lock lock(late_mutex_);
    expects_ = false;  // the end of the link means nothing any more
  }
  return DE::kArrived;
}

std::optional<DE> Incoming::Impl::on_late(const Control& m) {
  if (!m.has_all_sent()) return std::nullopt;
  if (auto r = receiver_->wait_mark(m.all_sent().mark()); !r) {
    note(std::move(r).error());
    return DE::kLinkLost;
  }
  if (!engine_.misses_pages()) return std::nullopt;  // wait() sees it at once
  note({Code::kPeer, 0, plan_.peer + " has sent all that it has, and pages are missing"});
  return DE::kFailed;
}

void Incoming::Impl::give_up(const std::string& why) {
  cancel(why);
  const std::scoped_lock lock(mutex_);
  if (live_receiver_ != nullptr) live_receiver_->stop();  // after Complete nothing comes on it any more
}

Incoming::Incoming(Plan plan, SSL_CTX* tls, engine::DestinationEngine& engine, DestinationFiles* files,
                   Delegate& delegate)
    : impl_(std::make_unique<Impl>(std::move(plan), tls, engine, files, delegate)) {}
Incoming::~Incoming() = default;
void Incoming::add_stream(uint32_t index, Fd socket) { impl_->add_stream(index, std::move(socket)); }
Outcome Incoming::run() { return impl_->run(); }
void Incoming::answer(const Answer& answer) { impl_->answer(answer); }
void Incoming::cancel(const std::string& why) { impl_->give_up(why); }

}  // namespace godwit::migration
