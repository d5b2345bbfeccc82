// Two sites on one machine: nodes 1 and 2 are the grid's own, node-3 is of the site `away` and lent to it ("away/node-3").
#include <nlohmann/json.hpp>

#include "base/pki.h"
#include "base/sites.h"
#include "godwit/control.grpc.pb.h"
#include "grid.h"
#include "rpc/rpc.h"
#include "with_user_key.h"

namespace godwit::test {
namespace {

using nlohmann::json;

class Sites : public WithUserKey {
 protected:
  /// With or without the user's key: then every unit has a document that allows all, or none has one.
  void key(const Grid& grid) { ASSERT_EQ(grid.godwit({"key", "new"}).status, 0); }
  static Ran run(const Grid& grid, const std::string& name, const std::string& node, const std::string& file = {}) {
    std::vector<std::string> words = {"run", "--name", name, "--node", node, "--json"};
    if (!file.empty()) words.insert(words.end(), {"--delegation", file});
    words.insert(words.end(), {"--", "/bin/sleep", "1000"});
    return grid.godwit(words);
  }
  static std::string code(const Ran& ran) {
    if (ran.status == 0) return "ok";
    const json out = json::parse(ran.out, nullptr, false);
    if (!out.is_object() || !out.contains("error")) return ran.out + ran.err;
    const json& blockers = out["error"]["blockers"];
    return blockers.empty() ? out["error"].dump() : std::string(blockers[0]["code"]);
  }
  static std::string move(const Grid& grid, const std::string& unit, const std::string& to) {
    return code(grid.godwit({"move", unit, "--to", to, "--json"}));
  }
  static std::string where(const Grid& grid, const std::string& unit) {
    const json shown = json::parse(grid.godwit({"show", unit, "--json"}).out, nullptr, false);
    return shown.is_object() ? shown["node"].get<std::string>() : "";
  }
  static std::map<std::string, std::string> away() { return {{"node-3", "away"}}; }
  static std::string node(const Grid& grid, const std::string& name) { return grid.state() + "/nodes/" + name; }
  static std::string controller(const Grid& grid) { return grid.state() + "/controller"; }
  static void restart(Grid& grid, const std::string& who) {
    grid.kill(who);
    grid.start(who);
  }
};

TEST_F(Sites, a_unit_crosses_and_comes_back_where_both_allow_it) {
  Grid grid(3, {}, GODWIT_BIN, {}, {}, away());
  REQUIRE_GRID(grid);
  key(grid);
  ASSERT_EQ(code(run(grid, "held", "node-1")), "ok");
  EXPECT_EQ(move(grid, "held", "away/node-3"), "ok");
  EXPECT_EQ(where(grid, "held"), "away/node-3");
  EXPECT_EQ(move(grid, "held", "node-2"), "ok");
  const json trace = json::parse(grid.godwit({"delegation", "trace", "held", "--json"}).out, nullptr, false);
  ASSERT_TRUE(trace.is_object());
  EXPECT_EQ(trace["verdict"], "ok");
  EXPECT_EQ(trace["entries"][0]["destination"], "away/node-3");
  EXPECT_EQ(trace["entries"][1]["source"], "away/node-3");
  // It may also begin there.
  ASSERT_EQ(code(run(grid, "there", "away/node-3")), "ok");
  EXPECT_EQ(move(grid, "there", "node-1"), "ok");
}

TEST_F(Sites, a_unit_without_a_document_stays_in_its_site) {
  Grid grid(3, {}, GODWIT_BIN, {}, {}, away());
  REQUIRE_GRID(grid);
  ASSERT_EQ(code(run(grid, "plain", "node-1")), "ok");
  EXPECT_EQ(move(grid, "plain", "away/node-3"), "no-document");
  EXPECT_EQ(code(run(grid, "other", "away/node-3")), "no-document");
  EXPECT_EQ(move(grid, "plain", "node-2"), "ok");
}

TEST_F(Sites, a_document_can_keep_a_unit_at_home) {
  Grid grid(3, {}, GODWIT_BIN, {}, {}, away());
  REQUIRE_GRID(grid);
  key(grid);
  const std::string file = dir_ + "/home.delegation";
  ASSERT_TRUE(io::replace_file(dir_ + "/policy.json", R"({"sites": {"untrusted": ["away"]}})"));
  ASSERT_EQ(
      grid.godwit({"delegation", "new", "--policy", dir_ + "/policy.json", "--out", file, "--", "/bin/sleep", "1000"})
          .status,
      0);
  ASSERT_EQ(code(run(grid, "homely", "node-1", file)), "ok");
  EXPECT_EQ(move(grid, "homely", "away/node-3"), "forbidden-site");
  EXPECT_EQ(move(grid, "homely", "node-2"), "ok");
}

// The grid still trusts `away`; one of the two nodes doesn't. It is asked each time, and nothing of the unit moves.
TEST_F(Sites, a_node_that_trusts_the_other_site_no_longer_neither_sends_nor_takes) {
  Grid grid(3, {}, GODWIT_BIN, {}, {}, away());
  REQUIRE_GRID(grid);
  key(grid);
  ASSERT_EQ(code(run(grid, "held", "node-1")), "ok");
  ASSERT_EQ(grid.godwit({"site", "distrust", "away", "--state", node(grid, "node-1")}).status, 0);
  EXPECT_EQ(move(grid, "held", "away/node-3"), "untrusted-site");
  EXPECT_EQ(where(grid, "held"), "node-1");
  EXPECT_EQ(move(grid, "held", "node-2"), "ok");
  EXPECT_EQ(move(grid, "held", "away/node-3"), "ok");
  EXPECT_EQ(move(grid, "held", "node-1"), "untrusted-site");
  EXPECT_EQ(where(grid, "held"), "away/node-3");
}

TEST_F(Sites, a_node_of_a_site_that_is_not_trusted_is_no_node) {
  Grid grid(3, {}, GODWIT_BIN, {}, {}, away());
  REQUIRE_GRID(grid);
  key(grid);
  ASSERT_EQ(code(run(grid, "held", "node-1")), "ok");
  ASSERT_EQ(grid.godwit({"site", "distrust", "away", "--state", controller(grid)}).status, 0);
  restart(grid, "controller");
  ASSERT_TRUE(eventually([&] { return grid.godwit({"ps"}).status == 0; }));
  ASSERT_TRUE(eventually([&] { return move(grid, "held", "node-2") == "ok"; }));
  EXPECT_NE(move(grid, "held", "away/node-3"), "ok");
  const json listed = json::parse(grid.godwit({"nodes", "--json"}).out, nullptr, false);
  for (const json& n : listed) {
    if (n["name"] == "away/node-3") {
      EXPECT_NE(n["state"], "ready") << n.dump();
    }
  }
  EXPECT_EQ(where(grid, "held"), "node-2");
}

/// Whoever speaks to the grid's controller with this certificate, as a node would: what it is told.
class Claims {
 public:
  Claims(const Grid& grid, const pki::Identity& who, const std::string& authority) {
    const std::string home = io::read_file(grid.state() + "/ca.crt").value_or("");
    const auto sites = pki::Sites::of(authority, {{"grid", home}});
    const rpc::Identity identity{authority, who.certificate, who.key, sites ? *sites : pki::Sites()};
    stub_ = wire::Cluster::NewStub(
        rpc::channel("unix:" + grid.state() + "/controller/control.sock", identity, "grid/controller"));
  }
  std::string registering(const std::string& name, const std::string& unit = {}) {
    wire::RegisterRequest request;
    request.mutable_node()->set_name(name);
    if (!unit.empty()) {
      auto* load = request.add_units();
      load->set_unit(unit), load->set_epoch(1), load->set_state(wire::RUNNING);
    }
    wire::RegisterReply reply;
    const std::string said = told([&](auto* context) { return stub_->Register(context, request, &reply); });
    for (const auto& d : reply.disown()) disowned_ += d.unit();
    return said;
  }
  std::string committing(const std::string& node, const std::string& unit) {
    wire::CommitRequest request;
    request.set_migration("0123456789abcdef"), request.set_unit(unit), request.set_node(node), request.set_epoch(1);
    wire::CommitReply reply;
    const std::string said = told([&](auto* context) { return stub_->Commit(context, request, &reply); });
    return said != "ok" ? said : reply.granted() ? "granted" : reply.reason();
  }
  std::string disowned_;

