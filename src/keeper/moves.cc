// Both sides of a move, on the main thread. What crosses threads is in migration.h; here requests of the daemon become
// plans, outcomes become events, and questions become durable packets that some daemon will put to the store.
#include <algorithm>

#include "base/base.h"
#include "keeper/handover.h"
#include "keeper/keeper.h"
#include "keeper/unit_files.h"

namespace godwit::keeper {

namespace k = wire::keeper;

namespace {

migration::Plan plan_of(const wire::MoveOptions& options) {
  migration::Plan plan;
  plan.mode = options.mode() == wire::STOP   ? migration::Mode::kStop
              : options.mode() == wire::LAZY ? migration::Mode::kLazy
                                             : migration::Mode::kLive;
  if (options.streams() != 0) plan.data_streams = options.streams();
  plan.zstd_level = std::clamp(options.zstd_level(), -1, 19);
  if (options.downtime_goal_ms() != 0) plan.goal.downtime_ms = options.downtime_goal_ms();
  if (options.max_rounds() != 0) plan.goal.max_rounds = options.max_rounds();
  return plan;
}

/// What the unit may do here. A unit with a document but without a passage has all that the document says, and this node.
Result<confine::Rules> rules_of(const Handover& handover, const wire::UnitSpec& spec, const NodeIdentity& self) {
  if (const auto* grants = handover.grants()) return confine::rules_of(*grants);
  return rules_here(spec.delegation(), {}, self);
}

/// With this peer only: of all authorities that are trusted, his site's is believed.
Result<pki::TlsContext> tls_with(pki::Side side, const NodeIdentity& identity, const std::string& peer) {
  TRY(const std::string authority, identity.authority_of(peer));
  return pki::tls_context(side, identity.node, authority);
}

/// While the unit is frozen its input waits: in the FIFO it could come too late to be carried.
class HoldsInput : public engine::SourceEngine {
 public:
  HoldsInput(std::unique_ptr<engine::SourceEngine> engine, Feeder& feeder)
      : engine_(std::move(engine)), feeder_(feeder) {}
  ~HoldsInput() override { feeder_.release(); }
  Result<engine::Inspection> inspect() override { return engine_->inspect(); }
  Result<void> start_precopy() override { return engine_->start_precopy(); }
  Result<engine::Round> precopy_round(engine::PageSink& sink, std::string& outline) override {
    return engine_->precopy_round(sink, outline);
  }
  Result<std::string> freeze() override {
    feeder_.hold();
    return engine_->freeze();
  }
  bool same_outline() const override { return engine_->same_outline(); }
  std::optional<std::vector<engine::FileMapping>> writable_file_mappings() override {
    return engine_->writable_file_mappings();
  }
  Result<std::string> capture(engine::PageSink& sink) override { return engine_->capture(sink); }
  Result<engine::LateCapture> capture_lazily(engine::PageSink& sink) override { return engine_->capture_lazily(sink); }
  Result<void> hold_memory() override {
    feeder_.gone();
    return engine_->hold_memory();
  }
  Result<void> thaw() override {
    auto result = engine_->thaw();
    feeder_.release();
    return result;
  }
  Result<void> discard() override {
    feeder_.gone();
    return engine_->discard();
  }
  std::vector<engine::Timing> timings() const override { return engine_->timings(); }

 private:
  std::unique_ptr<engine::SourceEngine> engine_;
  Feeder& feeder_;
};

/// The question is put once: the outbox says it to every daemon that comes, until it is answered.
class Questioner : public migration::Delegate {
 public:
  Questioner(Outbox& outbox, Packet question, Handover& handover,
             std::function<void(const migration::Progress&)> on_progress,
             std::function<void(const migration::Answer&)> on_granted, std::function<void()> on_arriving)
      : outbox_(outbox),
        question_(std::move(question)),
        handover_(handover),
        on_progress_(std::move(on_progress)),
        on_granted_(std::move(on_granted)),
        on_arriving_(std::move(on_arriving)) {}
  void progress(const migration::Progress& p) override { on_progress_(p); }
  void ask(const Error* why) override {
    if (why != nullptr && question_.has_resolve_question())
      question_.mutable_resolve_question()->set_reason(why->message());
    if (!asked_) outbox_.post(question_);
    asked_ = true;
  }
  Result<std::string> hand_over(std::string_view digest) override { return handover_.hand_over(digest); }
  Result<void> take_over(std::string_view digest, const std::string& statement) override {
    Packet soon;  // the way to the controller is made ready while the state is restored
    soon.mutable_commit_soon()->set_migration(question_.commit_question().migration());
    outbox_.tell(soon);
    TRY(*question_.mutable_commit_question()->mutable_entry(), handover_.take_over(digest, statement));
    return {};
  }
  void granted(const migration::Answer& answer) override { on_granted_(answer); }
  void arriving() override { on_arriving_(); }

