// Outgoing: the source's half of a move. The table in machine.cc says what happens next; here is how it is done.
//
// perform() carries out one action and may raise the next event itself (connecting, pre-copy and capture are done in one
// go and end in kConverged, kCaptured, kFailed …); between actions run() waits in the mailbox. A step that has to wait
// for the destination's reply does so in expect(), which turns whatever else comes (a cut, an Aborted, a cancel, silence)
// into the event that it means, left in `why_` for the caller at the top.
#include <sys/socket.h>

#include <atomic>
#include <cerrno>

#include "base/base.h"
#include "link/link.h"
#include "migration/late.h"
#include "migration/machine.h"
#include "migration/session.h"

namespace godwit::migration {

using S = SourceState;
using SE = SourceEvent;
using SA = SourceAction;
using stream::Control;

namespace {
constexpr int kInspections = 10;
constexpr Nanos kInspectAgain = std::chrono::milliseconds(5);
constexpr Nanos kReason = std::chrono::seconds(2);
constexpr Nanos kReasonFrozen = std::chrono::milliseconds(300);
}  // namespace

class Outgoing::Impl {
 public:
  Impl(Plan plan, std::string endpoint, SSL_CTX* tls, engine::SourceEngine& engine, SourceFiles* files,
       Delegate& delegate)
      : plan_(std::move(plan)),
        endpoint_(std::move(endpoint)),
        tls_(tls),
        engine_(engine),
        files_(files),
        delegate_(delegate) {}
  ~Impl() { hang_up(); }

  Outcome run();
  Mailbox mailbox_;
  std::atomic<bool> frozen_{false};

 private:
  void handle(SE event);
  std::optional<SE> perform(SA action);
  std::optional<SE> wait_for_word();

  Result<void> connect();
  Result<std::unique_ptr<TlsStream>> open_stream(uint32_t index);
  Result<void> precopy();
  Result<void> send_files();
  Result<void> refuse_for(std::vector<engine::Blocker> blockers);
  Result<void> rounds();
  Result<void> offer_outline(const std::string& outline, Nanos patience);
  Result<void> capture();
  Result<void> send_complete();
  Result<void> serve();
  Result<void> hear(Nanos timeout);
  Result<void> discard();
  void hang_up();
  void finish();

  /// Waits for a reply of this kind; anything else ends the step and is left in why_.
  Result<Control> expect(Control::BodyCase kind, Nanos patience);
  /// What an event that isn't a reply means; nothing when it has no meaning here.
  std::optional<SE> meaning(Event& event);
  /// A stream that broke under what was being sent: why the destination gave up comes on stream 0, after it has removed
  /// all. Waits a moment for that; what it says counts in the place of `error`.
  void hear_reason(const Error& error);
  void note(Error error) {
    if (!outcome_.error) outcome_.error = std::move(error);
  }
  void report(const char* step, uint64_t done, uint64_t total) {
    delegate_.progress({step, done, total, outcome_.report.rounds});
  }
  void assert_state() const;

  const Plan plan_;
  const std::string endpoint_;
  SSL_CTX* const tls_;
  engine::SourceEngine& engine_;
  SourceFiles* const files_;
  Delegate& delegate_;

