#include <fmt/format.h>
#include <signal.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <string>
#include <vector>

#include "base/base.h"
#include "base/heap.h"
#include "base/text.h"
#include "controller/controller.h"
#include "controller/delegated.h"
#include "controller/recovery.h"
#include "controller/rescheduler.h"
#include "controller/service_sched.h"
#include "controller/services.h"
#include "rpc/porter.h"

namespace godwit::controller {
namespace {

constexpr int kMaxJoin = 64 << 10;  // a certificate request has 1 KiB

struct Credentials {
  rpc::Identity self;
  pki::Identity authority;
};

Result<Credentials> credentials(const Options& options) {
  Credentials out;
  if (options.insecure) return out;
  const std::string dir = options.identity_dir.empty() ? options.state_dir : options.identity_dir;
  TRY(out.self, rpc::load_identity(dir, "controller"));
  // Without the authority's key this controller serves the nodes that there are, and lets none join.
  if (auto ca = pki::load(dir, "ca")) out.authority = *ca;
  return out;
}

/// Where a server listens. What comes over a network meets a porter first.
class Doors {
 public:
  static Result<Doors> open(grpc::ServerBuilder& builder, const std::vector<std::string>& addresses,
                            const std::shared_ptr<grpc::ServerCredentials>& credentials, bool secure) {
    Doors out;
    for (const auto& address : addresses) {
      if (address.starts_with("unix:") || !secure) {
        out.ports_.push_back(std::make_unique<int>(0));  // gRPC writes to it when the server is started
        builder.AddListeningPort(address, credentials, out.ports_.back().get());
        out.is_porter_.push_back(false);
        continue;
      }
      auto porter = rpc::Porter::listen(builder, address, credentials);
      if (!porter && porter.error().errnum == EADDRINUSE)
        return fail(Code::kSystem, fmt::format("can't listen on {}: is another controller running there?", address));
      if (!porter) return std::unexpected(porter.error());
      out.porters_.push_back(std::move(*porter));
      out.is_porter_.push_back(true);
    }
    return out;
  }
  void start() {
    for (auto& p : porters_) p->start();
  }
  void close() { porters_.clear(); }
  /// Of the first address.
  [[nodiscard]] int port() const { return is_porter_.front() ? porters_.front()->port() : *ports_.front(); }

 private:
  std::vector<std::unique_ptr<rpc::Porter>> porters_;
  std::vector<std::unique_ptr<int>> ports_;
  std::vector<bool> is_porter_;
};

/// The port that was asked for may be 0: what others must use is known only now.
std::string address_with_port(const std::string& listen, int port) {
  if (listen.starts_with("unix:")) return listen;
  return fmt::format("{}:{}", listen.substr(0, listen.rfind(':')), port);
}

Result<void> serve(const Options& options) {
  TRY(const Credentials who, credentials(options));
  TRY_DO(sys::make_dirs(options.state_dir, 0700));
  TRY(auto ledger, Ledger::open(options.state_dir + "/controller.db"));
  TRY(const auto log, log_key(options.state_dir));
  ledger->set_site(who.self.sites.own(), who.self.sites.trusted(), log.public_key());
  Peers peers(*ledger, who.self);
  Mover mover(*ledger, peers, log);
  const Parts parts{*ledger, peers, mover, !options.insecure, who.authority, who.self, log};
  Recovery recovery(*ledger, peers);
  recovery.start();
  mover.resume_all();
  UserService users(parts);
  ClusterService cluster(parts);
  JoinService join(parts);
  SchedulingService scheduling(parts);
  Rescheduler rescheduler(*ledger, mover);

  grpc::ServerBuilder builder;
  rpc::set_up(builder);
  const auto addresses = split_copy(options.listen, ',');
  if (addresses.empty()) return fail(Code::kUsage, "no address to listen on");
  TRY(auto doors, Doors::open(builder, addresses, rpc::server_credentials(who.self), who.self.secure()));
  builder.RegisterService(&users);
  builder.RegisterService(&cluster);
  builder.RegisterService(&scheduling);
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (!server)
    return fail(Code::kSystem, fmt::format("can't listen on {}: is another controller running there?", options.listen));
  std::unique_ptr<grpc::Server> join_server;
  Doors join_doors;
  if (!options.join_listen.empty() && !who.authority.key.empty()) {
    grpc::ServerBuilder join_builder;
    rpc::set_up_open(join_builder, kMaxJoin);
    TRY(join_doors,
        Doors::open(join_builder, {options.join_listen}, rpc::join_server_credentials(who.self), who.self.secure()));
    join_builder.RegisterService(&join);
    join_server = join_builder.BuildAndStart();
    if (!join_server) return fail(Code::kSystem, fmt::format("can't listen on {}", options.join_listen));
  }
  doors.start();
  join_doors.start();
  const std::string address = address_with_port(addresses.front(), doors.port());
  log::info("controller serves address={}", address);
  if (!options.ready_file.empty()) TRY_DO(io::replace_file(options.ready_file, address + "\n"));

  rescheduler.start();
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  int got = 0;
  sigwait(&signals, &got);
  log::info("controller ends signal={}", got);
  rescheduler.stop();
  recovery.stop();
  mover.stop();
  doors.close();
  join_doors.close();
  const auto soon = std::chrono::system_clock::now() + std::chrono::seconds(1);
  if (join_server) join_server->Shutdown(soon);
  server->Shutdown(soon);
  return ledger->close_properly();
}

}  // namespace

int run(const Options& options) {
  keep_freed_memory();  // a move's commit is answered in what the last one used
  // Blocked before any thread exists, so that only sigwait() takes them.
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  ::signal(SIGPIPE, SIG_IGN);
  const auto served = serve(options);
  if (served) return 0;
  log::error("{}", served.error().message());
  return static_cast<int>(Code::kFailed);
}

}  // namespace godwit::controller
