// Incoming: the destination's half of a move. Like source.cc: the table decides, perform() does, wait() listens.
//
// While the source sends, each of its messages asks for one step here and is answered when that step is done. What fails
// is told to the source after everything was removed: Aborted means that nothing is left. Once the unit is restored the
// link no longer matters: only the store's answer does, and run() does not return before it came.
#include <atomic>
#include <map>

#include "base/base.h"
#include "link/link.h"
#include "migration/late.h"
#include "migration/machine.h"
#include "migration/session.h"

namespace godwit::migration {

using D = DestinationState;
using DE = DestinationEvent;
using DA = DestinationAction;
using stream::Control;

namespace {
constexpr Nanos kLookForArrival = std::chrono::milliseconds(20);
}  // namespace

class Incoming::Impl {
 public:
  Impl(Plan plan, SSL_CTX* tls, engine::DestinationEngine& engine, DestinationFiles* files, Delegate& delegate)
      : plan_(std::move(plan)), tls_(tls), engine_(engine), files_(files), delegate_(delegate) {}
  ~Impl();

  void add_stream(uint32_t index, Fd socket);
  Outcome run();
  void cancel(const std::string& why);
  Mailbox mailbox_;

 private:
  Result<void> admit_stream(uint32_t index, Fd socket);
  Result<void> gather();
  void handle(DE event);
  std::optional<DE> perform(DA action);
  std::optional<DE> wait();
  std::optional<DE> on_message(const Control& m);
  Result<bool> serve(const Control& m);

  Result<void> on_hello(const stream::Hello& hello);
  Result<void> on_round(const stream::RoundSent& sent);
  Result<void> refuse_for(std::vector<engine::Blocker> blockers);
  Result<void> on_files_offer(const stream::FilesOffer& offer);
  Result<void> on_complete(const stream::Complete& complete);
  Result<void> restore();
  Result<void> resume();
  bool take_late(const Control& m);
  std::optional<DE> on_late(const Control& m);
  std::optional<DE> look_for_arrival();
  void discard();
  Result<void> reply(const Control& m);
  void note(Error error) {
    if (!outcome_.error) outcome_.error = std::move(error);
  }

  const Plan plan_;
  SSL_CTX* const tls_;
  engine::DestinationEngine& engine_;
  DestinationFiles* const files_;
  Delegate& delegate_;

  std::mutex mutex_;
  std::map<uint32_t, std::unique_ptr<TlsStream>> arrived_;  // guarded by mutex_
  std::vector<std::jthread> greeters_;  // guarded by mutex_
  bool closed_ = false;  // guarded by mutex_
  PageReceiver* live_receiver_ = nullptr;  // guarded by mutex_; for cancel() and a lost link