 private:
  static std::string told(const std::function<grpc::Status(grpc::ClientContext*)>& ask) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(10));
    const auto status = ask(&context);
    return status.ok() ? "ok" : rpc::failure_of(status).error.text;
  }
  std::unique_ptr<wire::Cluster::Stub> stub_;
};

TEST_F(Sites, a_node_that_claims_another_name_or_unit_gets_nothing) {
  Grid grid(3, {}, GODWIT_BIN, {}, {}, away());
  REQUIRE_GRID(grid);
  key(grid);
  ASSERT_EQ(code(run(grid, "held", "node-1")), "ok");
  const std::string unit = json::parse(grid.godwit({"show", "held", "--json"}).out)["id"];
  const auto authority = pki::load(grid.state() + "/sites/away", "ca");
  ASSERT_TRUE(authority);
  // Its own authority can name it like a node of the grid, like its controller, like its user.
  Claims first(grid, *pki::issue(*authority, "node-1"), authority->certificate);
  EXPECT_EQ(first.registering("node-1"), "away/node-1 can't speak for node node-1");
  EXPECT_EQ(first.registering("grid/node-1"), "away/node-1 can't speak for node grid/node-1");
  EXPECT_EQ(first.committing("node-1", unit), "away/node-1 can't speak for node node-1");
  Claims role(grid, *pki::issue(*authority, "controller"), authority->certificate);
  EXPECT_EQ(role.registering("away/controller"), "\"away/controller\" can't be a node's name");
  // As itself it may register; what it claims to have isn't its own, and no commit is waiting for it.
  EXPECT_EQ(first.registering("away/node-1", unit), "ok");
  EXPECT_EQ(first.disowned_, unit);
  EXPECT_EQ(first.committing("away/node-1", unit), "no such migration");
  EXPECT_EQ(where(grid, "held"), "node-1");
  // Authorities of the same names with other keys aren't heard at all.
  for (const char* name : {"away", "grid"}) {
    const auto forged = *pki::make_authority(name);
    Claims nobody(grid, *pki::issue(forged, "node-1"), forged.certificate);
    EXPECT_NE(nobody.registering("node-1"), "ok") << name;
    EXPECT_NE(nobody.registering("away/node-1"), "ok") << name;
  }
  EXPECT_EQ(move(grid, "held", "node-2"), "ok");
}

}  // namespace
}  // namespace godwit::test
