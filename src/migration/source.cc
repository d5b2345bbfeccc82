// Outgoing: the source's half of a move. The table in machine.cc says what happens next; here is how it is done.
//
// perform() carries out one action and may raise the next event itself (connecting, pre-copy and capture are done in one
// go and end in kConverged, kCaptured, kFailed …); between actions run() waits in the mailbox. A step that has to wait
// for the destination's reply does so in expect(), which turns whatever else comes (a cut, an Aborted, a cancel, silence)
// into the event that it means, left in `why_` for the caller at the top.
#include "migration/source_impl.h"

namespace godwit::migration {

using S = SourceState;
using SE = SourceEvent;
using SA = SourceAction;
using stream::Control;

namespace {
constexpr Nanos kReason = std::chrono::seconds(2);
constexpr Nanos kReasonFrozen = std::chrono::milliseconds(300);
}  // namespace

// Invariants of machine.h that can be seen from here.
void Outgoing::Impl::assert_state() const {
  const bool stands =
      state_ == S::kFrozen || state_ == S::kTransferred || state_ == S::kAsking || state_ == S::kServing;
  GODWIT_CHECK(!frozen_ || stands, "the unit is frozen in a state in which it runs");
  GODWIT_CHECK(state_ != S::kTransferred || completed_at_ != Nanos{}, "transferred without a Complete");
}

Outcome Outgoing::Impl::run() {
  handle(SE::kStart);
  while (!is_final(state_)) {
    if (const auto event = wait_for_word()) handle(*event);
  }
  outcome_.committed = state_ == S::kGone;
  finish();
  return std::move(outcome_);
}

void Outgoing::Impl::handle(SE event) {
  follow(
      state_, event, [this](SA action) { return perform(action); },
      [this] {
        if (state_ != S::kFrozen) assert_state();
      });
}

std::optional<SE> Outgoing::Impl::perform(SA action) {
  const auto done = [&](Result<void> r, std::optional<SE> good) -> std::optional<SE> {
    if (r) return good;
    if (action == SA::kPrecopy || action == SA::kCapture) hear_reason(r.error());
    note(std::move(r).error());
    return std::exchange(why_, SE::kFailed);
  };
  switch (action) {
    case SA::kConnect: return done(connect(), std::nullopt);
    case SA::kPrecopy: return done(precopy(), SE::kConverged);
    case SA::kCapture: return done(capture(), SE::kCaptured);
    case SA::kSendComplete: return done(send_complete(), std::nullopt);
    case SA::kAskResolve: delegate_.ask(outcome_.error ? &*outcome_.error : nullptr); return std::nullopt;
    case SA::kServe: return done(serve(), SE::kDelivered);
    case SA::kSendAbort: send_abort(); return std::nullopt;
    case SA::kThaw: thaw(); return std::nullopt;
    case SA::kDiscard: return done(discard(), std::nullopt);
    case SA::kFinish: hang_up(); return std::nullopt;
  }
  return std::nullopt;
}

std::optional<SE> Outgoing::Impl::meaning(Event& event) {
  switch (event.kind) {
    case Event::Kind::kLinkLost:
      link_lost_ = true;
      if (granted_ && !lazy_) return SE::kPeerCommitted;
      note(event.error.in("link to " + plan_.peer));
      return SE::kLinkLost;
    case Event::Kind::kCancel: note(event.error); return SE::kFailed;
    case Event::Kind::kAnswer:
      outcome_.epoch = event.answer.epoch;
      outcome_.token = event.answer.token;
      if (!event.answer.committed) note({Code::kFailed, 0, "the move was aborted: " + event.answer.reason});
      if (event.answer.committed && lazy_ && !link_lost_) return SE::kPeerTook;
      return event.answer.committed ? SE::kAnswerCommitted : SE::kAnswerAborted;
    case Event::Kind::kStream: return std::nullopt;
    case Event::Kind::kMessage: return meaning_of_message(event);
  }
  return std::nullopt;
}

std::optional<SE> Outgoing::Impl::meaning_of_message(const Event& event) {
  const Control& m = *event.message;
  if (m.has_aborted()) {
    note(from_wire(m.aborted().failure(), outcome_.blockers).in(plan_.peer));
    return SE::kPeerAborted;
  }
  if (m.has_delivered() && state_ == S::kServing) {
    delivered_ = true;
    return std::nullopt;
  }
  const bool waits = state_ == S::kTransferred || state_ == S::kAsking;
  if (m.has_granted() && lazy_ && (waits || state_ == S::kServing)) {
    granted_ = true;
    outcome_.epoch = m.granted().epoch();
    outcome_.token = m.granted().token();
    return SE::kPeerTook;
  }
  if (m.has_granted() && waits) {
    // From here on this is the state of a committed move that only waits for the destination's part of the report.
    granted_ = true;
    outcome_.epoch = m.granted().epoch();
    outcome_.token = m.granted().token();
    if (auto r = engine_.discard(); !r) log::error("move {}: discard failed: {}", plan_.migration, r.error().message());
    return std::nullopt;
  }
  if (m.has_committed() && (waits || state_ == S::kServing)) return take_committed(event);
  if (state_ == S::kChecking && m.has_verdict()) {
    for (const auto& b : m.verdict().blockers()) outcome_.blockers.push_back(from_wire(b));
    phases_.add("entrance check", lap_.lap_ms());
    if (outcome_.blockers.empty()) return SE::kWelcome;
    note({Code::kRefused, 0, plan_.peer + " refused: " + outcome_.blockers.front().reason});
    return SE::kRefused;
  }
  note({Code::kPeer, 0, plan_.peer + " sent a message that has no place here"});
  hang_up();
  link_lost_ = true;
  return SE::kLinkLost;
}

SE Outgoing::Impl::take_committed(const Event& event) {
  const Control& m = *event.message;
  outcome_.epoch = m.committed().epoch();
  outcome_.token = m.committed().token();
  // When it came: until it is looked at, the frozen copy is being destroyed, which a GiB takes 30 ms.
  running_at_ = event.at;
  const double since = Millis(running_at_ - completed_at_).count();
  for (const auto& p : m.committed().phases()) their_ms_ += p.name().find('/') == std::string::npos ? p.ms() : 0;
  phases_.add("transfer", std::max(0.0, since - their_ms_));
  for (const auto& p : m.committed().phases()) phases_.add(p.name(), p.ms());
  if (lazy_) {
    runs_there_ = true;
    outcome_.report.downtime_ms = Millis(running_at_ - frozen_at_).count();
    return SE::kPeerTook;
  }
  return SE::kPeerCommitted;
}

void Outgoing::Impl::hear_reason(const Error& error) {
  if (error.code != Code::kPeer || why_ != SE::kFailed) return;
  const Nanos deadline = monotonic_now() + (frozen_ ? kReasonFrozen : kReason);
  while (auto event = mailbox_.take(std::max(deadline - monotonic_now(), Nanos(0)))) {
    const bool aborted = event->kind == Event::Kind::kMessage && event->message->has_aborted();
    if (!aborted && event->kind != Event::Kind::kLinkLost) continue;
    if (!aborted) note(error);  // it says the same from the other end
    why_ = meaning(*event).value_or(SE::kFailed);
    return;
  }
}

Result<Control> Outgoing::Impl::expect(Control::BodyCase kind, Nanos patience) {
  const Nanos deadline = monotonic_now() + patience;
  for (;;) {
    auto event = mailbox_.take(deadline - monotonic_now());
    if (!event) {
      link_lost_ = true;
      why_ = SE::kLinkLost;
      return fail(Code::kPeer, plan_.peer + " did not answer in time");
    }
    if (event->kind == Event::Kind::kMessage && event->message->body_case() == kind) return std::move(*event->message);
    if (const auto what = meaning(*event)) {
      why_ = *what;
      return std::unexpected(outcome_.error.value_or(Error{Code::kFailed, 0, "given up"}));
    }
  }
}

// Between actions: in kChecking for the verdict, in kTransferred for the destination's word, in kAsking for anybody's.
std::optional<SE> Outgoing::Impl::wait_for_word() {
  Nanos patience = plan_.reply;
  if (state_ == S::kTransferred) patience = completed_at_ + plan_.verdict - monotonic_now();
  if (state_ == S::kAsking) patience = plan_.patience.ask_again;
  auto event = mailbox_.take(std::max(patience, Nanos(0)));
  if (event) {
    const auto what = meaning(*event);
    if (what == SE::kPeerCommitted || what == SE::kPeerTook || what == SE::kPeerAborted) {
      // The unit already runs there (or never will): a failure armed here can change nothing, a kill can.
      if (auto r = fault::pass("source.verdict"); !r) log::warn("{}", r.error().text);
    }
    return what;
  }
  if (state_ == S::kAsking) return SE::kTick;
  note({Code::kPeer, 0, plan_.peer + " did not answer in time"});
  return SE::kLinkLost;
}

Outgoing::Outgoing(Plan plan, std::string endpoint, SSL_CTX* tls, engine::SourceEngine& engine, SourceFiles* files,
                   Delegate& delegate)
    : impl_(std::make_unique<Impl>(std::move(plan), std::move(endpoint), tls, engine, files, delegate)) {}
Outgoing::~Outgoing() = default;
Outcome Outgoing::run() { return impl_->run(); }
bool Outgoing::frozen() const { return impl_->frozen(); }
void Outgoing::answer(const Answer& answer) { impl_->answer(answer); }
void Outgoing::cancel(const std::string& why) { impl_->cancel(why); }

}  // namespace godwit::migration
