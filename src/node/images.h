// Images on this machine: kept checkpoints, and their way from node to node as one file.
//
// A copy is fetched into a file without a name, checked to its last byte, and only then put into the store: what a peer
// sends never is an image here before it is known to be one.
//
// Threads: all methods may be called from any.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "godwit/control.grpc.pb.h"
#include "image/kept.h"
#include "node/keeper.h"
#include "node/place.h"
#include "rpc/rpc.h"

namespace godwit::node {

class Images {
 public:
  Images(std::string directory, const rpc::Identity& identity, const Place& place)
      : directory_(std::move(directory)), identity_(identity), place_(place) {}

  /// Told how many bytes have come so far.
  using Told = std::function<void(uint64_t)>;
  /// Makes sure that the image is here: gets it from the first of the holders that has it.
  Result<void> pull(const std::string& image, const google::protobuf::RepeatedPtrField<wire::NodeAddress>& holders,
                    const Told& told);
  /// Gives the image as one file, in pieces, until `take` says that it wants no more.
  Result<void> fetch(const std::string& image, const std::function<bool(std::string_view)>& take);
  /// Keeps the image that comes in pieces, until `next` gives false; one that was cut short is no image.
  Result<wire::PutReply> put(const std::function<bool(std::string&)>& next);
  /// `plain`: what is encrypted of it stays.
  Result<void> drop(const std::string& image, bool plain);

 private:
  Result<const image::KeptImages*> kept();
  Result<std::string> spooled(const Fd& spool, const std::string& image, wire::PutReply& reply);
  Result<void> keep_sealed(const Fd& spool, const std::string& image);
  Result<void> pull_from(const wire::NodeAddress& holder, const std::string& image, const Told& told);

  const std::string directory_;
  const rpc::Identity& identity_;
  const Place& place_;
  std::mutex mutex_;
  std::unique_ptr<image::KeptImages> kept_;  // guarded by mutex_: made at the first use, then only read
};

}  // namespace godwit::node
