// Logs and attach: streams that outlive the unit's stay on a node. The controller reconnects to wherever the unit is; the
// command line sees one stream.
//
// Output is part of the unit (one file that travels with it), so a byte's offset means the same on every node: after a
// move, logs and attached terminals go on from the offset that was reached. Input is kept here until the unit has taken
// it, and what it had not taken before a move is sent to the next node: a keystroke is neither lost nor doubled. (A node
// whose daemon is killed between the unit's taking and its report is the exception: then it may be typed twice.)
#include <fmt/format.h>

#include <atomic>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>

#include "base/base.h"
#include "controller/services.h"

namespace godwit::controller {
namespace {

using std::chrono::milliseconds;
constexpr milliseconds kPause{200};

bool ended(const wire::Unit& unit) { return unit.state() == wire::EXITED; }

}  // namespace

grpc::Status UserService::Logs(Context* context, const wire::LogsRequest* request, Writer<wire::Data>* writer) {
  if (auto no = authorize(*context); !no.ok()) return no;
  wire::LogsRequest ask = *request;
  for (;;) {
    auto unit = find(request->unit());
    if (!unit) return rpc::to_status(unit.error());
    const bool was_ended = ended(*unit);
    auto node = parts_.peers.live_node(unit->node());
    if (!node && !request->follow()) return rpc::to_status(node.error());
    grpc::Status status = grpc::Status::OK;
    if (node) {
      ask.set_unit(unit->id());
      ask.set_follow(request->follow() && !was_ended);
      grpc::ClientContext call;
      const auto stream = (*node)->Logs(&call, ask);
      wire::Data data;
      while (stream->Read(&data)) {
        const uint64_t at = ask.tail_lines() > 0 ? data.offset() : ask.offset();
        ask.set_offset(at + data.data().size());
        ask.set_tail_lines(0);
        if (!writer->Write(data) || context->IsCancelled()) call.TryCancel();
      }
      status = stream->Finish();
    }
    if (context->IsCancelled()) return {grpc::StatusCode::CANCELLED, "the caller left"};
    if (!request->follow() || (was_ended && status.ok()))
      return status.ok() ? status : rpc::to_status(rpc::failure_of(status));
    if (was_ended && !node) return rpc::to_status(node.error());
    // It moved, or ended, or its node is away for a while: look where it is now.
    (void)parts_.ledger.wait(
        [&](const State& s, const Now&) {
          const auto it = s.units.find(unit->id());
          return it == s.units.end() || ended(it->second) != was_ended || it->second.node() != unit->node();
        },
        kPause, [&] { return context->IsCancelled(); });
  }
}

namespace {

using UserStream = grpc::ServerReaderWriter<wire::AttachOutput, wire::AttachInput>;
using NodeStream = grpc::ClientReaderWriter<wire::AttachInput, wire::AttachOutput>;

// One piece is taken as a whole or not at all: it fits into one record of the keeper's (PIPE_BUF with its head).
constexpr size_t kPiece = 4000;
// The user's side waits when so many pieces weren't taken: the program doesn't read. Together less than a stream's window,
// so that sending them can't wait for a node which waits for us.
constexpr size_t kMostWaiting = 8;

/// Carries the user's input to whichever node the unit is on, in pieces, each until it is taken.
class InputPump {
 public:
  explicit InputPump(UserStream* user) : user_(user) {
    thread_ = std::thread([this] { run(); });
  }
  /// The client half-closes after `exit`, or is gone; either ends the pump.
  ~InputPump() {
    connect(nullptr, nullptr);
    finish();
    thread_.join();
  }
  /// From now on input goes to this stream; null: to none.
  void connect(NodeStream* node, grpc::ClientContext* call) {
    const std::lock_guard lock(mutex_);
    node_ = node;
    call_ = call;
    if (node_ && have_window_) (void)node_->Write(window_);
    trim();
    taken_ = reported_ = 0;
    if (node_) {
      for (const auto& piece : waiting_) (void)node_->Write(piece);
    }
    changed_.notify_all();
  }
  /// So many pieces were taken since connect().
  void taken(uint64_t count) {
    reported_ = count;  // without the lock: whoever reads the node's answers must not wait for what is written to it
    changed_.notify_all();
  }
  [[nodiscard]] bool detached() const {
    const std::lock_guard lock(mutex_);
    return detached_;
  }

