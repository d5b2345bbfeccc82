#include "migration/machine.h"

#include <algorithm>
#include <array>
#include <initializer_list>
#include <vector>

namespace godwit::migration {
namespace {

template <typename State, typename Event, typename Action>
struct Row {
  State from;
  Event event;
  State to;
  std::vector<Action> actions;
};

using S = SourceState;
using SE = SourceEvent;
using SA = SourceAction;
using D = DestinationState;
using DE = DestinationEvent;
using DA = DestinationAction;

// The two tables are the protocol. A change here is proved or refuted by machine_explorer_test.cc.
const std::vector<Row<S, SE, SA>>& source_table() {
  // Thawed first: nothing of it can be running there, and each millisecond is downtime.
  static const std::vector<SA> back = {SA::kThaw, SA::kSendAbort, SA::kFinish};
  static const std::vector<SA> thaw = {SA::kThaw, SA::kFinish};
  static const std::vector<SA> gone = {SA::kDiscard, SA::kFinish};
  static const std::vector<Row<S, SE, SA>> table = {
      {S::kPlanned, SE::kStart, S::kChecking, {SA::kConnect}},
      {S::kPlanned, SE::kFailed, S::kStays, {SA::kFinish}},

      {S::kChecking, SE::kWelcome, S::kPrecopy, {SA::kPrecopy}},
      {S::kChecking, SE::kRefused, S::kStays, {SA::kFinish}},
      {S::kChecking, SE::kFailed, S::kStays, back},
      {S::kChecking, SE::kLinkLost, S::kStays, thaw},
      {S::kChecking, SE::kPeerAborted, S::kStays, thaw},

      {S::kPrecopy, SE::kConverged, S::kFrozen, {SA::kCapture}},
      {S::kPrecopy, SE::kFailed, S::kStays, back},
      {S::kPrecopy, SE::kLinkLost, S::kStays, thaw},
      {S::kPrecopy, SE::kPeerAborted, S::kStays, thaw},

      {S::kFrozen, SE::kCaptured, S::kTransferred, {SA::kSendComplete}},
      {S::kFrozen, SE::kFailed, S::kStays, back},
      {S::kFrozen, SE::kLinkLost, S::kStays, thaw},
      {S::kFrozen, SE::kPeerAborted, S::kStays, thaw},

      // A part of Complete may have arrived: from here on only the destination's word or the store's decides.
      {S::kTransferred, SE::kPeerCommitted, S::kGone, gone},
      {S::kTransferred, SE::kPeerAborted, S::kStays, thaw},
      {S::kTransferred, SE::kFailed, S::kAsking, {SA::kAskResolve}},
      {S::kTransferred, SE::kLinkLost, S::kAsking, {SA::kAskResolve}},

      {S::kAsking, SE::kPeerCommitted, S::kGone, gone},
      {S::kAsking, SE::kPeerAborted, S::kStays, thaw},
      {S::kAsking, SE::kAnswerCommitted, S::kGone, gone},
      {S::kAsking, SE::kAnswerAborted, S::kStays, thaw},
      {S::kAsking, SE::kTick, S::kAsking, {SA::kAskResolve}},

      {S::kTransferred, SE::kPeerTook, S::kServing, {SA::kServe}},
      {S::kAsking, SE::kPeerTook, S::kServing, {SA::kServe}},
      {S::kServing, SE::kDelivered, S::kGone, gone},
      {S::kServing, SE::kFailed, S::kGone, gone},
      {S::kServing, SE::kLinkLost, S::kGone, gone},
  };
  return table;
}

const std::vector<Row<D, DE, DA>>& destination_table() {
  // Discarded first: Aborted means that nothing is left here.
  static const std::vector<DA> undo = {DA::kDiscard, DA::kSendAborted, DA::kFinish};
  // The source knows, or can't be told.
  static const std::vector<DA> gone = {DA::kDiscard, DA::kFinish};
  static const std::vector<Row<D, DE, DA>> table = {
      {D::kWaiting, DE::kDemands, D::kChecking, {DA::kAdmit}},
      {D::kWaiting, DE::kFailed, D::kEmpty, undo},
      {D::kWaiting, DE::kLinkLost, D::kEmpty, gone},
      {D::kWaiting, DE::kPeerAborted, D::kEmpty, gone},

      {D::kChecking, DE::kWelcome, D::kReceiving, {DA::kSendVerdict}},
      {D::kChecking, DE::kRefused, D::kEmpty, {DA::kDiscard, DA::kSendVerdict, DA::kFinish}},
      {D::kChecking, DE::kFailed, D::kEmpty, undo},
      {D::kChecking, DE::kLinkLost, D::kEmpty, gone},
      {D::kChecking, DE::kPeerAborted, D::kEmpty, gone},

      {D::kReceiving, DE::kComplete, D::kRestoring, {DA::kRestore}},
      {D::kReceiving, DE::kFailed, D::kEmpty, undo},
      {D::kReceiving, DE::kLinkLost, D::kEmpty, gone},
      {D::kReceiving, DE::kPeerAborted, D::kEmpty, gone},

      // The link isn't needed any more: a unit that arrived whole may live even when its source died meanwhile.
      {D::kRestoring, DE::kRestored, D::kAsking, {DA::kAskCommit}},
      {D::kRestoring, DE::kFailed, D::kEmpty, undo},

      {D::kAsking, DE::kGranted, D::kRunning, {DA::kSendGranted, DA::kResume, DA::kSendCommitted, DA::kFinish}},
      {D::kAsking, DE::kGrantedLate, D::kArriving, {DA::kSendGranted, DA::kResume, DA::kSendCommitted}},
      {D::kAsking, DE::kDenied, D::kEmpty, undo},
      {D::kAsking, DE::kTick, D::kAsking, {DA::kAskCommit}},

      {D::kArriving, DE::kArrived, D::kRunning, {DA::kSendDelivered, DA::kFinish}},
      {D::kArriving, DE::kFailed, D::kLost, {DA::kLose, DA::kFinish}},
      {D::kArriving, DE::kLinkLost, D::kLost, {DA::kLose, DA::kFinish}},
  };
  return table;
}

template <typename State, typename Event, typename Action>
Step<State, Action> look_up(const std::vector<Row<State, Event, Action>>& table, State state, Event event) {
  for (const auto& row : table) {
    if (row.from == state && row.event == event) return {row.to, row.actions, true};
  }
  return {state, {}, false};
}

}  // namespace

std::string_view name(SourceState state) {
  constexpr std::array<std::string_view, 9> kNames = {"planned", "checking", "precopy", "frozen", "transferred",
                                                      "asking",  "serving",  "stays",   "gone"};
  return kNames.at(static_cast<size_t>(state));
}
std::string_view name(DestinationState state) {
  constexpr std::array<std::string_view, 9> kNames = {"waiting",  "checking", "receiving", "restoring", "asking",
                                                      "arriving", "running",  "lost",      "empty"};
  return kNames.at(static_cast<size_t>(state));
}

SourceStep step(SourceState state, SourceEvent event) { return look_up(source_table(), state, event); }
DestinationStep step(DestinationState state, DestinationEvent event) {
  return look_up(destination_table(), state, event);
}

}  // namespace godwit::migration
