// The destination's steps, in the order of a move: streams and Hello, the entrance check, what each of the source's messages
// asks for (files, outlines, rounds, Complete), restore, commit and resume; of a lazy move the pages that follow; and how
// a move that failed is cleaned up and told. destination.cc says which comes when.
#include "link/link.h"
#include "migration/destination_impl.h"

namespace godwit::migration {

using stream::Control;

// Waits for stream 0, its Hello, and the data streams that it speaks of.
Result<void> Incoming::Impl::gather() {
  const Nanos deadline = monotonic_now() + plan_.arrival;
  for (;;) {
    if (auto control = arrivals_.take_control()) listen(std::move(control));
    if (expected_streams_ != 0) {
      if (auto data = arrivals_.take_data(expected_streams_); !data.empty()) {
        receive(std::move(data));
        return {};
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
}

void Incoming::Impl::listen(std::unique_ptr<TlsStream> control) {
  control_ = std::make_unique<ControlLink>(
      std::move(control), mailbox_, plan_.patience,
      [this] {
        cut_ = true;
        // Before the stream threads end: whoever waits for a page must not go on without it.
        if (expects_) engine_.lose_late();
        const std::scoped_lock lock(mutex_);
        if (live_receiver_ != nullptr) live_receiver_->stop();
      },
      [this](ControlLink&, const Control& m) { return take_late(m); });
}

void Incoming::Impl::receive(std::vector<std::unique_ptr<TlsStream>> data) {
  data_ = std::move(data);
  std::vector<TlsStream*> lanes;
  for (auto& s : data_) lanes.push_back(s.get());
  receiver_ = std::make_unique<PageReceiver>(lanes, engine_, files_,
                                             [this](const Error& e) { mailbox_.put(Event::link_lost(e)); });
  {
    const std::scoped_lock lock(mutex_);
    live_receiver_ = receiver_.get();
  }
  phases_.add("destination/connect", lap_.lap_ms());
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

Result<void> Incoming::Impl::admit() {
  lap_.lap_ms();
  TRY(outcome_.blockers, engine_.admit(demands_));
  if (lazy_) {
    TRY(auto more, engine_.admit_late());
    for (auto& b : more) outcome_.blockers.push_back(std::move(b));
  }
  return {};
}

Result<void> Incoming::Impl::send_verdict() {
  Control m;
  m.mutable_verdict()->set_admit_ms(lap_.lap_ms());
  for (const auto& b : outcome_.blockers) to_wire(b, *m.mutable_verdict()->add_blockers());
  const auto sent = reply(m);
  if (state_ == DestinationState::kEmpty) control_->linger(std::chrono::milliseconds(500));
  return sent;
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

Result<void> Incoming::Impl::on_files_sent(const stream::FilesSent& sent) {
  if (files_ == nullptr) return fail(Code::kPeer, "files that nobody asked for");
  TRY_DO(receiver_->wait_mark(sent.mark()));
  TRY_DO(files_->arrived());
  TRY_DO(refuse_for(files_->blockers()));
  Control r;
  r.mutable_files_ready();
  return reply(r);
}

Result<void> Incoming::Impl::on_outline(const stream::Outline& outline) {
  TRY_IN("preparing", receiver_->prepare([&] { return engine_.prepare(outline.outline()); }));
  Control r;
  r.mutable_prepared()->set_number(outline.number());
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
  TRY_DO(delegate_.take_over(complete.digest(), complete.entry()));
  if (!complete.entry().empty()) phases_.add("delegation at destination", lap_.lap_ms());
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

void Incoming::Impl::send_granted() {
  // Before the unit runs: what it is to take over at that moment (file locks) the frozen source still holds. Where there is
  // nothing, to destroy the source's copy can wait until it runs: on one machine the two would share the processors.
  if (!lazy_ && !engine_.takes_over()) return;
  Control m;
  m.mutable_granted()->set_epoch(outcome_.epoch);
  m.mutable_granted()->set_token(outcome_.token);
  if (control_ && !link_lost_) (void)control_->send(m);
}

Result<void> Incoming::Impl::resume() {
  // The commit stands: an armed failure can only be a kill or a stall here.
  if (auto r = fault::pass("destination.committed"); !r) log::warn("{}", r.error().text);
  TRY_IN("resuming after the commit", engine_.resume());
  phases_.add("resume", lap_.lap_ms());
  if (auto r = fault::pass("destination.running"); !r) log::warn("{}", r.error().text);
  return {};
}

void Incoming::Impl::send_committed() {
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
  mailbox_.put(Event::link_lost(taken.error()));
  return true;
}

void Incoming::Impl::send_delivered() {
  Control m;
  m.mutable_delivered()->set_pages_wanted(asker_.pages_wanted());
  if (!link_lost_ && control_->send(m)) control_->linger(std::chrono::seconds(1));
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

void Incoming::Impl::send_aborted() {
  Control m;
  to_wire(outcome_.error.value_or(Error{Code::kFailed, 0, "given up"}), outcome_.blockers,
          *m.mutable_aborted()->mutable_failure());
  if (control_ && !link_lost_ && control_->send(m)) control_->linger(std::chrono::milliseconds(500));
}

Result<void> Incoming::Impl::reply(const Control& m) {
  auto r = control_->send(m);
  if (!r) link_lost_ = true;
  return r;
}

}  // namespace godwit::migration
