// Doors that stand open to anybody: what a crowd of strangers at them costs, and that honest work goes on beside it. And how a machine
// joins, and doesn't.
#include <fmt/format.h>
#include <signal.h>
#include <sys/stat.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/pki.h"
#include "godwit/control.grpc.pb.h"
#include "grid.h"
#include "proc_table.h"
#include "rpc/porter.h"
#include "rpc/rpc.h"
#include "tunnel.h"

namespace godwit::test {
namespace {

using nlohmann::json;

constexpr int kControllerPort = 7400;
constexpr int kCrowd = 600;  // more than any table here has rows
// Of descriptors: a porter's rows, twice while gRPC has them, and what honest work needs meanwhile.
constexpr size_t kMayHave = 2 * rpc::Porter::kRows + 40;
constexpr int kMayWork = 24;  // threads more than before: honest calls and gRPC's own
constexpr std::chrono::seconds kHonest{60};  // on any machine, with whatever beside it

int threads_of(int pid) {
  const std::string status = io::read_file("/proc/" + std::to_string(pid) + "/status").value_or("Threads: 0");
  return std::stoi(status.substr(status.find("Threads:") + 8));
}
size_t memory_of(int pid) {
  const std::string status = io::read_file("/proc/" + std::to_string(pid) + "/status").value_or("VmRSS: 0");
  return std::stoul(status.substr(status.find("VmRSS:") + 6));  // KiB
}

/// crowd.py in the network of a node.
class Crowd {
 public:
  Crowd(int network_of, const std::string& mode, const std::string& host, int port, int seconds, bool once = false) {
    said_ = *sys::memfd("crowd");
    std::vector<std::string> argv = {"/usr/bin/nsenter",
                                     "-t",
                                     std::to_string(network_of),
                                     "-n",
                                     "/usr/bin/python3",
                                     GODWIT_CROWD,
                                     mode,
                                     host,
                                     std::to_string(port),
                                     std::to_string(kCrowd),
                                     std::to_string(seconds)};
    if (once) argv.emplace_back("once");
    std::vector<char*> args;
    for (auto& a : argv) args.push_back(a.data());
    args.push_back(nullptr);
    pid_ = ::fork();
    if (pid_ == 0) {
      ::dup2(said_.get(), 1);
      ::execv(args[0], args.data());
      ::_exit(127);
    }
    EXPECT_TRUE(eventually([&] { return said().starts_with("here"); })) << said();
  }
  ~Crowd() {
    if (pid_ > 0) ::kill(pid_, SIGKILL), ::waitpid(pid_, nullptr, 0);
  }
  Crowd(const Crowd&) = delete;
  Crowd& operator=(const Crowd&) = delete;
  [[nodiscard]] std::string said() const {
    std::string out(256, '\0');
    const ssize_t got = ::pread(said_.get(), out.data(), out.size(), 0);
    out.resize(got > 0 ? static_cast<size_t>(got) : 0);
    return out;
  }
  [[nodiscard]] bool is_there() const { return ::waitpid(pid_, nullptr, WNOHANG) == 0; }
  /// What it says at its end.
  std::string end() {
    ::waitpid(std::exchange(pid_, -1), nullptr, 0);
    return said();
  }

