// Images between nodes, and between a user's file and a node: gRPC around Images.
#include "node/service.h"

#include "base/base.h"

namespace godwit::node {
namespace {
constexpr uint64_t kTellEach = 8u << 20;
}

grpc::Status NodeService::Pull(Context* context, const wire::PullRequest* request, Writer<wire::MoveEvent>* writer) {
  if (auto no = authorize(*context); !no.ok()) return no;
  uint64_t told = 0;
  const auto pulled = daemon_.images().pull(request->image(), request->holders(), [&](uint64_t bytes) {
    if (bytes < told + kTellEach) return;
    told = bytes;
    wire::MoveEvent event;
    event.mutable_progress()->set_step("copying");
    event.mutable_progress()->set_bytes_done(bytes);
    (void)writer->Write(event);
  });
  return pulled ? grpc::Status::OK : rpc::to_status(pulled.error());
}

grpc::Status NodeService::Fetch(Context* context, const wire::ImageRequest* request, Writer<wire::Data>* writer) {
  if (auto no = authorize(*context, Asker::kOwnNode); !no.ok()) return no;
  uint64_t offset = 0;
  const auto sent = daemon_.images().fetch(request->image(), [&](std::string_view piece) {
    wire::Data data;
    data.set_offset(offset);
    data.set_data(std::string(piece));
    offset += piece.size();
    return writer->Write(data);
  });
  return sent ? grpc::Status::OK : rpc::to_status(sent.error());
}

grpc::Status NodeService::Put(Context* context, grpc::ServerReader<wire::Data>* reader, wire::PutReply* reply) {
  if (auto no = authorize(*context); !no.ok()) return no;
  wire::Data data;
  auto put = daemon_.images().put([&](std::string& piece) {
    if (!reader->Read(&data)) return false;
    piece = std::move(*data.mutable_data());
    return true;
  });
  if (!put) return rpc::to_status(put.error());
  *reply = *put;
  return grpc::Status::OK;
}

grpc::Status NodeService::DropImage(Context* context, const wire::ImageRequest* request, wire::Empty*) {
  if (auto no = authorize(*context); !no.ok()) return no;
  const auto dropped = daemon_.images().drop(request->image(), request->plain());
  return dropped ? grpc::Status::OK : rpc::to_status(dropped.error());
}

}  // namespace godwit::node
