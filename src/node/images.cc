#include "node/images.h"  // first, so that the header proves self-contained

#include <fcntl.h>
#include <unistd.h>

#include <thread>

#include "base/base.h"
#include "godwit/keeper.pb.h"
#include "sealing/sealing.h"

namespace godwit::node {
namespace {

constexpr size_t kPiece = 512u << 10;
constexpr std::chrono::seconds kReachLimit{3};
constexpr uint64_t kMaxImageBytes = uint64_t{1} << 42;  // a peer that never stops sending must stop somewhere

}  // namespace

Result<const image::KeptImages*> Images::kept() {
  const std::lock_guard lock(mutex_);
  if (!kept_) {
    TRY(auto opened, image::KeptImages::open(directory_));
    kept_ = std::make_unique<image::KeptImages>(std::move(opened));
  }
  return kept_.get();
}

namespace {

bool has(const image::KeptImages& kept, const std::string& image) {
  return kept.has(image) || kept.sealed(image).has_value();
}

/// As it lies there: nobody here can read more of it.
Result<void> give_file(const Fd& file, const std::function<bool(std::string_view)>& take) {
  std::vector<std::byte> piece(kPiece);
  for (;;) {
    TRY(const size_t got, io::read_some(file.get(), piece));
    if (got == 0) return {};
    if (!take({reinterpret_cast<const char*>(piece.data()), got})) return fail(Code::kPeer, "the caller left");
  }
}

}  // namespace

Result<void> Images::fetch(const std::string& image, const std::function<bool(std::string_view)>& take) {
  TRY(const auto* kept, this->kept());
  if (const auto file = kept->sealed(image)) return give_file(*file, take);
  if (!kept->has(image)) return fail(Code::kNotFound, "image " + image + " is not here");
  TRY(auto pipe, sys::pipe());
  Result<void> sent;
  bool wanted = true;
  {
    std::jthread writer([&, end = std::move(pipe.second)]() mutable { sent = kept->send(image, std::move(end)); });
    std::vector<std::byte> piece(kPiece);
    for (;;) {
      const auto got = io::read_some(pipe.first.get(), piece);
      if (!got || *got == 0) break;
      wanted = take({reinterpret_cast<const char*>(piece.data()), *got});
      if (!wanted) break;
    }
    pipe.first.reset();  // a writer that still writes gets EPIPE
  }
  if (!wanted) return fail(Code::kPeer, "the caller left");
  if (!sent) return std::unexpected(sent.error());
  return {};
}

// Only its user can tell whether it is whole: TLS brought it, and he will see.
Result<void> Images::keep_sealed(const Fd& spool, const std::string& image) {
  if (image.empty()) return fail(Code::kRefused, "the image is encrypted: its key's owner has to open it");
  TRY(const auto* kept, this->kept());
  TRY(auto copy, kept->new_sealed(image));
  if (::lseek(spool.get(), 0, SEEK_SET) < 0) return fail_errno(errno, "reading a file again");
  const auto write = [&](std::string_view piece) { return io::write_full(copy.file().get(), piece); };
  Result<void> written;
  auto given = give_file(spool, [&](std::string_view piece) { return (written = write(piece)).has_value(); });
  TRY_DO(written);
  TRY_DO(given);
  return copy.keep();
}

// The file has no name: what is reached by its descriptor is gone with it.
Result<std::string> Images::spooled(const Fd& spool, const std::string& image, wire::PutReply& reply) {
  std::string begin(8, '\0');
  if (io::pread_full(spool.get(), std::as_writable_bytes(std::span(begin)), 0) && sealing::is_sealed(begin)) {
    TRY_DO(keep_sealed(spool, image));
    return image;
  }
  TRY(const auto file, image::ImageReader::open("/proc/self/fd/" + std::to_string(spool.get())));
  auto kept = this->kept();
  if (!kept) return std::unexpected(kept.error());
  const auto& manifest = file->manifest();
  wire::keeper::Launch who;
  const auto* section = manifest.find("unit.keeper");
  if (section == nullptr || !who.ParseFromString(section->content))
    return fail(Code::kRefused, "not an image of a unit: it doesn't say what unit it is");
  *reply.mutable_spec() = who.spec();
  reply.set_unit(manifest.unit);
  reply.set_number(static_cast<uint32_t>(manifest.checkpoint));
  uint64_t bytes = 0;
  TRY(const std::string name, (*kept)->take_in(*file, image, bytes));
  reply.set_image(name);
  reply.set_bytes(bytes);
  return name;
}

Result<wire::PutReply> Images::put(const std::function<bool(std::string&)>& next) {
  TRY_DO(kept());
  TRY(const Fd spool, sys::open(directory_, O_RDWR | O_TMPFILE, 0600));
  uint64_t bytes = 0;
  for (std::string piece; next(piece);) {
    bytes += piece.size();
    if (bytes > kMaxImageBytes) return fail(Code::kCorrupt, "an image without an end");
    TRY_DO(io::write_full(spool.get(), piece));
  }
  wire::PutReply reply;
  TRY_DO(spooled(spool, {}, reply));
  return reply;
}

Result<void> Images::pull_from(const wire::NodeAddress& holder, const std::string& image, const Told& told) {
  const auto channel = rpc::channel(holder.control(), identity_, place_.here(holder.name()));
  if (!channel->WaitForConnected(std::chrono::system_clock::now() + kReachLimit))
    return fail(Code::kPeer, "node " + holder.name() + " doesn't answer");
  TRY(const Fd spool, sys::open(directory_, O_RDWR | O_TMPFILE, 0600));
  const auto stub = wire::Node::NewStub(channel);
  grpc::ClientContext call;
  wire::ImageRequest request;
  request.set_image(image);
  const auto stream = stub->Fetch(&call, request);
  wire::Data data;
  uint64_t bytes = 0;
  Result<void> written;
  while (stream->Read(&data)) {
    bytes += data.data().size();
    if (written && bytes > kMaxImageBytes) written = fail(Code::kCorrupt, "an image without an end");
    if (written) written = io::write_full(spool.get(), data.data());
    if (!written) call.TryCancel();
    told(bytes);
  }
  const auto status = stream->Finish();
  if (!written) return std::unexpected(written.error());
  if (!status.ok()) return std::unexpected(rpc::failure_of(status).error);
  wire::PutReply reply;
  TRY_DO(spooled(spool, image, reply));
  log::info("image {} copied from {} bytes={}", image, holder.name(), bytes);
  return {};
}

Result<void> Images::pull(const std::string& image,
                          const google::protobuf::RepeatedPtrField<wire::NodeAddress>& holders, const Told& told) {
  TRY(const auto* kept, this->kept());
  TRY_DO(image::parse_checkpoint_name(image));
  if (has(*kept, image)) return {};
  Error why{Code::kNotFound, 0, "no node that answers has the image " + image};
  for (const auto& holder : holders) {
    if (holder.name() == place_.there()) continue;
    auto pulled = pull_from(holder, image, told);
    if (pulled || has(*kept, image)) return {};
    log::warn("image {} from {}: {}", image, holder.name(), pulled.error().message());
    why = pulled.error().in("image " + image + " from " + holder.name());
  }
  return std::unexpected(why);
}

Result<void> Images::drop(const std::string& image, bool plain) {
  TRY(const auto* kept, this->kept());
  TRY_DO(kept->drop(image));
  return plain ? Result<void>() : kept->drop_sealed(image);
}

}  // namespace godwit::node
