#include <fmt/format.h>
#include <signal.h>

#include <algorithm>
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
  std::vector<int> ports(addresses.size(), 0);
  for (size_t i = 0; i < addresses.size(); ++i)
    builder.AddListeningPort(addresses[i], rpc::server_credentials(who.self), &ports[i]);
  builder.RegisterService(&users);
  builder.RegisterService(&cluster);
  builder.RegisterService(&scheduling);
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (!server)
    return fail(Code::kSystem, fmt::format("can't listen on {}: is another controller running there?", options.listen));
  std::unique_ptr<grpc::Server> join_server;
  if (!options.join_listen.empty() && !who.authority.key.empty()) {
    grpc::ServerBuilder join_builder;
    rpc::set_up_open(join_builder, kMaxJoin);
    int join_port = 0;
    join_builder.AddListeningPort(options.join_listen, rpc::join_server_credentials(who.self), &join_port);
    join_builder.RegisterService(&join);
    join_server = join_builder.BuildAndStart();
    if (!join_server) return fail(Code::kSystem, fmt::format("can't listen on {}", options.join_listen));
  }
  const std::string address = address_with_port(addresses.front(), ports.front());
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