  D state_ = D::kWaiting;
  std::vector<std::unique_ptr<TlsStream>> data_;
  std::unique_ptr<PageReceiver> receiver_;
  std::unique_ptr<ControlLink> control_;
  bool link_lost_ = false, ours_ = false;
  std::string demands_, state_bytes_, files_bytes_;
  uint32_t expected_streams_ = 0;
  bool files_follow_ = false;
  bool lazy_ = false;
  std::string later_bytes_;
  LateAsker asker_;
  std::atomic<bool> cut_{false};  // lazy: set by the listening thread
  std::mutex late_mutex_;
  std::atomic<bool> expects_{false};  // lazy: the engine was told what is missing; cleared under late_mutex_
  Phases phases_;
  Stopwatch total_, lap_;
  Outcome outcome_;
};

Incoming::Impl::~Impl() {
  std::vector<std::jthread> greeters;
  {
    const std::scoped_lock lock(mutex_);
    closed_ = true;
    live_receiver_ = nullptr;
    greeters.swap(greeters_);
  }
  greeters.clear();  // joins; each is bounded by the handshake's patience
  control_.reset();
  receiver_.reset();
}

void Incoming::Impl::add_stream(uint32_t index, Fd socket) {
  const std::scoped_lock lock(mutex_);
  if (closed_ || greeters_.size() >= 4 * link::kMaxStreams) return;  // dropped: nobody waits for it
  greeters_.emplace_back([this, index, s = std::move(socket)]() mutable {
    if (auto r = admit_stream(index, std::move(s)); !r) {
      log::warn("move {}: stream {} dropped: {}", plan_.migration, index, r.error().message());
    }
  });
}

Result<void> Incoming::Impl::admit_stream(uint32_t index, Fd socket) {
  const Nanos patience = plan_.patience.handshake;
  TRY(auto s, TlsStream::handshake(std::move(socket), tls_, pki::Side::kServer, plan_.peer, patience));
  TRY_DO(check_token(*s, plan_.token, patience));
  {
    const std::scoped_lock lock(mutex_);
    if (index >= link::kMaxStreams || !arrived_.try_emplace(index, std::move(s)).second) {
      return fail(Code::kPeer, "a stream of this number is there already");
    }
  }
  Event e;
  e.kind = Event::Kind::kStream;
  mailbox_.put(std::move(e));
  return {};
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

// Waits for stream 0, its Hello, and the data streams that it speaks of.
Result<void> Incoming::Impl::gather() {
  const Nanos deadline = monotonic_now() + plan_.arrival;
  for (;;) {
    {
      const std::scoped_lock lock(mutex_);
      if (auto it = arrived_.find(0); it != arrived_.end() && it->second) {
        control_ = std::make_unique<ControlLink>(
            std::move(it->second), mailbox_, plan_.patience,
            [this] {
              cut_ = true;
              // Before the stream threads end: whoever waits for a page must not go on without it.
              if (expects_) engine_.lose_late();
              const std::scoped_lock inner(mutex_);
              if (live_receiver_ != nullptr) live_receiver_->stop();
            },
            [this](ControlLink&, const Control& m) { return take_late(m); });
      }
      if (expected_streams_ != 0) {
        bool all = true;
        for (uint32_t i = 1; i <= expected_streams_; i++) all = all && arrived_.contains(i);
        if (all) break;
      }
    }
    auto event = mailbox_.take(std::max(deadline - monotonic_now(), Nanos(0)));
    if (!event) return fail(Code::kPeer, "the source's streams did not come");
    if (event->kind == Event::Kind::kLinkLost) {
      link_lost_ = true;
      return std::unexpected(event->error);
    }
    if (event->kind == Event::Kind::kCancel) return std::unexpected(event->error);
    if (event->kind != Event::Kind::kMessage) continue;
    if (!event->message->has_hello() || expected_streams_ != 0) return fail(Code::kPeer, "no Hello came first");
    TRY_DO(on_hello(event->message->hello()));
  }
  std::vector<TlsStream*> lanes;
  const std::scoped_lock lock(mutex_);
  closed_ = true;  // none but these
  for (uint32_t i = 1; i <= expected_streams_; i++) {
    data_.push_back(std::move(arrived_[i]));
    lanes.push_back(data_.back().get());
  }
  receiver_ = std::make_unique<PageReceiver>(lanes, engine_, files_, [this](const Error& e) {
    Event lost;
    lost.kind = Event::Kind::kLinkLost;
    lost.error = e;
    mailbox_.put(std::move(lost));
  });
  live_receiver_ = receiver_.get();
  phases_.add("destination/connect", lap_.lap_ms());
  return {};
}

Result<void> Incoming::Impl::on_hello(const stream::Hello& hello) {
  if (hello.version() != kProtocolVersion) {
    return fail(Code::kPeer, "the source speaks version " + std::to_string(hello.version()) + ", expected " +
                                 std::to_string(kProtocolVersion));
  }
  if (hello.migration() != plan_.migration || hello.unit() != plan_.unit || hello.epoch() != plan_.epoch) {
    return fail(Code::kPeer, "the source speaks of another move");
  }
  if (hello.data_streams() < 1 || hello.data_streams() >= link::kMaxStreams) {
    return fail(Code::kCorrupt, "number of streams");
  }
  lazy_ = hello.mode() == wire::LAZY;
  expected_streams_ = hello.data_streams();
  demands_ = hello.demands();
  files_follow_ = hello.files();
  outcome_.report.memory_bytes = hello.memory_bytes();
  return {};
}

void Incoming::Impl::handle(DE event) {
  for (bool more = true; more;) {
    const auto st = step(state_, event);
    if (!st.known) return;
    log::debug("move {}: {} -> {}", plan_.migration, name(state_), name(st.next));
    state_ = st.next;
    more = false;
    for (const DA action : st.actions) {
      if (const auto raised = perform(action)) {
        event = *raised;
        more = true;
      }
    }
    GODWIT_CHECK(state_ != D::kRunning || ours_, "runs without the commit");
  }
}

std::optional<DE> Incoming::Impl::perform(DA action) {
  const auto done = [&](Result<void> r, std::optional<DE> good) -> std::optional<DE> {
    if (r) return good;
    note(std::move(r).error());
    return DE::kFailed;
  };
  switch (action) {
    case DA::kAdmit: {
      lap_.lap_ms();
      auto blockers = engine_.admit(demands_);
      if (!blockers) return done(std::unexpected(std::move(blockers).error()), std::nullopt);
      outcome_.blockers = *std::move(blockers);
      if (lazy_) {
        auto more = engine_.admit_late();
        if (!more) return done(std::unexpected(std::move(more).error()), std::nullopt);
        for (auto& b : *more) outcome_.blockers.push_back(std::move(b));
      }
      if (outcome_.blockers.empty()) return DE::kWelcome;
      note({Code::kRefused, 0, "refused: " + outcome_.blockers.front().reason});
      return DE::kRefused;
    }
    case DA::kSendVerdict: {
      Control m;
      m.mutable_verdict()->set_admit_ms(lap_.lap_ms());
      for (const auto& b : outcome_.blockers) to_wire(b, *m.mutable_verdict()->add_blockers());
      const auto sent = reply(m);
      if (state_ == D::kEmpty) control_->linger(std::chrono::milliseconds(500));
      return done(sent, std::nullopt);
    }
    case DA::kRestore: return done(restore(), DE::kRestored);
    case DA::kAskCommit:
      delegate_.ask(nullptr);
      if (auto r = fault::pass("destination.commit"); !r) log::warn("{}", r.error().text);
      return std::nullopt;
    case DA::kSendGranted: {
      // Before the unit runs: what it is to take over at that moment (file locks) the frozen source still holds.
      Control m;
      m.mutable_granted()->set_epoch(outcome_.epoch);
      m.mutable_granted()->set_token(outcome_.token);
      if (control_ && !link_lost_) (void)control_->send(m);
      return std::nullopt;
    }
    case DA::kResume:
      if (auto r = resume(); !r) {
        note(std::move(r).error());
        return lazy_ ? std::optional(DE::kFailed) : std::nullopt;
      }
      return lazy_ && link_lost_ ? std::optional(DE::kLinkLost) : std::nullopt;
    case DA::kSendCommitted: {
      Control m;
      m.mutable_committed()->set_epoch(outcome_.epoch);
      m.mutable_committed()->set_token(outcome_.token);
      for (const auto& t : phases_.list()) {
        if (t.step.starts_with("destination/")) continue;
        auto& p = *m.mutable_committed()->add_phases();
        p.set_name(t.step);
        p.set_ms(t.ms);
      }
      // Lost with the link: the source will ask the store.
      if (!link_lost_ && control_->send(m) && !lazy_) control_->linger(std::chrono::seconds(1));
      if (lazy_) delegate_.arriving();
      return std::nullopt;
    }
    case DA::kSendDelivered: {
      Control m;
      m.mutable_delivered()->set_pages_wanted(asker_.pages_wanted());
      if (!link_lost_ && control_->send(m)) control_->linger(std::chrono::seconds(1));
      return std::nullopt;
    }
    case DA::kLose:
      engine_.lose_late();
      if (auto r = engine_.finish_late(); !r) note(std::move(r).error());
      return std::nullopt;
    case DA::kDiscard: discard(); return std::nullopt;
    case DA::kSendAborted: {
      Control m;
      to_wire(outcome_.error.value_or(Error{Code::kFailed, 0, "given up"}), outcome_.blockers,
              *m.mutable_aborted()->mutable_failure());
      if (control_ && !link_lost_ && control_->send(m)) control_->linger(std::chrono::milliseconds(500));
      return std::nullopt;
    }
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
    case Event::Kind::kLinkLost:
      if (state_ == D::kArriving && !engine_.misses_pages()) return look_for_arrival();
      // What came over a stream may have failed here, not the stream: stream 0 still carries the Aborted.
      if (event->error.code != Code::kPeer && (state_ == D::kChecking || state_ == D::kReceiving)) {
        note(event->error);
        return DE::kFailed;
      }
      if (event->error.code != Code::kCorrupt) link_lost_ = true;
      if (state_ == D::kChecking || state_ == D::kReceiving || state_ == D::kArriving)
        note(event->error.in("link to " + plan_.peer));
      return DE::kLinkLost;
    case Event::Kind::kAnswer:
      if (state_ != D::kAsking) return std::nullopt;
      outcome_.epoch = event->answer.epoch;
      outcome_.token = event->answer.token;
      ours_ = event->answer.committed;
      if (!ours_) note({Code::kFailed, 0, "the commit was denied: " + event->answer.reason});
      if (ours_) delegate_.granted(event->answer);
      phases_.add("commit", lap_.lap_ms());
      return !ours_ ? DE::kDenied : lazy_ ? DE::kGrantedLate : DE::kGranted;
    case Event::Kind::kMessage: return on_message(*event->message);
  }
  return std::nullopt;
}

// On the listening thread: pages that somebody waits for, perhaps the restore that the main thread is in.
bool Incoming::Impl::take_late(const Control& m) {
  const std::scoped_lock lock(late_mutex_);
  if (!m.has_pages_given() || !expects_) return false;
  const auto taken = [&]() -> Result<void> {
    TRY(const auto runs, runs_given(m.pages_given()));
    return engine_.writer().write(runs, bytes_of(m.pages_given().content()));
  }();
  if (taken) return true;
  Event e;
  e.kind = Event::Kind::kLinkLost;
  e.error = taken.error();
  mailbox_.put(std::move(e));
  return true;
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
    case Control::kFilesSent: {
      if (files_ == nullptr) return fail(Code::kPeer, "files that nobody asked for");
      TRY_DO(receiver_->wait_mark(m.files_sent().mark()));
      TRY_DO(files_->arrived());
      TRY_DO(refuse_for(files_->blockers()));
      Control r;
      r.mutable_files_ready();
      TRY_DO(reply(r));
      return false;
    }
    case Control::kOutline: {
      TRY_IN("preparing", receiver_->prepare([&] { return engine_.prepare(m.outline().outline()); }));
      Control r;
      r.mutable_prepared()->set_number(m.outline().number());
      TRY_DO(reply(r));
      return false;
    }
    case Control::kRoundSent: TRY_DO(on_round(m.round_sent())); return false;
    case Control::kComplete: TRY_DO(on_complete(m.complete())); return true;
    default: return fail(Code::kPeer, "a message that has no place here");
  }
}

Result<void> Incoming::Impl::refuse_for(std::vector<engine::Blocker> blockers) {
  if (blockers.empty()) return {};
  outcome_.blockers = std::move(blockers);
  return fail(Code::kRefused, "refused: " + outcome_.blockers.front().reason);
}

Result<void> Incoming::Impl::on_files_offer(const stream::FilesOffer& offer) {
  if (files_ == nullptr) return fail(Code::kPeer, "files are offered, and nobody here can take them");
  TRY(const DestinationFiles::Wanted wanted, files_->want(offer.offer()));
  TRY_DO(refuse_for(files_->blockers()));
  Control r;
  r.mutable_files_wanted()->set_wanted(wanted.wanted);
  r.mutable_files_wanted()->set_bytes_total(wanted.bytes);
  return reply(r);
}

Result<void> Incoming::Impl::on_round(const stream::RoundSent& sent) {
  TRY_DO(receiver_->wait_mark(sent.mark()));
  GODWIT_FAULT_POINT("destination.precopy");
  outcome_.report.rounds = sent.round();
  Control r;
  r.mutable_round_applied()->set_round(sent.round());
  return reply(r);
}

Result<void> Incoming::Impl::on_complete(const stream::Complete& complete) {
  TRY_DO(receiver_->wait_mark(complete.mark()));
  lap_.lap_ms();  // until here it was the transfer, which the source counts
  if (!lazy_) receiver_->close();
  // Compared before a byte of the state is interpreted.
  const Digest256 root = receiver_->root();
  if (string_of(root) != complete.page_root()) return fail(Code::kCorrupt, "memory arrived with another digest");
  if (string_of(state_digest(root, complete.state(), complete.files(), complete.later())) != complete.digest()) {
    return fail(Code::kCorrupt, "the state arrived with another digest");
  }
  if (!complete.files().empty() && files_ == nullptr) return fail(Code::kPeer, "files that nobody asked for");
  if (!complete.later().empty() && !lazy_)
    return fail(Code::kPeer, "memory that is to follow, in a move that isn't lazy");
  later_bytes_ = complete.later();
  state_bytes_ = complete.state();
  files_bytes_ = complete.files();
  phases_.add("digest", lap_.lap_ms());
  return {};
}

Result<void> Incoming::Impl::restore() {
  GODWIT_FAULT_POINT("destination.received");
  if (files_ != nullptr) TRY_DO(files_->last(files_bytes_));
  if (lazy_) {
    TRY(auto later, decode_late(later_bytes_));
    asker_.open(*control_);
    TRY_DO(engine_.expect_late(std::move(later), asker_));
    expects_ = true;
    if (cut_) engine_.lose_late();
  }
  TRY_IN("restoring", engine_.restore(state_bytes_));
  GODWIT_FAULT_POINT("destination.restored");
  // Later it would cost the unit, not only the move.
  if (lazy_ && cut_) return fail(Code::kPeer, "the link to " + plan_.peer + " was lost with memory still there");
  phases_.add("restore", lap_.lap_ms());
  return {};
}

Result<void> Incoming::Impl::resume() {
  // The commit stands: an armed failure can only be a kill or a stall here.
  if (auto r = fault::pass("destination.committed"); !r) log::warn("{}", r.error().text);
  TRY_IN("resuming after the commit", engine_.resume());
  phases_.add("resume", lap_.lap_ms());
  if (auto r = fault::pass("destination.running"); !r) log::warn("{}", r.error().text);
  return {};
}

void Incoming::Impl::discard() {
  {
    const std::scoped_lock lock(late_mutex_);
    expects_ = false;
  }
  asker_.close();
  {
    const std::scoped_lock lock(mutex_);
    live_receiver_ = nullptr;
  }
  receiver_.reset();  // nothing writes any more
  const auto r = engine_.discard();
  if (!r) log::error("move {}: discard failed: {}", plan_.migration, r.error().message());
  if (files_ != nullptr) files_->discard();
}

Result<void> Incoming::Impl::reply(const Control& m) {
  auto r = control_->send(m);
  if (!r) link_lost_ = true;
  return r;
}

void Incoming::Impl::cancel(const std::string& why) {
  Event e;
  e.kind = Event::Kind::kCancel;
  e.error = {Code::kFailed, 0, why};
  mailbox_.put(std::move(e));
  const std::scoped_lock lock(mutex_);
  if (live_receiver_ != nullptr) live_receiver_->stop();  // after Complete nothing comes on it any more
}

Incoming::Incoming(Plan plan, SSL_CTX* tls, engine::DestinationEngine& engine, DestinationFiles* files,
                   Delegate& delegate)
    : impl_(std::make_unique<Impl>(std::move(plan), tls, engine, files, delegate)) {}
Incoming::~Incoming() = default;
void Incoming::add_stream(uint32_t index, Fd socket) { impl_->add_stream(index, std::move(socket)); }
Outcome Incoming::run() { return impl_->run(); }
void Incoming::answer(const Answer& answer) {
  Event e;
  e.kind = Event::Kind::kAnswer;
  e.answer = answer;
  impl_->mailbox_.put(std::move(e));
}
void Incoming::cancel(const std::string& why) { impl_->cancel(why); }

}  // namespace godwit::migration
