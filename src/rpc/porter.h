// Porter: takes the connections of a gRPC server, and lets each in once it has begun to speak.
//
// gRPC gives whoever connects a descriptor, memory and eight seconds for the handshake, however many there are, and all before it is
// known who he is. So what connects stands before the door first, in a table of fixed size: it costs a descriptor and a row until
// its first TLS record is complete (five seconds; MSG_PEEK, nothing is kept). Then gRPC gets it, and it keeps its row for as
// long as gRPC lets a handshake last, or until it ends. When the table is full, or one address has half of it, the one goes that has
// said least for longest: so a crowd that doesn't come to the point keeps nobody out, and what it can have is bounded.
//
//     grpc::ServerBuilder builder;
//     TRY(auto porter, rpc::Porter::listen(builder, "0.0.0.0:7411", rpc::server_credentials(identity)));
//     const auto server = builder.BuildAndStart();
//     porter->start();                                   // ends with it
//
// How it knows that gRPC has let go of a connection: by a duplicate of its descriptor. gRPC shuts a socket down before it closes it.
#pragma once

#include <grpcpp/grpcpp.h>

#include <array>
#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/fd.h"
#include "base/result.h"

namespace godwit::rpc {

class Porter {
 public:
  /// Listens at HOST:PORT (port 0: any). For servers with TLS only.
  static Result<std::unique_ptr<Porter>> listen(grpc::ServerBuilder& builder, const std::string& address,
                                                std::shared_ptr<grpc::ServerCredentials> credentials);
  ~Porter();
  Porter(const Porter&) = delete;
  Porter& operator=(const Porter&) = delete;
  [[nodiscard]] int port() const { return port_; }
  /// When the server has been started. It must outlive what is done here.
  void start();

  static constexpr size_t kRows = 256;

 private:
  using Clock = std::chrono::steady_clock;
  struct Row {
    Fd socket;  ///< once it was let in, a duplicate
    std::string address;
    size_t wanted = 0;  ///< bytes of its first record; 0: not known yet
    bool inside = false;
    Clock::time_point until;
  };
  Porter() = default;
  Result<void> bind(const std::string& address);
  void work();
  void look_at(Row& row, short events);
  void accept_from(const Fd& listener);
  Row* room_for(const std::string& address);
  void let_in(Row& row);
  void turn_out(Row& row) const;
  [[nodiscard]] int timeout() const;
  void drop_late();

  std::unique_ptr<grpc::experimental::ExternalConnectionAcceptor> acceptor_;
  std::vector<Fd> listeners_;
  Fd wake_;
  int port_ = 0;
  std::array<Row, kRows> rows_;  // work()'s
  std::atomic<bool> stopping_ = false;
  std::thread thread_;
};

}  // namespace godwit::rpc
