#include "keeper/keeper.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>

#include "base/base.h"
#include "files/beneath.h"
#include "keeper/checkpoint.h"
#include "keeper/handover.h"

namespace godwit::keeper {

namespace k = wire::keeper;

Keeper::Keeper(link::KeeperArgs args, Fd listener, NodeIdentity identity)
    : args_(std::move(args)), identity_(std::move(identity)), listener_(std::move(listener)) {}

Keeper::~Keeper() {
  if (stop_listening_.valid()) {
    const uint64_t one = 1;
    (void)!::write(stop_listening_.get(), &one, sizeof one);
  }
  if (listening_.joinable()) listening_.join();
}

int Keeper::run() {
  auto body = Body::open(args_.dir, args_.arch);
  auto stores = NodeStores::open(args_.state);
  files::hold_proc();
  auto dir = sys::open(args_.dir, O_PATH | O_DIRECTORY);
  auto wake_fd = sys::eventfd();
  auto stop_fd = sys::eventfd();
  auto visitors = Visitors::open();
  for (const Error* e : {body ? nullptr : &body.error(), stores ? nullptr : &stores.error(),
                         dir ? nullptr : &dir.error(), wake_fd ? nullptr : &wake_fd.error(),
                         stop_fd ? nullptr : &stop_fd.error(), visitors ? nullptr : &visitors.error()}) {
    if (e == nullptr) continue;
    log::error("can't start: {}", e->message());
    return 1;
  }
  body_ = std::move(*body);
  stores_ = std::move(*stores);
  unit_dir_ = std::move(*dir);
  wake_ = std::move(*wake_fd);
  stop_listening_ = std::move(*stop_fd);
  visitors_ = std::move(*visitors);
  listening_ = std::jthread([this] { listen(); });
  Packet job;
  while (!may_exit()) {
    if (wait_for_work(job)) do_job(job);
    look_for_end();
  }
  return 0;
}

bool Keeper::may_exit() {
  const bool told = outbox_.empty();
  const std::scoped_lock lock(mutex_);
  if (shutdown_ && jobs_.empty()) return true;
  return told && jobs_.empty() && (phase_ == k::ENDED || phase_ == k::GONE);
}

bool Keeper::wait_for_work(Packet& job) {
  pollfd p[2] = {{wake_.get(), POLLIN, 0}, {body_->exits_fd(), POLLIN, 0}};
  {
    const std::scoped_lock lock(mutex_);
    if (!jobs_.empty()) {
      job = std::move(jobs_.front());
      jobs_.pop_front();
      return true;
    }
  }
  (void)::poll(p, 2, -1);
  if (p[0].revents != 0) {
    uint64_t n = 0;
    (void)!::read(wake_.get(), &n, sizeof n);
  }
  return false;
}

void Keeper::queue(Packet packet) {
  {
    const std::scoped_lock lock(mutex_);
    jobs_.push_back(std::move(packet));
  }
  wake();
}

void Keeper::wake() {
  const uint64_t one = 1;
  (void)!::write(wake_.get(), &one, sizeof one);
}

void Keeper::set_phase(k::Phase phase) {
  const std::scoped_lock lock(mutex_);
  phase_ = phase;
}

Result<void> Keeper::begin(std::initializer_list<k::Phase> from, k::Phase to) {
  const std::scoped_lock lock(mutex_);
  if (phase_ == k::ARRIVING)
    return fail(Code::kRefused, "the unit's memory is still arriving (it was moved with --lazy)");
  if (std::ranges::find(from, phase_) == from.end()) {
    return fail(Code::kRefused,
                phase_ == k::ENDED ? "the unit has ended" : "the keeper is in phase " + k::Phase_Name(phase_));
  }
  phase_ = to;
  return {};
}

void Keeper::do_job(const Packet& request) {
  switch (request.body_case()) {
    case Packet::kLaunch: return launch(request);
    case Packet::kRestore: return restore(request.restore());
    case Packet::kCheckpoint: return checkpoint(request.checkpoint());
    case Packet::kReceive: return move_in(request.receive(), request.id());
    case Packet::kMigrate: return move_out(request.migrate());
    case Packet::kCheck: return check(request);
    case Packet::kAdmit: return admit(request);
    case Packet::kDiscard: return discard(request);
    case Packet::kSignal: return reply(request.id(), body_->signal_main(request.signal().signal()));
    default: return;
  }
}

void Keeper::launch(const Packet& request) {
  const Stopwatch watch;
  const auto started = [&]() -> Result<void> {
    // The daemon has asked already whether they can be made to hold here.
    TRY(auto rules, rules_here(request.launch().spec().delegation(), {}, identity_));
    body_->set_rules(std::move(rules));
    return body_->launch(request.launch().spec());
  }();
  Packet p;
  if (started) {
    if (auto r = write_epoch(request.launch().epoch(), {}); !r) log::warn("epoch file: {}", r.error().message());
    open_input();
    set_phase(k::RUNNING);
    p.mutable_launched()->set_init_pid(body_->init_pid());
    auto& phase = *p.mutable_launched()->add_phases();
    phase.set_name("launch");
    phase.set_ms(watch.elapsed_ms());
    log::info("unit started unit={} pid={}", args_.unit, body_->init_pid());
  } else {
    body_->destroy();
    feeder_.gone();
    set_phase(k::ENDED);
    p.mutable_ended()->set_time_ms(clock_now(CLOCK_REALTIME) / std::chrono::milliseconds(1));
    to_wire(started.error(), {}, *p.mutable_ended()->mutable_failure());
  }
  outbox_.post(std::move(p));
}

void Keeper::checkpoint(const k::TakeCheckpoint& request) {
  Subject subject;
  subject.number = request.number();
  subject.close_connections = request.tcp() == wire::TCP_CLOSE;
  subject.seal_to = request.seal_to();
  {
    const std::scoped_lock lock(mutex_);
    subject.launch.set_unit(args_.unit);
    subject.launch.set_epoch(epoch_);
    subject.launch.set_node(args_.node);
    *subject.launch.mutable_spec() = spec_;
  }
  std::vector<engine::Blocker> blockers;
  const auto taken = take_checkpoint(*body_, subject, stores_, [this](const auto& p) { progress(p); }, blockers);
  Packet p;
  p.mutable_checkpointed()->set_number(request.number());
  if (taken) {
    *p.mutable_checkpointed()->mutable_checkpoint() = *taken;
    log::info("checkpoint {} downtime_ms={:.2f} total_ms={:.1f} bytes={} new={}", taken->image(), taken->downtime_ms(),
              taken->total_ms(), taken->bytes(), taken->bytes_new());
  } else {
    to_wire(taken.error(), blockers, *p.mutable_checkpointed()->mutable_failure());
    log::warn("checkpoint {}: {}", request.number(), taken.error().message());
  }
  {
    const std::scoped_lock lock(mutex_);
    busy_.clear();
  }
  outbox_.post(std::move(p));
}

void Keeper::restore(const k::Restore& request) {
  std::vector<engine::Blocker> blockers;
  const RulesOf rules = [&](const std::string& document) {
    return rules_here(document, {request.caveats().begin(), request.caveats().end()}, identity_);
  };
  const auto restored = restore_checkpoint(
      *body_, args_.dir, {request.image(), request.spec(), rules}, stores_, [this](const auto& p) { progress(p); },
      blockers);
  Packet p;
  if (restored) {
    if (auto r = write_epoch(request.epoch(), {}); !r) log::warn("epoch file: {}", r.error().message());
    open_input();
    {
      const std::scoped_lock lock(mutex_);
      if (request.spec().argv().empty()) spec_ = restored->spec;
      phase_ = k::RUNNING;
    }
    p.mutable_launched()->set_init_pid(body_->init_pid());
    for (const auto& t : restored->phases) {
      auto& phase = *p.mutable_launched()->add_phases();
      phase.set_name(t.step);
      phase.set_ms(t.ms);
    }
    log::info("unit restored unit={} image={} pid={}", args_.unit, request.image(), body_->init_pid());
  } else {
    body_->destroy();
    feeder_.gone();
    set_phase(k::ENDED);
    p.mutable_ended()->set_time_ms(clock_now(CLOCK_REALTIME) / std::chrono::milliseconds(1));
    to_wire(restored.error(), blockers, *p.mutable_ended()->mutable_failure());
    log::warn("restore of {}: {}", request.image(), restored.error().message());
  }
  outbox_.post(std::move(p));
}

void Keeper::check(const Packet& request) {
  Packet p;
  p.set_id(request.id());
  auto found = [&]() -> Result<engine::Inspection> {
    if (body_->init_pid() == 0) return fail(Code::kGone, "there is no unit here");
    TRY(const auto source, body_->source({request.check().grain(), request.check().tcp() == wire::TCP_CLOSE}, spec_));
    return source->inspect();
  }();
  if (!found) return reply_failure(request.id(), found.error());
  auto& checked = *p.mutable_checked();
  checked.set_demands_raw(found->demands);
  checked.set_memory_bytes(found->memory_bytes);
  wire::Failure list;
  to_wire({}, found->blockers, list);
  *checked.mutable_blockers() = std::move(*list.mutable_blockers());
  outbox_.reply(p);
}

void Keeper::admit(const Packet& request) {
  auto blockers = [&]() -> Result<std::vector<engine::Blocker>> {
    TRY(const auto gate, body_->gate(request.admit().grain()));
    return gate->admit(request.admit().demands_raw());
  }();
  if (!blockers) return reply_failure(request.id(), blockers.error());
  Packet p;
  p.set_id(request.id());
  p.mutable_admitted();
  wire::Failure list;
  to_wire({}, *blockers, list);
  *p.mutable_admitted()->mutable_blockers() = std::move(*list.mutable_blockers());
  outbox_.reply(p);
}

void Keeper::discard(const Packet& request) {
  {
    const std::scoped_lock lock(mutex_);
    if (epoch_ > request.discard().epoch() && phase_ != k::ENDED && phase_ != k::GONE) {
      return reply_failure(request.id(), {Code::kRefused, 0, "the unit here has epoch " + std::to_string(epoch_)});
    }
    if (phase_ != k::ENDED) phase_ = k::GONE;
  }
  body_->destroy();
  reply_done(request.id());
}

void Keeper::look_for_end() {
  {
    const std::scoped_lock lock(mutex_);
    if (phase_ != k::RUNNING) return;
  }
  auto end = body_->poll_end();
  if (!end) {
    log::error("init's reports: {}", end.error().message());
    return;
  }
  if (*end) unit_ended(**end);
}

void Keeper::open_input() {
  auto mount = sys::dup(body_->unit_mount().get());
  if (!mount) return log::warn("no input for the unit: {}", mount.error().message());
  feeder_.open(std::move(*mount));
}

void Keeper::unit_ended(const wire::ExitStatus& exit) {
  feeder_.gone();
  set_phase(k::ENDED);
  Packet p;
  *p.mutable_ended()->mutable_exit() = exit;
  p.mutable_ended()->mutable_exit()->set_reason(why_ended_);
  p.mutable_ended()->set_time_ms(clock_now(CLOCK_REALTIME) / std::chrono::milliseconds(1));
  log::info("unit ended unit={} status={} signal={}", args_.unit, exit.status(), exit.signal());
  outbox_.post(std::move(p));
}

Result<void> Keeper::write_epoch(uint64_t epoch, const std::string& token) {
  // Beside the descriptor: the path may mean something else in the unit's mount namespace, and /proc is the unit's own.
  {
    TRY(const Fd file, sys::open_at(unit_dir_, "epoch.new", O_WRONLY | O_CREAT | O_TRUNC, 0600));
    TRY_DO(io::write_full(file.get(), std::to_string(epoch) + (token.empty() ? "" : " " + token) + "\n"));
  }
  if (::renameat(unit_dir_.get(), "epoch.new", unit_dir_.get(), "epoch") < 0)
    return fail_errno(errno, "rename of epoch");
  return {};
}

}  // namespace godwit::keeper
