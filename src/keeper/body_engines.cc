// The engines of a unit on this node: the pod engine, and for a program that goes on on another architecture the portable one.
//
// Both build a unit in namespaces that the keeper enters at the first prepare(), when its files are here.
#include <fcntl.h>

#include "base/base.h"
#include "base/program_file.h"
#include "keeper/body.h"
#include "portable/engine/engine.h"

namespace godwit::keeper {

std::string Body::architecture() const { return emulated_.empty() ? machine_name() : emulated_; }

Result<std::unique_ptr<engine::SourceEngine>> Body::source(const Wish& wish, const wire::UnitSpec& spec) const {
  if (wish.grain == wire::PORTABLE) {
    portable::SourceOptions options;
    options.init = init_;
    options.main_pid = kMainPid;
    options.has_input = spec.tty() || spec.interactive();
    TRY(options.proc, sys::dup(proc_.get()));
    return portable::make_source(std::move(options));
  }
  pod::SourceOptions options;
  options.root = init_;
  options.own_pid_namespace = true;
  options.main_pid = sandbox_ ? sandbox_->main_pid() : 0;
  options.main_status = [this]() -> std::optional<int> {
    if (auto r = sandbox_->read_exits(); !r) log::warn("what the unit's init tells: {}", r.error().message());
    return sandbox_->main_status();
  };
  options.close_connections = wish.close_connections;
  TRY(options.proc, sys::dup(proc_.get()));
  return pod::make_source(std::move(options));
}

// An engine that is made at the first prepare(), when the unit's namespaces are entered.
class Body::Receiver : public engine::DestinationEngine {
 public:
  Result<std::vector<engine::Blocker>> admit(const std::string& demands) override {
    TRY(const auto gate, body_.gate(grain_));
    return gate->admit(demands);
  }
  Result<void> prepare(const std::string& outline) override {
    if (!engine_) TRY_DO(begin(outline));
    return engine_->prepare(outline);
  }
  engine::PageWriter& writer() override { return engine_->writer(); }  // no page comes before prepare()
  Result<std::vector<engine::Blocker>> admit_late() override {
    TRY(const auto gate, body_.gate(grain_));
    return gate->admit_late();
  }
  Result<void> expect_late(std::vector<engine::PageRun> later, engine::LatePages& pages) override {
    if (!engine_) return fail(Code::kPeer, "memory that follows without an outline");
    return engine_->expect_late(std::move(later), pages);
  }
  bool misses_pages() override { return engine_ && engine_->misses_pages(); }
  Result<void> finish_late() override { return engine_ ? engine_->finish_late() : Result<void>(); }
  void lose_late() override {
    if (engine_) engine_->lose_late();
  }
  Result<void> restore(const std::string& state) override {
    if (!engine_) return fail(Code::kPeer, "a state without an outline");
    TRY_DO(engine_->restore(state));
    return body_.arm_limits();
  }
  bool takes_over() const override { return !engine_ || engine_->takes_over(); }
  Result<void> resume() override {
    TRY_DO(body_.arm_addresses());
    return engine_->resume();
  }
  Result<void> discard() override {
    auto result = engine_ ? engine_->discard() : Result<void>();
    body_.destroy();
    return result;
  }
  std::vector<engine::Timing> timings() const override {
    return engine_ ? engine_->timings() : std::vector<engine::Timing>();
  }

 protected:
  Receiver(Body& body, wire::Grain grain) : body_(body), grain_(grain) {}
  /// Makes the engine.
  virtual Result<void> begin(const std::string& outline) = 0;
  Body& body_;
  const wire::Grain grain_;
  std::unique_ptr<engine::DestinationEngine> engine_;
};

// The pod engine needs to know the unit's clocks when it is made; they come with the first outline.
class Body::PodReceiver : public Body::Receiver {
 public:
  PodReceiver(Body& body, wire::UnitSpec spec, bool close_connections)
      : Receiver(body, wire::POD), spec_(std::move(spec)), close_connections_(close_connections) {}

 private:
  Result<void> begin(const std::string& outline) override {
    TRY(const pod::ClockOffsets offsets, pod::clock_offsets_for(outline));
    if (!body_.sandbox_) TRY_DO(body_.enter(spec_, offsets));
    pod::DestinationOptions options;
    options.scratch_dir = body_.unit_dir_;
    options.close_connections = close_connections_;
    if (body_.rules_.any()) options.forbidden_capabilities = ~confine::kept_capabilities(body_.rules_);
    options.sockets_of_tree = body_.rules_.addresses;
    options.monotonic_offset = offsets.monotonic;
    options.boottime_offset = offsets.boottime;
    options.start_init = [this](int keep_fd) -> Result<pid_t> {
      TRY(const pid_t init, body_.sandbox_->start_init(keep_fd));
      body_.sandbox_->set_main_pid(kMainPid);
      body_.init_ = init;
      return init;
    };
    options.main_ended = [this](int status) { body_.sandbox_->set_main_status(status); };
    TRY(options.proc, sys::dup(body_.proc_.get()));
    TRY(engine_, pod::make_destination(std::move(options)));
    return {};
  }
  const wire::UnitSpec spec_;
  bool close_connections_;
};

// The portable engine's program is started as any other, and waits for what is to become of it.
class Body::PortableReceiver : public Body::Receiver {
 public:
  PortableReceiver(Body& body, wire::UnitSpec spec) : Receiver(body, wire::PORTABLE), spec_(std::move(spec)) {}

 private:
  Result<void> begin(const std::string& /*outline*/) override {
    portable::DestinationOptions options;
    options.architecture = body_.architecture();
    TRY(options.proc, sys::dup(body_.proc_.get()));
    options.start = [this](const std::string& program, const std::string& variable) -> Result<pid_t> {
      if (!body_.sandbox_) TRY_DO(body_.enter(spec_, std::nullopt));
      pod::Sandbox::Program first;
      // Its arguments are in its memory; these are for who lists processes.
      first.argv = {program};
      for (int i = 1; i < spec_.argv_size(); i++) first.argv.push_back(spec_.argv(i));
      first.env = {variable};
      TRY_DO(body_.start(spec_, std::move(first)));
      for (const pid_t pid : body_.processes())
        if (pod::pid_inside(body_.proc_, pid) == kMainPid) return pid;
      return fail(Code::kFailed, program + " ended as soon as it was started");
    };
    TRY(engine_, portable::make_destination(std::move(options)));
    return {};
  }
  const wire::UnitSpec spec_;
};

Result<std::unique_ptr<engine::DestinationEngine>> Body::destination(const Wish& wish, const wire::UnitSpec& spec) {
  if (wish.grain == wire::PORTABLE) return std::make_unique<PortableReceiver>(*this, spec);
  if (!emulated_.empty())
    return fail(Code::kRefused, "this node is an emulated " + emulated_ + ": only portable programs can come here");
  return std::make_unique<PodReceiver>(*this, spec, wish.close_connections);
}

Result<std::unique_ptr<engine::DestinationEngine>> Body::gate(wire::Grain grain) const {
  if (grain == wire::PORTABLE) {
    portable::DestinationOptions options;
    options.architecture = architecture();
    return portable::make_destination(std::move(options));
  }
  pod::DestinationOptions options;
  options.scratch_dir = unit_dir_;
  options.start_init = [](int) -> Result<pid_t> { return fail(Code::kFailed, "the entrance check starts nothing"); };
  TRY(options.proc, sys::dup(proc_.get()));
  return pod::make_destination(std::move(options));
}

}  // namespace godwit::keeper
