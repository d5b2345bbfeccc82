// Logs and attach. What a unit writes is in its out.log, also when it has a terminal (the keeper copies it there): so
// both are the following of one file, and attach sends input to the keeper beside.
#include <algorithm>
#include <mutex>
#include <thread>

#include "base/base.h"
#include "node/follow.h"
#include "node/service.h"

namespace godwit::node {
namespace {

namespace k = wire::keeper;

// How often it is looked whether the unit ended or left; what it writes is seen at once.
constexpr int kLookMs = 50;
// A newly attached terminal is shown so much of what was written before: the prompt, most likely.
constexpr uint64_t kShownBefore = 4096;
constexpr size_t kInputPiece = 32u << 10;

enum class Stay { kHere, kEnded, kLeft };
Stay stay_of(const Unit& unit) {
  const auto news = unit.news();
  if (unit.record().ended) return Stay::kEnded;
  // A keeper that is lost without an end: its daemon side is finding out what became of the unit.
  return news.gone ? Stay::kLeft : Stay::kHere;
}

}  // namespace

grpc::Status NodeService::Logs(Context* context, const wire::LogsRequest* request, Writer<wire::Data>* writer) {
  if (auto no = authorize(*context); !no.ok()) return no;
  auto unit = daemon_.unit(request->unit());
  if (!unit) return rpc::to_status(unit.error());
  uint64_t offset = request->offset();
  if (request->tail_lines() > 0) {
    auto at = Follow::tail((*unit)->log_path(), static_cast<uint64_t>(request->tail_lines()));
    if (!at) return rpc::to_status(at.error());
    offset = *at;
  }
  auto follow = Follow::open((*unit)->log_path(), offset);
  if (!follow) return rpc::to_status(follow.error());
  for (;;) {
    const Stay before = stay_of(**unit);  // looked at first: what was written before the end is read after it
    auto text = follow->read();
    if (!text) return rpc::to_status(text.error());
    if (!text->empty()) {
      wire::Data data;
      data.set_offset(follow->offset() - text->size());
      data.set_data(std::move(*text));
      if (!writer->Write(data)) return {grpc::StatusCode::CANCELLED, "the caller left"};
      continue;
    }
    if (!request->follow() || before != Stay::kHere) return grpc::Status::OK;
    if (context->IsCancelled()) return {grpc::StatusCode::CANCELLED, "the caller left"};
    follow->wait(kLookMs);
  }
}

namespace {

using AttachStream = grpc::ServerReaderWriter<wire::AttachOutput, wire::AttachInput>;

/// Two threads answer: gRPC wants one at a time.
class Answers {
 public:
  explicit Answers(AttachStream* stream) : stream_(stream) {}
  bool write(const wire::AttachOutput& output) {
    const std::scoped_lock lock(mutex_);
    return stream_->Write(output);
  }

 private:
  AttachStream* stream_;
  std::mutex mutex_;
};

// Everything that the user types, in order, until he or the unit is gone. What the unit took is reported: after a move the
// rest is sent again to the next node. After the first that wasn't taken nothing is.
void forward_input(AttachStream* stream, Answers& answers, const Unit& unit) {
  wire::AttachInput input;
  uint64_t taken = 0;
  bool gone = false;
  const auto give = [&](k::Packet packet) {
    const auto keeper = unit.keeper();
    if (!gone && keeper) {
      const auto reply = keeper->request(std::move(packet), {}, std::chrono::hours(24));
      // Refused, or nobody reads it: it is lost as into a closed pipe, here as on any node.
      if (reply || reply.error().error.code == Code::kRefused) return true;
    }
    gone = true;
    return false;
  };
  while (stream->Read(&input)) {
    k::Packet packet;
    if (input.has_window()) {
      *packet.mutable_resize()->mutable_window() = input.window();
      (void)give(std::move(packet));
      continue;
    }
    bool all = true;
    if (input.has_end_of_input()) {
      packet.mutable_input()->set_end(true);
      all = give(std::move(packet));
    }
    for (size_t at = 0; all && at < input.data().size(); at += kInputPiece) {
      k::Packet piece;
      piece.mutable_input()->set_data(input.data().substr(at, kInputPiece));
      all = give(std::move(piece));
    }
    if (!all) continue;
    wire::AttachOutput output;
    output.set_taken(++taken);
    (void)answers.write(output);
  }
}

}  // namespace

grpc::Status NodeService::Attach(Context* context, AttachStream* stream) {
  if (auto no = authorize(*context); !no.ok()) return no;
  wire::AttachInput first;
  if (!stream->Read(&first) || !first.has_unit()) {
    return rpc::to_status(Error{Code::kUsage, 0, "the first message must name the unit"});
  }
  auto unit = daemon_.unit(first.unit());
  if (!unit) return rpc::to_status(unit.error());
  uint64_t offset = first.offset();
  if (offset == 0) {
    const auto st = sys::stat((*unit)->log_path());
    const uint64_t size = st ? static_cast<uint64_t>(st->st_size) : 0;
    offset = size - std::min(size, kShownBefore);
  }
  auto follow = Follow::open((*unit)->log_path(), offset);
  if (!follow) return rpc::to_status(follow.error());
  Answers answers(stream);
  wire::AttachOutput output;
  output.set_attached(true);
  (void)answers.write(output);

  std::thread typing([&] { forward_input(stream, answers, **unit); });
  for (;;) {
    const Stay before = stay_of(**unit);
    auto text = follow->read();
    output.Clear();
    if (text && !text->empty()) {
      output.set_offset(follow->offset() - text->size());
      output.set_data(std::move(*text));
      if (!answers.write(output)) break;
      continue;
    }
    if (!text || before == Stay::kLeft) {
      output.set_moved(true);
      (void)answers.write(output);
      break;
    }
    if (before == Stay::kEnded) {
      const auto record = (*unit)->record();
      output.mutable_exit()->set_status(record.status);
      output.mutable_exit()->set_signal(record.signal);
      (void)answers.write(output);
      break;
    }
    if (context->IsCancelled()) break;
    follow->wait(kLookMs);
  }
  // The reading side ends when the caller does: it was told, or is gone.
  typing.join();
  return grpc::Status::OK;
}

}  // namespace godwit::node
