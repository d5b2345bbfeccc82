// Keeper: the daemon's end of the connection to one keeper.
//
// Threads: request() and the rest may be called from any. One thread reads; events are handed to `on_event` on it, which
// must not block and must not call request().
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <thread>

#include "base/result.h"
#include "godwit/keeper.pb.h"
#include "link/link.h"
#include "rpc/rpc.h"

namespace godwit::node {

/// An error with all reasons of a refusal, as rpc carries it.
template <typename T = void>
using Outcome = std::expected<T, rpc::Failure>;
inline std::unexpected<rpc::Failure> failed(Code code, std::string text) {
  return std::unexpected(rpc::Failure{Error{code, 0, std::move(text)}, {}});
}
inline std::unexpected<rpc::Failure> failed(Error error) { return std::unexpected(rpc::Failure{std::move(error), {}}); }
rpc::Failure failure_of(const wire::Failure& failure);

class Keeper {
 public:
  using Packet = wire::keeper::Packet;
  using State = wire::keeper::State;
  /// Called for each event, and with null once: the connection ended.
  using Events = std::function<void(const Packet*)>;

  /// Connects and reads the keeper's hello; events come from then on. Nobody there is Code::kPeer or kNotFound.
  static Result<std::unique_ptr<Keeper>> connect(const std::string& dir, Events on_event);
  /// Ends the connection; the keeper lives on. Not from on_event.
  ~Keeper();

  /// Sends a request and waits for its reply; `failure` becomes the error. A connection that ends is Code::kPeer.
  Outcome<Packet> request(Packet packet, std::span<const int> fds = {},
                          std::chrono::milliseconds limit = std::chrono::seconds(20));
  /// Acknowledges a durable event.
  void ack(uint64_t seq);

  /// As of the last hello or status.
  [[nodiscard]] State state() const;
  /// Asks for the present state.
  Outcome<State> refresh(std::chrono::milliseconds limit = std::chrono::seconds(2));
  [[nodiscard]] bool connected() const { return connected_; }

 private:
  Keeper(Fd socket, Events on_event) : channel_(std::move(socket)), on_event_(std::move(on_event)) {}
  void read_all();
  void take_reply(Packet&& packet);

  link::Channel channel_;
  const Events on_event_;
  std::atomic<bool> connected_ = true;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  uint64_t next_id_ = 1;
  std::map<uint64_t, std::optional<Packet>> pending_;
  State state_;
  std::thread reader_;
};

}  // namespace godwit::node