 private:
  Fd said_;
  pid_t pid_ = -1;
};

/// Its address without a port, which only the controller's has.
std::string host_of(const node::GridMember& member) { return member.address.substr(0, member.address.find(':')); }

class Doors : public OnGrid<2> {
 protected:
  static std::string run(const std::string& name) {
    const auto ran = grid().godwit({"run", "--name", name, "--node", "node-1", "--", "/bin/sleep", "1000"});
    EXPECT_EQ(ran.status, 0) << ran.err;
    return ran.out.substr(0, ran.out.find('\n'));
  }
  /// A whole move to the besieged node and back, and the questions around it.
  static void expect_honest_work(const std::string& unit) {
    const auto begin = std::chrono::steady_clock::now();
    for (const char* to : {"node-2", "node-1"}) {
      const auto moved = grid().godwit({"move", unit, "--to", to});
      EXPECT_EQ(moved.status, 0) << moved.err;
    }
    EXPECT_EQ(grid().godwit({"ps"}).status, 0);
    const auto took = std::chrono::steady_clock::now() - begin;
    EXPECT_LT(took, kHonest);
    std::printf("  honest work took %.2f s\n", std::chrono::duration<double>(took).count());
  }
  /// While crowds of all kinds stand before one door of one daemon.
  static void besiege(const std::string& who, const std::string& host, int port,
                      const std::vector<const char*>& modes) {
    const std::string unit = fmt::format("honest-{}-{}", who == "controller" ? "c" : "n", port);
    run(unit);
    const int from = grid().member("node-1").holder_pid, daemon = grid().member(who).daemon_pid;
    const size_t descriptors = open_descriptors(daemon);
    const int threads = threads_of(daemon);
    const size_t memory = memory_of(daemon);
    for (const char* mode : modes) {
      SCOPED_TRACE(mode);
      const Crowd crowd(from, mode, host, port, 60);
      expect_honest_work(unit);
      EXPECT_TRUE(crowd.is_there());
      EXPECT_LE(open_descriptors(daemon), descriptors + kMayHave) << descriptor_list(daemon);
      EXPECT_LE(threads_of(daemon), threads + kMayWork);
      std::printf("  %-7s at %s:%d: %zu descriptors (%zu before), %d threads (%d), %zu MiB (%zu)\n", mode, who.c_str(),
                  port, open_descriptors(daemon), descriptors, threads_of(daemon), threads, memory_of(daemon) >> 10,
                  memory >> 10);
    }
    // When they are gone nothing of them is left.
    EXPECT_TRUE(eventually([&] { return open_descriptors(daemon) <= descriptors + 16; })) << descriptor_list(daemon);
    EXPECT_EQ(grid().member(who).daemon_pid, daemon);
    EXPECT_EQ(grid().godwit({"kill", unit}).status, 0);
  }
};

const std::vector<const char*> kOfTls = {"silent", "hello", "slow", "noise", "claim", "half"};

TEST_F(Doors, a_crowd_at_a_nodes_control_port_keeps_nobody_out) {
  besiege("node-2", grid().member("node-2").address, node::kControlPort, kOfTls);
}

TEST_F(Doors, a_crowd_at_a_nodes_data_port_keeps_nobody_out) {
  besiege("node-2", grid().member("node-2").address, node::kDataPort, {"silent", "hello", "noise"});
}

TEST_F(Doors, a_crowd_at_the_controllers_port_keeps_nobody_out) {
  besiege("controller", host_of(grid().member("controller")), kControllerPort, kOfTls);
}

TEST_F(Doors, a_crowd_at_the_port_for_joining_keeps_nobody_out) {
  besiege("controller", host_of(grid().member("controller")), kControllerPort + node::kJoinPortOffset, kOfTls);
}

// Who says nothing, and who stops in the middle of his handshake, is gone after some seconds.
TEST_F(Doors, close_by_themselves) {
  for (const char* mode : {"silent", "slow", "half"}) {
    Crowd crowd(grid().member("node-1").holder_pid, mode, grid().member("node-2").address, node::kControlPort, 40,
                true);
    EXPECT_NE(crowd.end().find(fmt::format("closed {0} of {0}", kCrowd)), std::string::npos) << mode << crowd.said();
  }
}

// ----------------------------------------------------------------------------------------------------------- joining

class Joining : public OnGrid<1> {
 protected:
  void SetUp() override {
    OnGrid::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    door_ = std::make_unique<Tunnel>(grid().member("node-1").holder_pid, host_of(grid().member("controller")),
                                     kControllerPort + node::kJoinPortOffset);
    const std::string ca = *io::read_file(grid().state() + "/ca.crt");
    grpc::ChannelArguments arguments;
    arguments.SetSslTargetNameOverride("controller");
    arguments.SetMaxSendMessageSize(-1);
    stub_ =
        wire::Join::NewStub(grpc::CreateCustomChannel(door_->local(), grpc::SslCredentials({ca, "", ""}), arguments));
  }
  static std::string token(const std::string& name = {}) {
    std::vector<std::string> words = {"token", "create"};
    if (!name.empty()) words.insert(words.end(), {"--name", name});
    const auto made = grid().godwit(words);
    EXPECT_EQ(made.status, 0) << made.err;
    return made.out.substr(0, made.out.find('.'));
  }
  /// What is said to this request: "joined", or why not.
  std::string joins(const std::string& token, const std::string& node, const std::string& csr) {
    wire::JoinRequest request;
    request.set_token(token), request.set_node(node), request.set_csr(csr);
    wire::JoinReply reply;
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
    const auto status = stub_->Join(&context, request, &reply);
    if (!status.ok()) return rpc::failure_of(status).error.text;
    certificate_ = reply.certificate();
    return "joined";
  }
  static std::string csr(const std::string& name) { return pki::make_request(name)->csr; }

