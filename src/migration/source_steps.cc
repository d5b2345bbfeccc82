// The source's steps, in the order of a move: inspection and streams, files, rounds of pre-copy, the capture at the freeze,
// Complete; of a lazy move the memory that follows; and how it ends: thawed, or the copy here discarded. source.cc says
// which comes when. A step that fails leaves in why_ what that means to the table.
#include <sys/socket.h>

#include <cerrno>

#include "link/link.h"
#include "migration/source_impl.h"

namespace godwit::migration {

using SE = SourceEvent;
using stream::Control;

namespace {
constexpr int kInspections = 10;
constexpr Nanos kInspectAgain = std::chrono::milliseconds(5);
}  // namespace

Result<engine::Inspection> Outgoing::Impl::inspect() {
  // A fork or exec in progress may look like something that can't be moved: what stays is what counts.
  TRY(engine::Inspection found, engine_.inspect());
  for (int tries = 0; !found.blockers.empty() && tries < kInspections; tries++) {
    if (mailbox_.take(kInspectAgain)) return fail(Code::kFailed, "the move was cancelled");
    TRY(found, engine_.inspect());
  }
  TRY_DO(refuse_for(std::move(found.blockers)));
  return found;
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

Result<void> Outgoing::Impl::open_streams() {
  TRY(auto control, open_stream(0));
  for (uint32_t i = 1; i <= plan_.data_streams; i++) {
    TRY(auto data, open_stream(i));
    data_.push_back(std::move(data));
  }
  std::vector<TlsStream*> lanes;
  for (auto& s : data_) lanes.push_back(s.get());
  const auto told = [this](uint64_t bytes) {
    // A short freeze is over before anybody has read of it, and shorter without.
    if (!frozen_ || monotonic_now() - frozen_at_ >= plan_.patience.progress)
      report(step_, bytes - step_begins_, step_bytes_);
  };
  sender_ = std::make_unique<PageSender>(
      lanes, PageSender::Options{plan_.zstd_level, plan_.patience.stall, told, plan_.patience.progress});
  control_ = std::make_unique<ControlLink>(
      std::move(control), mailbox_, plan_.patience,
      [this] {
        for (auto& s : data_) s->cancel();  // a worker that waits on a dead link stops waiting
      },
      [this](ControlLink& link, const Control& m) { return late_.handle(link, m); });
  return {};
}

Result<void> Outgoing::Impl::connect() {
  GODWIT_FAULT_POINT("source.keeper");
  if (plan_.data_streams < 1 || plan_.data_streams >= link::kMaxStreams) return fail(Code::kUsage, "number of streams");
  report("pre-migration", 0, 0);
  TRY(engine::Inspection found, inspect());
  TRY_DO(open_streams());
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
  begin_step("files", wanted.files_wanted().bytes_total());
  report(step_, 0, step_bytes_);
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
  begin_step("precopy", outcome_.report.memory_bytes);
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
    report(step_, sender_->traffic().raw_bytes - step_begins_, step_bytes_);
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
    TRY(files_bytes_, files_->last(*sender_, engine_.writable_file_mappings()));
    phases_.add("last files", lap_.lap_ms());
  }
  TRY_DO(sender_->mark(++mark_));
  if (files_ == nullptr) phases_.add("dump", lap_.lap_ms());
  GODWIT_FAULT_POINT("source.captured");
  return {};
}

Result<void> Outgoing::Impl::send_complete() {
  Control m;
  auto& complete = *m.mutable_complete();
  const Digest256 root = sender_->root();
  const std::string digest = string_of(state_digest(root, state_bytes_, files_bytes_, later_bytes_));
  lap_.lap_ms();
  TRY(*complete.mutable_entry(), delegate_.hand_over(digest));
  if (!complete.entry().empty()) phases_.add("delegation", lap_.lap_ms());
  // From here on the destination may have it, whatever send() returns.
  completed_at_ = monotonic_now();
  why_ = SE::kLinkLost;
  complete.set_mark(mark_);
  complete.set_page_root(string_of(root));
  complete.set_digest(digest);
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

void Outgoing::Impl::send_abort() {
  Control m;
  to_wire(outcome_.error.value_or(Error{Code::kFailed, 0, "given up"}), {}, *m.mutable_abort()->mutable_failure());
  if (control_ && !link_lost_ && control_->send(m)) control_->linger(std::chrono::milliseconds(500));
}

void Outgoing::Impl::thaw() {
  late_.close();
  const auto thawed = engine_.thaw();
  if (!thawed) log::error("move {}: thaw failed: {}", plan_.migration, thawed.error().message());
  frozen_ = false;
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

}  // namespace godwit::migration
