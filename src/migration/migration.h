// migration: moves a unit from this keeper to another (Outgoing) or from another to this one (Incoming).
//
//     Outgoing move(plan, endpoint, tls, engine, files, delegate);      Incoming move(plan, tls, engine, files, delegate);
//     Outcome outcome = move.run();                                     move.add_stream(0, std::move(socket)); …
//                                                                       Outcome outcome = move.run();
//
// The protocol is in machine.h, the bytes in docs/formats/stream.md, the reasons in docs/design/migration.md. It knows
// engines by engine/engine.h only, never touches a process, and never decides who owns a unit: the store does.
//
// Threads. run() makes all engine calls on the thread that calls it (a ptrace tracer is a thread) and returns when the
// move is over for this side. answer(), cancel() and add_stream() may be called from any thread meanwhile. The
// delegate is called from run()'s thread.
//
// Promise. When Outgoing::run() returns, either the unit runs here (outcome.committed is false) or it was discarded.
// When Incoming::run() returns, either it runs here or nothing of it is left here. Neither returns while that is unknown.
// Lazy: they return when all memory has arrived. If the link was lost before, both outcomes are committed and have an
// error: the unit has ended.
#pragma once

#include <openssl/types.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "engine/engine.h"
#include "engine/policy.h"
#include "migration/files_hook.h"
#include "migration/tls_stream.h"

namespace godwit::migration {

enum class Mode { kLive, kLazy, kStop };

struct Plan {
  std::string migration;  ///< 16 lower-case hex digits
  std::string unit;
  uint64_t epoch = 0;  ///< at the source
  std::string peer;  ///< the name that the other side's certificate must have
  std::string token;  ///< shown once a stream, 1 to 63 bytes
  Mode mode = Mode::kLive;
  unsigned data_streams = 2;
  int zstd_level = 0;  ///< 0: when it pays; -1: never; > 0: always
  engine::PrecopyGoal goal;
  Patience patience;
  Nanos reply = std::chrono::seconds(60);  ///< how long a step of the other side may take while the unit runs
  Nanos verdict =
      std::chrono::seconds(10);  ///< how long a frozen unit waits for its destination before it asks the store
  Nanos arrival = std::chrono::seconds(60);  ///< how long a destination waits for its streams
};

struct Progress {
  std::string step;  ///< a phase name
  uint64_t bytes_done = 0;
  uint64_t bytes_total = 0;
  unsigned round = 0;
};

struct Report {
  double downtime_ms = 0;  ///< from the first thread stopped until the destination's word arrived that it runs
  double total_ms = 0;
  uint64_t bytes_sent = 0;
  uint64_t bytes_raw = 0;
  uint64_t files_bytes = 0;
  uint64_t memory_bytes = 0;
  unsigned rounds = 0;
  uint64_t pages_wanted = 0;  ///< lazy: that a thread waited for, sent at once
  uint64_t pages_later = 0;  ///< lazy: that followed after the commit, in all
  std::string precopy_end;  ///< why no further round
  std::vector<engine::Timing> phases;
};

/// How a move ended here.
struct Outcome {
  bool committed = false;
  uint64_t epoch = 0;  ///< the new one, when committed
  std::string token;  ///< of the commit
  /// Not committed: why. Committed: what went wrong after it (nothing of that can be undone).
  std::optional<Error> error;
  std::vector<engine::Blocker> blockers;  ///< when it was refused
  Report report;
};

/// What the store says: to a destination that asked for the commit, or to a source that asked how it ended.
struct Answer {
  bool committed = false;  ///< granted; else denied, aborted
  uint64_t epoch = 0;
  std::string token;
  std::string reason;
};

class Delegate {
 public:
  virtual ~Delegate() = default;
  virtual void progress(const Progress&) {}
  /// Put the question to the store (destination: Commit; source: Resolve), again if it was put before; answer() brings
  /// what it says, whenever that is. `why` is for people: what went wrong here, null when nothing did.
  virtual void ask(const Error* why) = 0;
  /// Destination, after the commit and before anything runs: this epoch is ours. The unit stands still meanwhile.
  virtual void granted(const Answer&) {}
  /// Source, in the freeze: its signature that the state of this digest (32 bytes) is handed over; empty: none is wanted.
  virtual Result<std::string> hand_over(std::string_view digest) {
    (void)digest;
    return std::string();
  }
  /// Destination, before a byte of that state is read: what the source signed. An error refuses the state.
  virtual Result<void> take_over(std::string_view digest, const std::string& statement) {
    (void)digest, (void)statement;
    return {};
  }
  /// Destination of a lazy move: the unit runs, its memory is still arriving.
  virtual void arriving() {}
};

class Outgoing {
 public:
  /// `tls` is a client context (base/pki.h). `files` may be null: nothing travels but the engine's state.
  Outgoing(Plan plan, std::string endpoint, SSL_CTX* tls, engine::SourceEngine& engine, SourceFiles* files,
           Delegate& delegate);
  ~Outgoing();
  Outcome run();
  void answer(const Answer& answer);
  /// Ends the move without a commit if that is still possible.
  void cancel(const std::string& why);
  /// True between freeze and thaw.
  [[nodiscard]] bool frozen() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

class Incoming {
 public:
  Incoming(Plan plan, SSL_CTX* tls, engine::DestinationEngine& engine, DestinationFiles* files, Delegate& delegate);
  ~Incoming();
  /// A connected socket whose preamble was read. A stream that isn't the right peer's is dropped, no more.
  void add_stream(uint32_t index, Fd socket);
  Outcome run();
  void answer(const Answer& answer);
  void cancel(const std::string& why);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace godwit::migration
