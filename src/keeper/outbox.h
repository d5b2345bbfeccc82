// Outbox: what the keeper has to tell its daemon. Durable events wait here until they are acknowledged, and are said again
// to each daemon that connects (proto/godwit/keeper.proto). Questions wait until they are answered.
//
// Threads: all of it may be called from any thread.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>

#include "godwit/keeper.pb.h"
#include "link/link.h"

namespace godwit::keeper {

using Packet = wire::keeper::Packet;

class Outbox {
 public:
  /// A daemon connected: Hello first, then everything that waits.
  void connected(std::shared_ptr<link::Channel> channel, const wire::keeper::State& hello);
  void disconnected();
  /// A durable event: numbered, sent, kept.
  void post(Packet event);
  /// Progress: lost when nobody listens.
  void tell(const Packet& event);
  void reply(const Packet& packet);
  void acknowledged(uint64_t seq);
  /// The answer to a question came: no daemon is asked it again.
  void answered(Packet::BodyCase question);
  [[nodiscard]] bool asks(Packet::BodyCase question) const;
  [[nodiscard]] bool empty() const;

 private:
  mutable std::mutex mutex_;
  std::shared_ptr<link::Channel> channel_;  // guarded by mutex_
  std::map<uint64_t, Packet> waiting_;  // guarded by mutex_
  uint64_t last_seq_ = 0;  // guarded by mutex_
};

}  // namespace godwit::keeper
