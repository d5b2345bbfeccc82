// Private to source*.cc: the source's half of a move as a class. See source.cc.
#pragma once

#include <atomic>

#include "base/base.h"
#include "migration/late.h"
#include "migration/machine.h"
#include "migration/session.h"

namespace godwit::migration {

class Outgoing::Impl : public Session {
 public:
  Impl(Plan plan, std::string endpoint, SSL_CTX* tls, engine::SourceEngine& engine, SourceFiles* files,
       Delegate& delegate)
      : Session(std::move(plan), tls, delegate), endpoint_(std::move(endpoint)), engine_(engine), files_(files) {}
  ~Impl() { hang_up(); }

  Outcome run();
  [[nodiscard]] bool frozen() const { return frozen_; }

 private:
  using Control = stream::Control;

  // source.cc
  void handle(SourceEvent event);
  std::optional<SourceEvent> perform(SourceAction action);
  std::optional<SourceEvent> wait_for_word();
  /// Waits for a reply of this kind; anything else ends the step and is left in why_.
  Result<Control> expect(Control::BodyCase kind, Nanos patience);
  /// What an event that isn't a reply means; nothing when it has no meaning here.
  std::optional<SourceEvent> meaning(Event& event);
  std::optional<SourceEvent> meaning_of_message(const Event& event);
  SourceEvent take_committed(const Event& event);
  /// A stream that broke under what was being sent: why the destination gave up comes on stream 0, after it has removed
  /// all. Waits a moment for that; what it says counts in the place of `error`.
  void hear_reason(const Error& error);
  void assert_state() const;

  // source_steps.cc
  Result<void> connect();
  Result<std::unique_ptr<TlsStream>> open_stream(uint32_t index);
  Result<engine::Inspection> inspect();
  Result<void> open_streams();
  Result<void> precopy();
  Result<void> send_files();
  Result<void> refuse_for(std::vector<engine::Blocker> blockers);
  Result<void> rounds();
  Result<void> offer_outline(const std::string& outline, Nanos patience);
  Result<void> capture();
  Result<void> send_complete();
  Result<void> serve();
  Result<void> hear(Nanos timeout);
  void send_abort();
  void thaw();
  Result<void> discard();
  void hang_up();
  void finish();
  void report(const char* step, uint64_t done, uint64_t total) {
    delegate_.progress({step, done, total, outcome_.report.rounds});
  }

  /// What is sent from here on belongs to it.
  void begin_step(const char* step, uint64_t bytes) {
    step_ = step;
    step_begins_ = sender_->traffic().raw_bytes;
    step_bytes_ = bytes;
  }

  const std::string endpoint_;
  engine::SourceEngine& engine_;
  SourceFiles* const files_;

  SourceState state_ = SourceState::kPlanned;
  SourceEvent why_ = SourceEvent::kFailed;
  std::atomic<bool> frozen_{false};
  std::vector<std::unique_ptr<TlsStream>> data_;
  std::unique_ptr<ControlLink> control_;
  std::unique_ptr<PageSender> sender_;
  const char* step_ = "files";  // that what is sent now belongs to
  uint64_t step_begins_ = 0, step_bytes_ = 0;
  uint64_t mark_ = 0;
  uint32_t outlines_ = 0;
  std::string demands_;
  std::string outline_;  // the last one that the destination has prepared
  Nanos frozen_at_{}, completed_at_{}, running_at_{};
  double their_ms_ = 0;  // of the time since Complete, what the destination spent
  bool granted_ = false;  // the destination said that the commit is its
  const bool lazy_ = plan_.mode == Mode::kLazy;
  LateServer late_;
  bool runs_there_ = false, delivered_ = false;
};

}  // namespace godwit::migration
