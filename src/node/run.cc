// `godwit node`: puts the parts together and serves until SIGTERM.
#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <optional>

#include "base/base.h"
#include "base/heap.h"
#include "base/pki.h"
#include "node/daemon.h"
#include "node/data_port.h"
#include "node/node.h"
#include "node/service.h"
#include "rpc/porter.h"

namespace godwit::node {
namespace {

std::string any_host(int port) { return "0.0.0.0:" + std::to_string(port); }

std::string this_host() {
  char name[256] = {};
  return ::gethostname(name, sizeof name - 1) == 0 ? name : "localhost";
}

Result<Options> completed(Options options) {
  if (options.state_dir.empty() || options.state_dir.front() != '/') {
    return fail(Code::kUsage, "the state directory must be an absolute path: " + options.state_dir);
  }
  if (options.controller.empty()) return fail(Code::kUsage, "no controller is given");
  if (options.listen.empty()) options.listen = any_host(kControlPort);
  if (options.data_listen.empty()) options.data_listen = any_host(kDataPort);
  if (options.name.empty() && !options.insecure) {
    TRY(const auto own, pki::load(options.state_dir, "node"));
    TRY(const auto facts, pki::inspect(own.certificate));
    options.name = facts.name;
  }
  if (!pki::valid_name(options.name)) return fail(Code::kUsage, "not a node's name: \"" + options.name + "\"");
  if (options.advertise.empty()) {
    options.advertise = options.listen.substr(0, options.listen.rfind(':'));
    if (options.advertise == "0.0.0.0" || options.advertise.empty()) options.advertise = this_host();
  }
  TRY_DO(sys::make_dirs(options.state_dir, 0700));
  return options;
}

Result<rpc::Identity> identity_of(const Options& options) {
  if (options.insecure) return rpc::Identity{};
  TRY(const auto own, pki::load(options.state_dir, "node"));
  TRY(const std::string ca, io::read_file(options.state_dir + "/ca.crt", 1u << 20));
  TRY_DO(pki::verify(own.certificate, ca, options.name));
  TRY(const pki::Sites sites, pki::Sites::load(options.state_dir));
  if (!options.grid.empty() && !sites.trusts(options.grid))
    return fail(Code::kRefused, "site " + options.grid + " isn't trusted here; see: godwit site trust");
  return rpc::Identity{ca, own.certificate, own.key, sites};
}

std::shared_ptr<Keeper> keeper_of(const Daemon& daemon, const link::Preamble& preamble) {
  const auto unit = daemon.unit_of_migration(preamble.migration);
  return unit ? unit->keeper() : nullptr;
}

// A stream for a migration that nobody waits for is closed: its source will be told by whoever ended the move.
void deliver(const Daemon& daemon, const link::Preamble& preamble, const Fd& socket) {
  const auto keeper = keeper_of(daemon, preamble);
  if (!keeper) return;
  wire::keeper::Packet packet;
  packet.mutable_stream()->set_migration(preamble.migration);
  packet.mutable_stream()->set_index(preamble.index);
  const int fds[] = {socket.get()};
  if (auto taken = keeper->request(std::move(packet), fds); !taken) {
    log::warn("data port: stream {} of {}: {}", preamble.index, preamble.migration, taken.error().error.message());
  }
}

Result<void> serve(const Options& wanted, const sigset_t& signals) {
  TRY(Options options, completed(wanted));
  TRY(const rpc::Identity identity, identity_of(options));
  Daemon daemon(options, identity);
  TRY_DO(daemon.adopt_all());

  DataPort data([&](const link::Preamble& p) { return keeper_of(daemon, p) != nullptr; },
                [&](const link::Preamble& p, const Fd& socket) { deliver(daemon, p, socket); });
  TRY_DO(data.start(options.data_listen));
  NodeService service(daemon);
  grpc::ServerBuilder builder;
  rpc::set_up(builder);
  const auto taken = [&] {
    return fail(Code::kSystem, "can't listen on " + options.listen + ": is another node running there?");
  };
  std::unique_ptr<rpc::Porter> porter;
  int port = -1;
  if (identity.secure()) {
    auto opened = rpc::Porter::listen(builder, options.listen, rpc::server_credentials(identity));
    if (!opened && opened.error().errnum == EADDRINUSE) return taken();
    TRY(porter, std::move(opened));
  } else {
    builder.AddListeningPort(options.listen, rpc::server_credentials(identity), &port);
  }
  builder.RegisterService(&service);
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (!server || port == 0) return taken();
  if (porter) porter->start();
  log::info("node serves name={} control={} data={}", options.name, options.listen, options.data_listen);

  std::thread registration([&] {
    daemon.keep_registered([&] {
      if (options.ready_file.empty()) return;
      if (auto told = io::replace_file(options.ready_file, options.listen + "\n"); !told) {
        log::error("{}", told.error().message());
      }
    });
  });
  int got = 0;
  ::sigwait(&signals, &got);
  log::info("node ends signal={}; its units live on", got);
  daemon.stop();
  registration.join();
  porter.reset();
  server->Shutdown(std::chrono::system_clock::now() + std::chrono::seconds(1));
  return {};
}

}  // namespace

int run(const Options& options) {
  keep_freed_memory();  // a move's commit is answered in what the last one used
  // Blocked before any thread exists, so that only sigwait() takes them.
  sigset_t signals;
  ::sigemptyset(&signals);
  ::sigaddset(&signals, SIGTERM);
  ::sigaddset(&signals, SIGINT);
  ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  ::signal(SIGPIPE, SIG_IGN);
  const auto served = serve(options, signals);
  if (served) return 0;
  log::error("{}", served.error().message());
  return static_cast<int>(served.error().code == Code::kUsage ? Code::kUsage : Code::kFailed);
}

}  // namespace godwit::node
