// The protocol's two state machines, pure: an event goes in, the next state and the actions to take come out.
//
//                 source                                             destination
//
//   kPlanned                                            kWaiting
//      │ kStart: connect, demands ──────────────────────▶ │ kDemands: entrance check
//   kChecking ◀──────────────────── verdict, blockers ── kChecking ──kRefused──▶ kEmpty
//      │ kWelcome: files, rounds of memory ─────────────▶ │ kWelcome
//   kPrecopy                                            kReceiving
//      │ kConverged: freeze, capture                      │
//   kFrozen                                               │
//      │ kCaptured: Complete ───────────────────────────▶ │ kComplete: digest compared, restore
//   kTransferred                                        kRestoring
//      │                                                  │ kRestored: ask for the commit
//      │ (link lost, silence, cancel: ask the store)    kAsking ◀──── kTick: ask again
//   kAsking ◀─── kTick: ask again                         │ kGranted: resume
//      │                     ◀───────────── Committed ── kRunning
//      ▼ kPeerCommitted, kAnswerCommitted: discard
//   kGone
//
//   Lazy moves: with Granted the source doesn't discard but serves the memory that is still missing there.
//
//   kTransferred, kAsking                               kAsking
//      │                     ◀──────────────── Granted ── │ kGrantedLate: resume, Committed
//      │ kPeerTook                                      kArriving ──kLinkLost──▶ kLost: the unit is ended
//   kServing: pages ────────────────────────────────────▶ │ kArrived
//      │ kDelivered          ◀────────────── Delivered ── kRunning
//   kGone (also when the link is lost: the commit has disowned it)
//
//   Every failure before kTransferred ends in kStays (thawed) and kEmpty (discarded), each side on its own. From
//   kTransferred on the source thaws only on the word of the destination (Aborted: it never will ask) or of the store.
//
// What holds (assert_state checks what can be seen from inside; machine_explorer_test.cc proves the rest):
//   source      copy exists in all states but kGone; runs in kPlanned, kChecking, kPrecopy, kStays; stands in kFrozen,
//               kTransferred, kAsking; kServing: memory to be read, it will never run again
//   destination runs in kRunning and kArriving only; kAsking: complete, stands; kEmpty: nothing is left
//   store       the first of Commit and Resolve decides, and the answer never changes
//
// Who makes the transitions: source.cc (class Outgoing) and destination.cc (class Incoming), nobody else.
#pragma once

#include <span>
#include <string_view>

namespace godwit::migration {

enum class SourceState { kPlanned, kChecking, kPrecopy, kFrozen, kTransferred, kAsking, kServing, kStays, kGone };
enum class SourceEvent {
  kStart,
  kWelcome,
  kRefused,
  kConverged,  ///< files are there, and another round of memory isn't worth it
  kCaptured,   ///< all memory was sent, the state is in hand
  kFailed,     ///< a step here failed, or was cancelled
  kLinkLost,   ///< cut, silent, or the peer broke the protocol
  kPeerAborted,
  kPeerCommitted,
  kPeerTook,       ///< lazy: the commit is the destination's, and it needs the memory here
  kDelivered,      ///< lazy: nothing is missing there any more
  kAnswerAborted,  ///< the store's answer
  kAnswerCommitted,
  kTick,  ///< the question was not answered for a while
};
enum class SourceAction {
  kConnect,
  kPrecopy,
  kCapture,
  kSendComplete,
  kAskResolve,
  kServe,
  kSendAbort,
  kThaw,
  kDiscard,
  kFinish
};

enum class DestinationState {
  kWaiting,
  kChecking,
  kReceiving,
  kRestoring,
  kAsking,
  kArriving,  ///< lazy: runs, and memory is still missing
  kRunning,
  kLost,  ///< lazy: was ended, since its memory can't come any more
  kEmpty
};
enum class DestinationEvent {
  kDemands,
  kWelcome,
  kRefused,
  kComplete,  ///< everything arrived, and the digest is right
  kRestored,
  kFailed,  ///< a step here failed, or was cancelled
  kLinkLost,
  kPeerAborted,
  kGranted,
  kGrantedLate,  ///< lazy
  kArrived,      ///< lazy: nothing is missing any more
  kDenied,
  kTick,
};
enum class DestinationAction {
  kAdmit,
  kSendVerdict,
  kRestore,
  kAskCommit,
  kSendGranted,
  kResume,
  kSendCommitted,
  kSendDelivered,
  kLose,
  kDiscard,
  kSendAborted,
  kFinish
};

std::string_view name(SourceState state);
std::string_view name(DestinationState state);

/// Where an event leads. `known` is false when the event has no meaning in that state: nothing happens then.
template <typename State, typename Action>
struct Step {
  State next;
  std::span<const Action> actions;
  bool known;
};

using SourceStep = Step<SourceState, SourceAction>;
using DestinationStep = Step<DestinationState, DestinationAction>;

SourceStep step(SourceState state, SourceEvent event);
DestinationStep step(DestinationState state, DestinationEvent event);

inline bool is_final(SourceState s) { return s == SourceState::kStays || s == SourceState::kGone; }
inline bool is_final(DestinationState s) {
  return s == DestinationState::kRunning || s == DestinationState::kLost || s == DestinationState::kEmpty;
}

}  // namespace godwit::migration