  std::unique_ptr<Tunnel> door_;
  std::unique_ptr<wire::Join::Stub> stub_;
  std::string certificate_;
};

constexpr const char* kNoToken = "this token isn't known, was used, or has expired; make one with: godwit token create";

TEST_F(Joining, takes_a_token_that_is_good_and_takes_it_once) {
  const std::string once = token();
  EXPECT_EQ(joins("", "node-8", csr("node-8")), kNoToken);
  EXPECT_EQ(joins(std::string(32, '0'), "node-8", csr("node-8")), kNoToken);
  EXPECT_EQ(joins(once.substr(0, 31), "node-8", csr("node-8")), kNoToken);
  EXPECT_EQ(joins(once, "node-8", csr("node-8")), "joined");
  EXPECT_EQ(joins(once, "node-8", csr("node-8")), kNoToken);
  EXPECT_EQ(joins(once, "node-9", csr("node-9")), kNoToken);
}

TEST_F(Joining, names_nobody_what_he_may_not_be) {
  EXPECT_EQ(joins(token("node-8"), "node-9", csr("node-9")), "this token is for node node-8");
  for (const char* role : {"client", "controller", "ca", "away/node-1", "Node", "", "../node"})
    EXPECT_EQ(joins(token(), role, csr("node-9")), fmt::format("\"{}\" can't be a node's name", role));
  EXPECT_EQ(joins(token(), "node-1", csr("node-1")), "a node named node-1 is here already; choose another --name");
  // What the request itself says of its name isn't believed.
  ASSERT_EQ(joins(token(), "node-7", csr("client")), "joined");
  EXPECT_EQ(pki::inspect(certificate_)->name, "node-7");
}

TEST_F(Joining, refuses_what_is_no_request_or_too_large) {
  EXPECT_NE(joins(token(), "node-9", "nonsense"), "joined");
  std::string altered = csr("node-9");
  altered[altered.size() / 2] = altered[altered.size() / 2] == 'A' ? 'B' : 'A';
  EXPECT_NE(joins(token(), "node-9", altered), "joined");
  const std::string good = token();
  EXPECT_NE(joins(good, "node-9", std::string(1u << 20, 'x')).find("larger than max"), std::string::npos);
  EXPECT_EQ(joins(good, "node-9", csr("node-9")), "joined");  // it wasn't even read
}

// A machine that was given a token of another grid doesn't tell it to this one; nor does the right one's go elsewhere.
TEST_F(Joining, a_machine_knows_whom_it_may_believe) {
  const std::string whole = [] {
    const auto made = grid().godwit({"token", "create"});
    return made.out.substr(0, made.out.size() - 1);
  }();
  char name[] = "/tmp/godwit_join_XXXXXX";
  const std::string dir = ::mkdtemp(name);
  const std::string local = door_->local();
  const size_t colon = local.rfind(':');
  node::JoinOptions options;
  options.controller = local.substr(0, colon + 1) + std::to_string(std::stoi(local.substr(colon + 1)) - 1);
  options.name = "node-6";
  options.state_dir = dir;
  options.token = whole.substr(0, whole.find('.') + 1) + std::string(64, 'a');
  const auto led_astray = node::join(options);
  ASSERT_FALSE(led_astray);
  EXPECT_NE(led_astray.error().text.find("isn't of the grid that gave this token"), std::string::npos);
  options.token = whole;
  const auto joined = node::join(options);
  EXPECT_TRUE(joined) << joined.error().message();
  struct stat key{};
  ASSERT_EQ(::stat((dir + "/node.key").c_str(), &key), 0);
  EXPECT_EQ(key.st_mode & 0777, 0600u);
  (void)sys::remove_tree(dir);
}

}  // namespace
}  // namespace godwit::test