  S state_ = S::kPlanned;
  SE why_ = SE::kFailed;
  bool link_lost_ = false;
  std::vector<std::unique_ptr<TlsStream>> data_;
  std::unique_ptr<ControlLink> control_;
  std::unique_ptr<PageSender> sender_;
  uint64_t mark_ = 0;
  uint32_t outlines_ = 0;
  std::string demands_;
  std::string outline_;  // the last one that the destination has prepared
  std::string state_bytes_, files_bytes_;
  Nanos frozen_at_{}, completed_at_{}, running_at_{};
  double their_ms_ = 0;  // of the time since Complete, what the destination spent
  Phases phases_;
  Stopwatch total_, lap_;
  Outcome outcome_;
  bool granted_ = false;  // the destination said that the commit is its
  const bool lazy_ = plan_.mode == Mode::kLazy;
  LateServer late_;
  std::string later_bytes_;
  bool runs_there_ = false, delivered_ = false;
};

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
  for (bool more = true; more;) {
    const auto st = step(state_, event);
    if (!st.known) return;
    log::debug("move {}: {} -> {}", plan_.migration, name(state_), name(st.next));
    state_ = st.next;
    more = false;
    for (const SA action : st.actions) {
      if (const auto raised = perform(action)) {
        event = *raised;
        more = true;
      }
    }
    if (state_ != S::kFrozen) assert_state();
  }
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
    case SA::kSendAbort: {
      Control m;
      to_wire(outcome_.error.value_or(Error{Code::kFailed, 0, "given up"}), {}, *m.mutable_abort()->mutable_failure());
      if (control_ && !link_lost_ && control_->send(m)) control_->linger(std::chrono::milliseconds(500));
      return std::nullopt;
    }
    case SA::kThaw: {
      late_.close();
      const auto thawed = engine_.thaw();
      if (!thawed) log::error("move {}: thaw failed: {}", plan_.migration, thawed.error().message());
      frozen_ = false;
      return std::nullopt;
    }
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
    case Event::Kind::kMessage: break;
  }
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
  if (m.has_committed() && (waits || state_ == S::kServing)) {
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

Result<std::unique_ptr<TlsStream>> Outgoing::Impl::open_stream(uint32_t index) {
  TRY(Fd socket, dial(endpoint_, plan_.patience.handshake));
  const auto preamble = link::encode({plan_.migration, index, plan_.data_streams + 1});
  // Into the empty buffer of a fresh connection: all of it fits.
  if (::send(socket.get(), preamble.data(), preamble.size(), MSG_NOSIGNAL) != std::ssize(preamble)) {
    return std::unexpected(Error{Code::kPeer, errno, "preamble to " + endpoint_});
  }
  TRY(auto tls,
      TlsStream::handshake(std::move(socket), tls_, pki::Side::kClient, plan_.peer, plan_.patience.handshake));
  TRY_DO(send_token(*tls, plan_.token, plan_.patience.handshake));
  return tls;
}

Result<void> Outgoing::Impl::connect() {
  GODWIT_FAULT_POINT("source.keeper");
  if (plan_.data_streams < 1 || plan_.data_streams >= link::kMaxStreams) return fail(Code::kUsage, "number of streams");
  report("pre-migration", 0, 0);
  // A fork or exec in progress may look like something that can't be moved: what stays is what counts.
  TRY(engine::Inspection found, engine_.inspect());
  for (int tries = 0; !found.blockers.empty() && tries < kInspections; tries++) {
    if (mailbox_.take(kInspectAgain)) return fail(Code::kFailed, "the move was cancelled");
    TRY(found, engine_.inspect());
  }
  TRY_DO(refuse_for(std::move(found.blockers)));
  TRY(auto control, open_stream(0));
  for (uint32_t i = 1; i <= plan_.data_streams; i++) {
    TRY(auto data, open_stream(i));
    data_.push_back(std::move(data));
  }
  std::vector<TlsStream*> lanes;
  for (auto& s : data_) lanes.push_back(s.get());
  sender_ = std::make_unique<PageSender>(lanes, PageSender::Options{plan_.zstd_level, plan_.patience.stall});
  control_ = std::make_unique<ControlLink>(
      std::move(control), mailbox_, plan_.patience,
      [this] {
        for (auto& s : data_) s->cancel();  // a worker that waits on a dead link stops waiting
      },
      [this](ControlLink& link, const Control& m) { return late_.handle(link, m); });
  GODWIT_FAULT_POINT("source.connected");
  outline_ = std::move(found.outline);
  demands_ = found.demands;
  outcome_.report.memory_bytes = found.memory_bytes;
  Control m;
  auto& hello = *m.mutable_hello();
  hello.set_version(kProtocolVersion);
  hello.set_migration(plan_.migration);
  hello.set_unit(plan_.unit);
  hello.set_epoch(plan_.epoch);
  hello.set_data_streams(plan_.data_streams);
  hello.set_mode(plan_.mode == Mode::kStop ? wire::STOP : lazy_ ? wire::LAZY : wire::LIVE);
  hello.set_demands(found.demands);
  hello.set_memory_bytes(found.memory_bytes);
  hello.set_files(files_ != nullptr);
  phases_.add("pre-migration", lap_.lap_ms());
  return control_->send(m);
}

Result<void> Outgoing::Impl::precopy() {
  TRY_DO(send_files());
  std::string first;
  std::swap(first, outline_);  // nothing is prepared yet
  TRY_DO(offer_outline(first, plan_.reply));
  if (plan_.mode == Mode::kLive) TRY_DO(rounds());
  phases_.add("precopy", lap_.lap_ms());
  return {};
}

Result<void> Outgoing::Impl::refuse_for(std::vector<engine::Blocker> blockers) {
  if (blockers.empty()) return {};
  outcome_.blockers = std::move(blockers);
  return fail(Code::kRefused, "it can't be moved: " + outcome_.blockers.front().reason);
}

Result<void> Outgoing::Impl::send_files() {
  if (files_ == nullptr) return {};
  report("files", 0, 0);
  Control m;
  TRY(*m.mutable_files_offer()->mutable_offer(), files_->offer(demands_));
  TRY_DO(refuse_for(files_->blockers()));
  TRY_DO(control_->send(m));
  TRY(const Control wanted, expect(Control::kFilesWanted, plan_.reply));
  const uint64_t before = sender_->traffic().raw_bytes;
  report("files", 0, wanted.files_wanted().bytes_total());
  TRY_DO(files_->send(wanted.files_wanted().wanted(), *sender_));
  TRY_DO(refuse_for(files_->blockers()));
  TRY_DO(sender_->mark(++mark_));
  Control sent;
  sent.mutable_files_sent()->set_mark(mark_);
  TRY_DO(control_->send(sent));
  TRY_DO(expect(Control::kFilesReady, plan_.reply));
  outcome_.report.files_bytes = sender_->traffic().raw_bytes - before;
  phases_.add("files", lap_.lap_ms());
  return {};
}

Result<void> Outgoing::Impl::offer_outline(const std::string& outline, Nanos patience) {
  if (outline == outline_) return {};
  Control m;
  m.mutable_outline()->set_number(++outlines_);
  m.mutable_outline()->set_outline(outline);
  TRY_DO(control_->send(m));
  TRY(const Control reply, expect(Control::kPrepared, patience));
  if (reply.prepared().number() != outlines_) return fail(Code::kPeer, "another outline was prepared");
  outline_ = outline;
  return {};
}

Result<void> Outgoing::Impl::rounds() {
  TRY_IN("start of pre-copy", engine_.start_precopy());
  engine::PrecopyPolicy policy(plan_.goal);
  for (const char* end = nullptr; end == nullptr;) {
    const Stopwatch watch;
    const uint64_t before = sender_->traffic().raw_bytes;
    std::string outline;
    TRY(const engine::Round round, engine_.precopy_round(*sender_, outline));
    TRY_DO(sender_->mark(++mark_));
    outcome_.report.rounds = policy.rounds() + 1;
    Control m;
    m.mutable_round_sent()->set_round(outcome_.report.rounds);
    m.mutable_round_sent()->set_mark(mark_);
    TRY_DO(control_->send(m));
    GODWIT_FAULT_POINT("source.precopy");
    TRY_DO(expect(Control::kRoundApplied, plan_.reply));
    // Areas that came during the round are built before the next, which may send their pages.
    if (!outline.empty()) TRY_DO(offer_outline(outline, plan_.reply));
    const double ms = watch.elapsed_ms();
    const uint64_t bytes = sender_->traffic().raw_bytes - before;
    phases_.add("precopy/round " + std::to_string(outcome_.report.rounds), ms);
    report("precopy", sender_->traffic().raw_bytes, outcome_.report.memory_bytes);
    log::debug("move {}: round {} sent {} bytes of {} dirty pages in {:.1f} ms", plan_.migration, policy.rounds() + 1,
               bytes, round.pages_dirty, ms);
    end = policy.after_round(bytes, ms);
    if (end != nullptr) outcome_.report.precopy_end = end;
  }
  return {};
}

Result<void> Outgoing::Impl::capture() {
  lap_.lap_ms();
  frozen_at_ = monotonic_now();
  frozen_ = true;
  TRY(const std::string outline, engine_.freeze());
  GODWIT_FAULT_POINT("source.frozen");
  phases_.add("freeze", lap_.lap_ms());
  if (!engine_.same_outline() && outline != outline_) {
    TRY_DO(offer_outline(outline, plan_.verdict));
    phases_.add("prepare", lap_.lap_ms());
  }
  if (lazy_) {
    TRY(auto captured, engine_.capture_lazily(*sender_));
    state_bytes_ = std::move(captured.state);
    later_bytes_ = encode_late(captured.later);
    late_.open(std::move(captured.later), captured.reader);
  } else {
    TRY(state_bytes_, engine_.capture(*sender_));
  }
  if (files_ != nullptr) {
    phases_.add("dump", lap_.lap_ms());
    TRY(files_bytes_, files_->last(*sender_));
    phases_.add("last files", lap_.lap_ms());
  }
  TRY_DO(sender_->mark(++mark_));
  if (files_ == nullptr) phases_.add("dump", lap_.lap_ms());
  GODWIT_FAULT_POINT("source.captured");
  return {};
}

Result<void> Outgoing::Impl::send_complete() {
  // From here on the destination may have it, whatever send() returns.
  completed_at_ = monotonic_now();
  why_ = SE::kLinkLost;
  Control m;
  auto& complete = *m.mutable_complete();
  const Digest256 root = sender_->root();
  complete.set_mark(mark_);
  complete.set_page_root(string_of(root));
  complete.set_digest(string_of(state_digest(root, state_bytes_, files_bytes_, later_bytes_)));
  complete.set_state(std::move(state_bytes_));
  complete.set_files(std::move(files_bytes_));
  complete.set_later(std::move(later_bytes_));
  TRY_DO(control_->send(m));
  GODWIT_FAULT_POINT("source.transferred");
  why_ = SE::kFailed;
  return {};
}

// Lazy: waits for the destination to say something; what ends the serving is an error.
Result<void> Outgoing::Impl::hear(Nanos timeout) {
  auto event = mailbox_.take(std::max(timeout, Nanos(0)));
  if (!event || event->kind == Event::Kind::kCancel) return {};  // too late to be cancelled
  if (meaning(*event) == SE::kLinkLost) {
    why_ = SE::kLinkLost;
    return std::unexpected(outcome_.error.value_or(Error{Code::kPeer, 0, "the link was lost"}));
  }
  return {};
}

// Lazy, from the grant on: the unit is the destination's, here is only memory. The listening thread gives what is waited
// for; the rest is pushed once the unit runs there, for until then its resume should have the link.
Result<void> Outgoing::Impl::serve() {
  outcome_.error.reset();  // what went wrong on the way here did not matter
  if (auto r = engine_.hold_memory(); !r) log::error("move {}: {}", plan_.migration, r.error().message());
  const Nanos deadline = monotonic_now() + plan_.verdict;
  while (!runs_there_ && !delivered_ && monotonic_now() < deadline) TRY_DO(hear(deadline - monotonic_now()));
  GODWIT_FAULT_POINT("source.serving");
  if (outcome_.report.downtime_ms == 0) outcome_.report.downtime_ms = Millis(monotonic_now() - frozen_at_).count();
  lap_.lap_ms();
  TRY_DO(late_.push(*sender_, [this]() -> Result<void> {
    report("late memory", sender_->traffic().raw_bytes, late_.pages() * kPageSize);
    return hear(Nanos(0));
  }));
  TRY_DO(sender_->mark(++mark_));
  Control m;
  m.mutable_all_sent()->set_mark(mark_);
  if (!delivered_) TRY_DO(control_->send(m));
  while (!delivered_) TRY_DO(hear(std::chrono::hours(1)));
  phases_.add("late memory", lap_.lap_ms());
  return {};
}

Result<void> Outgoing::Impl::discard() {
  const Nanos until = running_at_ != Nanos{} ? running_at_ : monotonic_now();
  if (outcome_.report.downtime_ms == 0) outcome_.report.downtime_ms = Millis(until - frozen_at_).count();
  hang_up();
  lap_.lap_ms();
  if (!lazy_ || delivered_) {
    outcome_.error.reset();  // what went wrong on the way did not matter
  } else {
    Error e = outcome_.error.value_or(Error{Code::kPeer, 0, "the link was lost"});
    e.text = plan_.peer + " hasn't told that all memory arrived: if some was missing, the unit has ended there (" +
             e.text + ")";
    outcome_.error = std::move(e);
  }
  const auto result = engine_.discard();
  frozen_ = false;
  phases_.add("post-migration", lap_.lap_ms());
  if (auto r = fault::pass("source.discarded"); !r) log::warn("{}", r.error().text);
  return result;
}

void Outgoing::Impl::hang_up() {
  for (auto& s : data_) s->cancel();
  if (control_ && sender_) outcome_.report.bytes_sent = sender_->traffic().wire_bytes + control_->bytes();
  control_.reset();
}

void Outgoing::Impl::finish() {
  auto& r = outcome_.report;
  r.total_ms = total_.elapsed_ms();
  if (sender_) r.bytes_raw = sender_->traffic().raw_bytes;
  r.pages_wanted = late_.pages_given();
  r.pages_later = late_.pages();
  r.phases = phases_.list();
  for (const auto& t : engine_.timings()) r.phases.push_back({"source/" + t.step, t.ms});
  sender_.reset();
}

Outgoing::Outgoing(Plan plan, std::string endpoint, SSL_CTX* tls, engine::SourceEngine& engine, SourceFiles* files,
                   Delegate& delegate)
    : impl_(std::make_unique<Impl>(std::move(plan), std::move(endpoint), tls, engine, files, delegate)) {}
Outgoing::~Outgoing() = default;
Outcome Outgoing::run() { return impl_->run(); }
bool Outgoing::frozen() const { return impl_->frozen_; }
void Outgoing::answer(const Answer& answer) {
  Event e;
  e.kind = Event::Kind::kAnswer;
  e.answer = answer;
  impl_->mailbox_.put(std::move(e));
}
void Outgoing::cancel(const std::string& why) {
  Event e;
  e.kind = Event::Kind::kCancel;
  e.error = {Code::kFailed, 0, why};
  impl_->mailbox_.put(std::move(e));
}

}  // namespace godwit::migration