 private:
  void run() {
    wire::AttachInput input;
    while (user_->Read(&input)) {
      std::unique_lock lock(mutex_);
      if (input.has_window()) {
        window_ = input;
        have_window_ = true;
        if (node_) (void)node_->Write(input);
      }
      if (input.has_end_of_input()) keep(input, lock);
      for (size_t at = 0; at < input.data().size(); at += kPiece) {
        wire::AttachInput piece;
        piece.set_data(input.data().substr(at, kPiece));
        keep(piece, lock);
      }
    }
    const std::lock_guard lock(mutex_);
    detached_ = true;
    if (call_) call_->TryCancel();
  }
  void trim() {
    for (; taken_ < reported_ && !waiting_.empty(); taken_++) waiting_.pop_front();
  }
  void keep(const wire::AttachInput& piece, std::unique_lock<std::mutex>& lock) {
    const auto room = [&] {
      trim();
      return waiting_.size() < kMostWaiting || finished_;
    };
    while (!changed_.wait_for(lock, kPause, room)) {
    }
    if (finished_) return;
    waiting_.push_back(piece);
    if (node_) (void)node_->Write(piece);
  }
  void finish() {
    const std::lock_guard lock(mutex_);
    finished_ = true;
    changed_.notify_all();
  }

  UserStream* user_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  NodeStream* node_ = nullptr;
  grpc::ClientContext* call_ = nullptr;
  wire::AttachInput window_;
  std::deque<wire::AttachInput> waiting_;
  uint64_t taken_ = 0;
  std::atomic<uint64_t> reported_ = 0;
  bool have_window_ = false;
  bool detached_ = false;
  bool finished_ = false;
  std::thread thread_;
};

/// One stay on one node. True when `exit` was passed on.
bool attach_once(wire::Node::Stub& node, const std::string& unit, UserStream* user, InputPump& pump, bool* shown,
                 uint64_t* reached, grpc::Status* status) {
  grpc::ClientContext call;
  const auto stream = node.Attach(&call);
  wire::AttachInput first;
  first.set_unit(unit);
  first.set_offset(*reached);
  bool exited = false;
  if (stream->Write(first)) {
    pump.connect(stream.get(), &call);
    wire::AttachOutput output;
    while (stream->Read(&output)) {
      if (output.has_moved()) break;
      if (output.has_attached() && std::exchange(*shown, true)) continue;
      if (output.has_taken()) {
        pump.taken(output.taken());
        continue;
      }
      if (output.has_data()) *reached = output.offset() + output.data().size();
      if (!user->Write(output)) call.TryCancel();
      if (output.has_exit()) exited = true;
    }
    call.TryCancel();  // first: a write of the pump may wait for a node that no longer reads
    pump.connect(nullptr, nullptr);
  }
  *status = stream->Finish();
  return exited;
}

}  // namespace

grpc::Status UserService::Attach(Context* context, UserStream* stream) {
  if (auto no = authorize(*context); !no.ok()) return no;
  wire::AttachInput first;
  if (!stream->Read(&first) || !first.has_unit())
    return rpc::to_status(Error{Code::kUsage, 0, "the first message must name the unit"});
  auto unit = find(first.unit());
  if (!unit) return rpc::to_status(unit.error());
  const std::string id = unit->id();
  bool shown = false;
  uint64_t reached = 0;
  bool told = false;
  grpc::Status last = grpc::Status::OK;
  {
    InputPump pump(stream);
    while (!context->IsCancelled() && !pump.detached()) {
      unit = find(id);
      if (!unit || ended(*unit)) break;
      const std::string where = unit->node();
      if (auto node = parts_.peers.live_node(where)) {
        told = attach_once(**node, id, stream, pump, &shown, &reached, &last);
        if (told || pump.detached()) break;
        const auto why = rpc::failure_of(last).error.code;
        if (!last.ok() && (why == Code::kRefused || why == Code::kUsage)) break;
      }
      (void)parts_.ledger.wait(
          [&](const State& s, const Now&) {
            const auto it = s.units.find(id);
            return it == s.units.end() || ended(it->second) || it->second.node() != where;
          },
          kPause, [&] { return context->IsCancelled() || pump.detached(); });
      last = grpc::Status::OK;
    }
    if (!told && !pump.detached() && last.ok() && unit && ended(*unit)) {
      wire::AttachOutput output;
      *output.mutable_exit() = unit->exit();
      (void)stream->Write(output);
      told = true;
    }
    // A refusal: the client waits for our status, not for more output, and we for its half-close. Break the tie.
    if (!told && !pump.detached() && !last.ok()) {
      wire::AttachOutput output;
      output.set_attached(false);
      (void)stream->Write(output);
    }
  }
  if (!last.ok() && !told) {
    const auto why = rpc::failure_of(last);
    if (why.error.code == Code::kRefused || why.error.code == Code::kUsage) return rpc::to_status(why);
  }
  return grpc::Status::OK;
}

}  // namespace godwit::controller