 private:
  Outbox& outbox_;
  Packet question_;
  Handover& handover_;
  std::function<void(const migration::Progress&)> on_progress_;
  std::function<void(const migration::Answer&)> on_granted_;
  std::function<void()> on_arriving_;
  bool asked_ = false;
};

}  // namespace

// What can wait until the unit runs again.
void Keeper::goes_on_here() {
  open_input();
  uint64_t epoch = 0;
  std::string token;
  {
    const std::scoped_lock lock(mutex_);
    epoch = epoch_;
    token = commit_token_;
  }
  if (auto r = write_epoch(epoch, token); !r) log::warn("epoch file: {}", r.error().message());
}

Result<void> Keeper::look_at_trust() {
  TRY(identity_.sites, pki::Sites::load(args_.state));
  identity_.wish = delegation::load_wish(args_.state);
  return {};
}

void Keeper::keep_receipt(const Handover& handover) {
  if (auto kept = handover.keep_receipt(args_.state); !kept) log::warn("receipt: {}", kept.error().message());
}

void Keeper::progress(const migration::Progress& p) {
  Packet event;
  event.mutable_progress()->set_step(p.step);
  event.mutable_progress()->set_bytes_done(p.bytes_done);
  event.mutable_progress()->set_bytes_total(p.bytes_total);
  event.mutable_progress()->set_round(p.round);
  outbox_.tell(event);
}

void Keeper::post_move_ended(const std::string& id, const migration::Outcome& outcome, const wire::Report* report) {
  Packet p;
  auto& ended = *p.mutable_move_ended();
  ended.set_migration(id);
  ended.set_committed(outcome.committed);
  if (report != nullptr) *ended.mutable_report() = *report;
  if (outcome.error) to_wire(*outcome.error, outcome.blockers, *ended.mutable_failure());
  if (outcome.error) log::warn("move {}: {}", id, outcome.error->message());
  outbox_.post(std::move(p));
}

void Keeper::move_out(const k::MigrateOut& request) {
  migration::Outcome outcome;
  migration::Plan plan = plan_of(request.options());
  plan.migration = request.migration();
  plan.unit = args_.unit;
  plan.epoch = request.epoch();
  plan.peer = pki::split_name(request.destination()).name;
  plan.token = request.token();
  Packet question;
  question.mutable_resolve_question()->set_migration(request.migration());
  const auto looked = look_at_trust();
  auto handover =
      looked ? Handover::open(request.passage(), identity_, request.destination(), request.token(), request.epoch())
             : Result<Handover>(std::unexpected(looked.error()));
  const bool refused = handover && !handover->depart();
  Handover none;
  Questioner delegate(
      outbox_, std::move(question), handover ? *handover : none, [this](const auto& p) { progress(p); },
      [](const auto&) {}, [] {});
  UnitFilesSource files(*body_, spec_, stores_);
  auto tls = tls_with(pki::Side::kClient, identity_, request.destination());
  auto source = body_->source({request.options().grain(), request.options().tcp() == wire::TCP_CLOSE}, spec_);
  if (refused) {
    outcome.error = handover->refusal();
    outcome.blockers = handover->blockers();
  } else if (!tls || !source || !handover) {
    outcome.error = !tls ? tls.error() : !source ? source.error() : handover.error();
  } else {
    HoldsInput engine(std::move(*source), feeder_);
    auto outgoing =
        std::make_shared<migration::Outgoing>(plan, request.endpoint(), tls->get(), engine, &files, delegate);
    {
      const std::scoped_lock lock(mutex_);
      outgoing_ = outgoing;
    }
    outcome = outgoing->run();
    const std::scoped_lock lock(mutex_);
    outgoing_.reset();
  }
  outbox_.answered(Packet::kResolveQuestion);
  if (outcome.committed && handover) keep_receipt(*handover);
  if (outcome.committed) {
    feeder_.gone();
    body_->destroy();
    set_phase(k::GONE);
  } else {
    set_phase(k::RUNNING);
  }
  wire::Report report;
  const auto& r = outcome.report;
  report.set_unit(args_.unit);
  report.set_from(args_.node);
  report.set_to(request.destination());
  report.set_epoch(outcome.epoch);
  report.set_downtime_ms(r.downtime_ms);
  report.set_total_ms(r.total_ms);
  report.set_bytes_sent(r.bytes_sent);
  report.set_bytes_raw(r.bytes_raw);
  report.set_rounds(r.rounds);
  report.set_mode(request.options().mode());
  report.set_migration(request.migration());
  report.set_memory_bytes(r.memory_bytes);
  report.set_files_bytes(r.files_bytes);
  report.set_pages_later(r.pages_later);
  report.set_pages_wanted(r.pages_wanted);
  if (plan.mode == migration::Mode::kLazy && outcome.committed && outcome.error)
    report.set_lost(outcome.error->message());
  for (const auto& t : r.phases) {
    auto& phase = *report.add_phases();
    phase.set_name(t.step);
    phase.set_ms(t.ms);
  }
  log::info("move out {} committed={} downtime_ms={:.2f} total_ms={:.1f} bytes={} rounds={}", request.migration(),
            outcome.committed, r.downtime_ms, r.total_ms, r.bytes_sent, r.rounds);
  post_move_ended(request.migration(), outcome, outcome.committed ? &report : nullptr);
}

void Keeper::move_in(const k::ReceiveIn& request, uint64_t id) {
  migration::Plan plan = plan_of(request.options());
  plan.migration = request.migration();
  plan.unit = request.unit();
  plan.epoch = request.epoch();
  plan.peer = pki::split_name(request.source()).name;
  plan.token = request.token();
  Packet question;
  question.mutable_commit_question()->set_migration(request.migration());
  question.mutable_commit_question()->set_unit(request.unit());
  question.mutable_commit_question()->set_epoch(request.epoch());
  auto handover = Handover::open(request.passage(), identity_, request.source(), request.token(), request.epoch());
  if (!handover || !handover->admit()) {
    set_phase(k::EMPTY);
    if (!handover) return reply_failure(id, handover.error());
    return reply_failure(id, handover->refusal(), handover->blockers());
  }
  auto rules = rules_of(*handover, request.spec(), identity_);
  auto unmet = rules ? confine::missing(*rules) : std::vector<engine::Blocker>();
  if (!rules || !unmet.empty()) {
    set_phase(k::EMPTY);
    if (!rules) return reply_failure(id, rules.error());
    return reply_failure(id, {Code::kRefused, 0, "this node can't enforce the unit's delegation"}, unmet);
  }
  body_->set_rules(*std::move(rules));
  Questioner delegate(
      outbox_, std::move(question), *handover, [this](const auto& p) { progress(p); },
      [this](const migration::Answer& answer) {
        const std::scoped_lock lock(mutex_);
        epoch_ = answer.epoch;
        commit_token_ = answer.token;
      },
      [this] {
        set_phase(k::ARRIVING);
        goes_on_here();
      });
  UnitFilesDestination files(*body_, args_.dir, stores_);
  migration::Outcome outcome;
  auto tls = tls_with(pki::Side::kServer, identity_, request.source());
  auto engine =
      body_->destination({request.options().grain(), request.options().tcp() == wire::TCP_CLOSE}, request.spec());
  if (!tls || !engine) {
    const Error& e = tls ? engine.error() : tls.error();
    set_phase(k::EMPTY);
    return reply_failure(id, e);
  }
  auto incoming = std::make_shared<migration::Incoming>(plan, tls->get(), **engine, &files, delegate);
  {
    const std::scoped_lock lock(mutex_);
    incoming_ = incoming;
  }
  reply_done(id);
  outcome = incoming->run();
  bool arrived_late = false;
  {
    const std::scoped_lock lock(mutex_);
    incoming_.reset();
    arrived_late = phase_ == k::ARRIVING;
    phase_ = outcome.committed ? k::RUNNING : k::GONE;
  }
  if (outcome.committed && !arrived_late) goes_on_here();
  outbox_.answered(Packet::kCommitQuestion);
  if (outcome.committed) keep_receipt(*handover);
  log::info("move in {} committed={}", request.migration(), outcome.committed);
  if (outcome.committed && outcome.error) {  // it could not be resumed, or to the end: its end is reported
    why_ended_ = outcome.error->message();
    body_->kill_all();
  }
  post_move_ended(request.migration(), outcome, nullptr);
}

}  // namespace godwit::keeper
