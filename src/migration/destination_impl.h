// Private to destination*.cc: the destination's half of a move as a class. See destination.cc.
#pragma once

#include <atomic>

#include "base/base.h"
#include "migration/arrivals.h"
#include "migration/late.h"
#include "migration/machine.h"
#include "migration/session.h"

namespace godwit::migration {

class Incoming::Impl : public Session {
 public:
  Impl(Plan plan, SSL_CTX* tls, engine::DestinationEngine& engine, DestinationFiles* files, Delegate& delegate)
      : Session(std::move(plan), tls, delegate), arrivals_(plan_, tls_, mailbox_), engine_(engine), files_(files) {}
  ~Impl();

  void add_stream(uint32_t index, Fd socket) { arrivals_.add(index, std::move(socket)); }
  Outcome run();
  /// A step that waits for the streams ends, too.
  void give_up(const std::string& why);

 private:
  using Control = stream::Control;

  // destination.cc
  void handle(DestinationEvent event);
  std::optional<DestinationEvent> perform(DestinationAction action);
  std::optional<DestinationEvent> wait();
  std::optional<DestinationEvent> on_link_lost(const Error& error);
  std::optional<DestinationEvent> on_answer(const Answer& answer);
  std::optional<DestinationEvent> on_message(const Control& m);
  std::optional<DestinationEvent> on_late(const Control& m);
  Result<bool> serve(const Control& m);
  std::optional<DestinationEvent> look_for_arrival();

  // destination_steps.cc
  Result<void> gather();
  void listen(std::unique_ptr<TlsStream> control);
  void receive(std::vector<std::unique_ptr<TlsStream>> data);
  Result<void> on_hello(const stream::Hello& hello);
  Result<void> admit();
  Result<void> send_verdict();
  Result<void> refuse_for(std::vector<engine::Blocker> blockers);
  Result<void> on_files_offer(const stream::FilesOffer& offer);
  Result<void> on_files_sent(const stream::FilesSent& sent);
  Result<void> on_outline(const stream::Outline& outline);
  Result<void> on_round(const stream::RoundSent& sent);
  Result<void> on_complete(const stream::Complete& complete);
  Result<void> restore();
  void send_granted();
  Result<void> resume();
  void send_committed();
  bool take_late(const Control& m);
  void send_delivered();
  void discard();
  void send_aborted();
  Result<void> reply(const Control& m);

  Arrivals arrivals_;
  engine::DestinationEngine& engine_;
  DestinationFiles* const files_;

  std::mutex mutex_;
  PageReceiver* live_receiver_ = nullptr;  // guarded by mutex_; for give_up() and a lost link

  DestinationState state_ = DestinationState::kWaiting;
  std::vector<std::unique_ptr<TlsStream>> data_;
  std::unique_ptr<PageReceiver> receiver_;
  std::unique_ptr<ControlLink> control_;
  bool ours_ = false;
  std::string demands_;
  uint32_t expected_streams_ = 0;
  bool files_follow_ = false;
  bool lazy_ = false;
  LateAsker asker_;
  std::atomic<bool> cut_{false};  // lazy: set by the listening thread
  std::mutex late_mutex_;
  std::atomic<bool> expects_{false};  // lazy: the engine was told what is missing; cleared under late_mutex_
};

}  // namespace godwit::migration
