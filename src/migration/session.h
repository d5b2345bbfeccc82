// Private to the two drivers: the mailbox that everything which happens goes through, stream 0, and what both halves of a
// move have and do alike (Session).
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>

#include "base/clock.h"
#include "base/log.h"
#include "godwit/stream.pb.h"
#include "migration/machine.h"
#include "migration/migration.h"

namespace godwit::migration {

namespace stream = wire::stream;

inline constexpr uint32_t kControlLimit = 256u << 20;  ///< one message; a unit's state is the longest
inline constexpr uint32_t kProtocolVersion = 1;
inline constexpr size_t kTokenBlock = 64;  ///< inside TLS, first on each stream: length, token, zeros

struct Event {
  enum class Kind { kMessage, kLinkLost, kAnswer, kCancel, kStream };
  Kind kind = Kind::kMessage;
  Nanos at{};  ///< when it came
  std::unique_ptr<stream::Control> message;
  Error error;
  Answer answer;

  static Event link_lost(Error error);
  static Event answered(const Answer& answer);
  static Event cancelled(const std::string& why);
};

class Mailbox {
 public:
  void put(Event event);
  /// The next event, or nothing when `timeout` passed without one.
  std::optional<Event> take(Nanos timeout);

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Event> events_;  // guarded by mutex_
};

/// Stream 0: sends messages and heartbeats, puts what arrives into the mailbox. Its loss is reported once.
class ControlLink {
 public:
  /// Sees each message first, on the listening thread; true: it was dealt with there.
  using AtOnce = std::function<bool(ControlLink&, const stream::Control&)>;
  ControlLink(std::unique_ptr<TlsStream> stream, Mailbox& mailbox, Patience patience, std::function<void()> lost,
              AtOnce at_once = {});
  ~ControlLink();
  Result<void> send(const stream::Control& message);
  /// Ends after what was sent was read: waits a moment for the peer to close first.
  void linger(Nanos at_most);
  [[nodiscard]] uint64_t bytes() const { return stream_->bytes_written(); }

 private:
  void listen();
  void beat();
  Result<void> receive(stream::Control& message);

  std::unique_ptr<TlsStream> stream_;
  Mailbox& mailbox_;
  Patience patience_;
  std::function<void()> lost_;
  AtOnce at_once_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool ending_ = false;  // guarded by mutex_
  bool over_ = false;  // guarded by mutex_
  std::jthread listener_, heart_;
};

Result<void> send_token(TlsStream& s, const std::string& token, Nanos timeout);
Result<void> check_token(TlsStream& s, const std::string& token, Nanos timeout);

void to_wire(const Error& error, const std::vector<engine::Blocker>& blockers, wire::Failure& out);
Error from_wire(const wire::Failure& failure, std::vector<engine::Blocker>& blockers);
void to_wire(const engine::Blocker& b, wire::Blocker& out);
engine::Blocker from_wire(const wire::Blocker& b);

/// SHA-256 over the page root and the digests of state and files (lazy: and of the list of runs that follow): what the
/// state is known by.
Digest256 state_digest(const Digest256& page_root, const std::string& state, const std::string& files,
                       const std::string& later = {});
inline std::span<const std::byte> bytes_of(const std::string& s) { return std::as_bytes(std::span(s)); }
inline std::string string_of(const Digest256& d) { return {reinterpret_cast<const char*>(d.data()), d.size()}; }

/// The phases of a move, in order.
class Phases {
 public:
  void add(std::string name, double ms) { list_.push_back({std::move(name), ms}); }
  [[nodiscard]] const std::vector<engine::Timing>& list() const { return list_; }

 private:
  std::vector<engine::Timing> list_;
};

/// What both halves have and do alike.
class Session {
 public:
  void answer(const Answer& answer) { mailbox_.put(Event::answered(answer)); }
  void cancel(const std::string& why) { mailbox_.put(Event::cancelled(why)); }

 protected:
  Session(Plan plan, SSL_CTX* tls, Delegate& delegate) : plan_(std::move(plan)), tls_(tls), delegate_(delegate) {}
  ~Session() = default;

  /// The first error is the one that is told.
  void note(Error error) {
    if (!outcome_.error) outcome_.error = std::move(error);
  }
  /// From `state` as the table says, and on by the events that the actions raise. `check` comes after each transition.
  template <typename State, typename What, typename Perform, typename Check>
  void follow(State& state, What event, Perform perform, Check check) {
    for (bool more = true; more;) {
      const auto st = step(state, event);
      if (!st.known) return;
      log::debug("move {}: {} -> {}", plan_.migration, name(state), name(st.next));
      state = st.next;
      more = false;
      for (const auto action : st.actions) {
        if (const auto raised = perform(action)) {
          event = *raised;
          more = true;
        }
      }
      check();
    }
  }

  const Plan plan_;
  SSL_CTX* const tls_;
  Delegate& delegate_;
  Mailbox mailbox_;
  bool link_lost_ = false;
  std::string state_bytes_, files_bytes_;
  std::string later_bytes_;  // lazy
  Phases phases_;
  Stopwatch total_, lap_;
  Outcome outcome_;
};

}  // namespace godwit::migration
