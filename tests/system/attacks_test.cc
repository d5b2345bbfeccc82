// What a node, a peer or a unit that means harm gets at the doors of real daemons: nothing (docs/design/attacks.md has the whole
// table). Nodes 1 and 2 are the grid's own, node-3 is of the site `away`.
#include <fmt/format.h>

#include <algorithm>
#include <ctime>
#include <future>
#include <nlohmann/json.hpp>

#include "base/pki.h"
#include "base/sites.h"
#include "delegation/delegation.h"
#include "godwit/control.grpc.pb.h"
#include "grid.h"
#include "image/image.h"
#include "rpc/rpc.h"
#include "tunnel.h"
#include "with_user_key.h"

namespace godwit::test {
namespace {

using nlohmann::json;
namespace dl = delegation;

uint64_t seconds_now() { return static_cast<uint64_t>(std::time(nullptr)); }

template <typename T>
T sure(dl::Checked<T> checked) {
  if (!checked) ADD_FAILURE() << checked.error().error().text;
  return checked ? *std::move(checked) : T();
}

std::string code_of(const grpc::Status& status) {
  if (status.ok()) return "ok";
  const auto failure = rpc::failure_of(status);
  return failure.blockers.empty() ? failure.error.text : failure.blockers.front().code;
}

void limit(grpc::ClientContext& context) {
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
}

class Attacks : public WithUserKey {
 protected:
  static std::string node_dir(const Grid& grid, const std::string& name) { return grid.state() + "/nodes/" + name; }
  static std::unique_ptr<Grid> two_sites() {
    return std::make_unique<Grid>(3, std::map<std::string, std::string>(), GODWIT_BIN, nullptr,
                                  std::vector<std::string>(), std::map<std::string, std::string>{{"node-3", "away"}});
  }
  static rpc::Identity identity(const std::string& dir, const std::string& name) {
    auto loaded = rpc::load_identity(dir, name);
    EXPECT_TRUE(loaded) << loaded.error().message();
    return loaded ? *loaded : rpc::Identity();
  }
  static std::string run(const Grid& grid, const std::string& name, const std::string& node) {
    const auto ran = grid.godwit({"run", "--name", name, "--node", node, "--", "/bin/sleep", "1000"});
    EXPECT_EQ(ran.status, 0) << ran.err;
    return ran.out.substr(0, ran.out.find('\n'));
  }
  static json show(const Grid& grid, const std::string& unit) {
    return json::parse(grid.godwit({"show", unit, "--json"}).out, nullptr, false);
  }
  static std::string where(const Grid& grid, const std::string& unit) {
    const json shown = show(grid, unit);
    return shown.is_object() ? shown.value("node", "") : "";
  }
  /// The grid's controller, as this node speaks to it.
  static std::unique_ptr<wire::Cluster::Stub> cluster(const Grid& grid, const rpc::Identity& who,
                                                      const std::string& controller) {
    return wire::Cluster::NewStub(rpc::channel("unix:" + grid.state() + "/controller/control.sock", who, controller));
  }
};

/// A move that stands at a point, so that somebody can do something meanwhile.
class Standing {
 public:
  Standing(const Grid& grid, std::string unit, std::string to, std::string node, const std::string& point)
      : grid_(grid), node_(std::move(node)) {
    EXPECT_EQ(grid_.godwit({"arm", point + ":stall", "--node", node_}).status, 0);
    moved_ = std::async(std::launch::async,
                        [this, unit, to = std::move(to)] { return grid_.godwit({"move", unit, "--to", to}); });
    EXPECT_TRUE(eventually([&] {
      const json shown = json::parse(grid_.godwit({"show", unit, "--json"}).out, nullptr, false);
      for (const auto& m : shown.value("migrations", json::array()))
        if (m.value("state", "") == "planned") id_ = m.value("id", "");
      return !id_.empty();
    }));
  }
  [[nodiscard]] const std::string& id() const { return id_; }
  Ran go_on() {
    EXPECT_EQ(grid_.godwit({"arm", "", "--node", node_}).status, 0);
    return moved_.get();
  }

 private:
  const Grid& grid_;
  const std::string node_;
  std::string id_;
  std::future<Ran> moved_;
};

// ------------------------------------------------------------------------------------------------------- the commit

TEST_F(Attacks, who_has_no_part_in_a_move_neither_ends_it_nor_learns_its_token) {
  const auto grid = two_sites();
  REQUIRE_GRID(*grid);
  ASSERT_EQ(grid->godwit({"key", "new"}).status, 0);
  const std::string unit = run(*grid, "held", "node-1");
  const auto ours = cluster(*grid, identity(node_dir(*grid, "node-3"), "node"), "grid/controller");
  const auto resolve = [&](const std::string& migration) {
    wire::ResolveRequest request;
    request.set_migration(migration), request.set_node("away/node-3");
    wire::ResolveReply reply;
    grpc::ClientContext context;
    limit(context);
    const auto status = ours->Resolve(&context, request, &reply);
    EXPECT_EQ(reply.token(), "");
    return status.ok() ? "ok" : rpc::failure_of(status).error.text;
  };
  Standing move(*grid, "held", "node-2", "node-1", "source.prepare");
  EXPECT_EQ(resolve(move.id()), "node away/node-3 has no part in this migration");
  wire::CommitRequest request;
  request.set_migration(move.id()), request.set_unit(unit), request.set_epoch(1), request.set_node("away/node-3");
  wire::CommitReply reply;
  grpc::ClientContext context;
  limit(context);
  ASSERT_TRUE(ours->Commit(&context, request, &reply).ok());
  EXPECT_FALSE(reply.granted());
  const auto moved = move.go_on();
  EXPECT_EQ(moved.status, 0) << moved.err;
  EXPECT_EQ(where(*grid, "held"), "node-2");
  EXPECT_EQ(resolve(move.id()), "node away/node-3 has no part in this migration");
}

// node-2 is the destination, has all its keys, and wants the unit without having got its state from node-1.
TEST_F(Attacks, a_destination_that_makes_up_a_handover_is_not_granted_the_commit) {
  Grid grid(2);
  REQUIRE_GRID(grid);
  ASSERT_EQ(grid.godwit({"key", "new"}).status, 0);
  const std::string unit = run(grid, "held", "node-1");
  for (const char* to : {"node-2", "node-1"}) ASSERT_EQ(grid.godwit({"move", "held", "--to", to}).status, 0);

  wire::TraceReply trace;
  {
    const auto user = wire::Controller::NewStub(rpc::channel("unix:" + grid.state() + "/controller/control.sock",
                                                             identity(grid.state(), "client"), "controller"));
    wire::UnitRequest ask;
    ask.set_unit(unit);
    grpc::ClientContext context;
    limit(context);
    ASSERT_TRUE(user->Trace(&context, ask, &trace).ok());
  }
  ASSERT_EQ(trace.entries_size(), 2);
  const dl::Head head = sure(dl::read_head(trace.head())).head;
  const auto authority = sure(dl::chain(sure(dl::read_document(trace.document())), {}));
  const auto own = *dl::PrivateKey::load(node_dir(grid, "node-2") + "/trace.key");
  const auto made_up = [&](uint64_t epoch, const dl::PrivateKey& as_source, const std::string& to = "grid/node-2") {
    auto entry =
        dl::next_entry(authority, head, to, epoch, dl::sha256("anything"), std::string(32, 'a'), seconds_now());
    auto envelope = sure(entry.sign(as_source));
    envelope.sign(own);
    return envelope.encode();
  };
  const auto again = sure(dl::read_entry(trace.entries(0), 2));
  auto resigned = again.envelope;  // the first handover once more, with this move's place in the list
  std::string later = resigned.payload;
  const auto from = later.find("\"sequence\":1");
  ASSERT_NE(from, std::string::npos);
  later.replace(from, 12, "\"sequence\":3");
  resigned.payload = later;

  const auto cluster_of = cluster(grid, identity(node_dir(grid, "node-2"), "node"), "controller");
  Standing move(grid, "held", "node-2", "node-1", "source.prepare");
  const auto commit = [&](const std::string& entry) {
    wire::CommitRequest request;
    request.set_migration(move.id()), request.set_unit(unit), request.set_epoch(3), request.set_node("node-2");
    request.set_entry(entry);
    wire::CommitReply reply;
    grpc::ClientContext context;
    limit(context);
    const auto status = cluster_of->Commit(&context, request, &reply);
    EXPECT_TRUE(status.ok()) << status.error_message();
    EXPECT_EQ(reply.token(), "");
    if (reply.granted()) return std::string("granted");
    const size_t begin = reply.reason().find("; ") + 2;
    return reply.reason().substr(begin, reply.reason().find(':', begin) - begin);
  };
  EXPECT_EQ(commit(""), "not-json");  // no entry at all
  EXPECT_EQ(commit(trace.entries(0)), "rolled-back");
  EXPECT_EQ(commit(trace.entries(1)), "replayed");
  EXPECT_EQ(commit(made_up(4, own)), "unknown-key");  // both signatures are its own
  EXPECT_EQ(commit(made_up(4, *dl::PrivateKey::generate())), "unknown-key");
  EXPECT_EQ(commit(made_up(9, own)), "unknown-key");
  EXPECT_EQ(commit(made_up(2, own)), "rolled-back");
  EXPECT_EQ(commit(resigned.encode()), "broken-link");
  EXPECT_EQ(commit(std::string(600u << 10, 'x')), "too-large");
  EXPECT_EQ(where(grid, "held"), "node-1");
  const auto moved = move.go_on();
  EXPECT_EQ(moved.status, 0) << moved.err;
  EXPECT_EQ(where(grid, "held"), "node-2");
  EXPECT_EQ(grid.godwit({"delegation", "trace", "held"}).status, 0);
}

// --------------------------------------------------------------------------------------------- the entrance of a move

/// Papers of a unit at away/node-3 that is to come to grid/node-1, made by a user, nodes and a log of this test. The controller
/// names users and keys, so they are as good as real ones until something is wrong with them.
struct Journey {
  dl::PrivateKey user = *dl::PrivateKey::generate(), log = *dl::PrivateKey::generate();
  std::map<std::string, dl::PrivateKey> nodes;
  dl::Grants grants = dl::default_grants(seconds_now());
  dl::Document document;
  std::string revocation;
  dl::Passage passage;

  explicit Journey(const std::function<void(dl::Grants&)>& say = {}) {
    for (const char* name : {"away/node-3", "grid/node-1", "grid/node-2"})
      nodes.emplace(name, *dl::PrivateKey::generate());
    grants.not_before = 1000;  // so that a test can let it end
    if (say) say(grants);
    document = dl::new_document(user.public_key(), dl::sha256("program"), dl::sha256("arguments"), grants);
    dl::Trust& trust = passage.trust;
    trust.site = "grid";
    trust.sites = {"away"};
    trust.users.emplace(user.public_key().id(), user.public_key());
    for (const auto& [name, key] : nodes) trust.nodes.emplace(name, key.public_key());
    trust.logs.emplace("grid", log.public_key());
    passage.offer.document = sure(document.sign(user)).encode();
    passage.source = "away/node-3";
    passage.destination = "grid/node-1";
    passage.facts = {{"memory_bytes", 1 << 20}, {"processes", 1}, {"cpu_seconds", 1}};
    begin();
  }
  [[nodiscard]] dl::Authority authority() const {
    return sure(dl::chain(sure(dl::read_document(passage.offer.document)), passage.offer.caveats));
  }
  /// One handover lies behind it: from grid/node-2 to where it is.
  void begin() {
    const dl::Digest id = authority().digest();
    const dl::Head at{id, id, 0, id, 1, "grid/node-2", seconds_now(), "grid"};
    auto entry =
        dl::next_entry(authority(), at, "away/node-3", 2, dl::sha256("state"), std::string(32, 'b'), seconds_now());
    auto envelope = sure(entry.sign(nodes.at("grid/node-2")));
    envelope.sign(nodes.at("away/node-3"));
    passage.offer.last = envelope.encode();
    head = dl::Head{id, id, 1, envelope.digest(), 2, "away/node-3", seconds_now(), "grid"};
    sign_head(log);
  }
  void sign_head(const dl::PrivateKey& by) { passage.offer.head = sure(head.sign(by)).encode(); }
  void add_caveat(const dl::Grants& left, const std::string& by, const dl::Digest& previous) {
    const dl::Caveat caveat{authority().document.digest, previous, by, 1, seconds_now(), left};
    passage.offer.caveats.push_back(sure(caveat.sign(nodes.at(by))).encode());
  }
  dl::Head head;
};

struct Entrance {
  const char* name;
  std::string code;
  std::function<Journey()> papers;
};

Journey changed(const std::function<void(Journey&)>& how, const std::function<void(dl::Grants&)>& say = {}) {
  Journey out(say);
  how(out);
  return out;
}
Journey of_grants(const std::function<void(dl::Grants&)>& say) { return Journey(say); }

std::vector<Entrance> entrances() {
  return {
      {"good", "ok", [] { return Journey(); }},
      {"document altered", "bad-signature",
       [] {
         return changed([](Journey& j) {
           auto envelope = sure(dl::Envelope::decode(j.passage.offer.document, dl::kDocumentType));
           const size_t at = envelope.payload.find("\"handovers\":1000");
           envelope.payload.replace(at, 16, "\"handovers\":9000");
           j.passage.offer.document = envelope.encode();
         });
       }},
      {"another user", "untrusted-user",
       [] {
         return changed([](Journey& j) {
           const auto another = dl::PrivateKey::generate();
           j.passage.offer.document =
               sure(dl::new_document(another->public_key(), {}, {}, j.grants).sign(*another)).encode();
         });
       }},
      {"expired", "expired", [] { return of_grants([](dl::Grants& g) { g.not_after = seconds_now() - 1; }); }},
      {"too early", "not-yet-valid",
       [] { return of_grants([](dl::Grants& g) { g.not_before = seconds_now() + 3600; }); }},
      {"revoked", "revoked",
       [] { return changed([](Journey& j) { j.passage.trust.revoked.insert(j.document.revocation); }); }},
      {"over limit", "over-limit", [] { return of_grants([](dl::Grants& g) { g.handovers = 1; }); }},
      {"wrong node", "forbidden-node",
       [] { return of_grants([](dl::Grants& g) { g.nodes.untrusted = {"grid/node-1"}; }); }},
      {"wrong site", "forbidden-site", [] { return of_grants([](dl::Grants& g) { g.sites.untrusted = {"away"}; }); }},
      {"no moves", "forbidden-operation", [] { return of_grants([](dl::Grants& g) { g.operations = {"run"}; }); }},
      {"condition", "unmet-condition",
       [] { return of_grants([](dl::Grants& g) { g.conditions = {"processes <= 0"}; }); }},
      {"rolled back to no entry", "truncated",
       [] { return changed([](Journey& j) { j.passage.offer.last.clear(); }); }},
      {"rolled back head", "unlogged",
       [] {
         return changed([](Journey& j) {
           j.head.sequence = 0;
           j.sign_head(j.log);
         });
       }},
      {"clone: another last entry", "cloned",
       [] {
         return changed([](Journey& j) {
           auto first = sure(dl::read_entry(j.passage.offer.last, 2)).entry;
           first.nonce = std::string(32, 'c');
           auto envelope = sure(first.sign(j.nodes.at("grid/node-2")));
           envelope.sign(j.nodes.at("away/node-3"));
           j.passage.offer.last = envelope.encode();
         });
       }},
      {"co-signature forged", "unknown-key",
       [] {
         return changed([](Journey& j) {
           const auto first = sure(dl::read_entry(j.passage.offer.last, 2)).entry;
           auto envelope = sure(first.sign(j.nodes.at("away/node-3")));
           envelope.sign(j.nodes.at("away/node-3"));
           j.passage.offer.last = envelope.encode();
         });
       }},
      {"head of another log", "unknown-key",
       [] { return changed([](Journey& j) { j.sign_head(*dl::PrivateKey::generate()); }); }},
      {"head of a site that isn't trusted", "unknown-log",
       [] {
         return changed([](Journey& j) {
           j.head.log = "elsewhere";
           j.passage.trust.logs.emplace("elsewhere", j.log.public_key());
           j.sign_head(j.log);
         });
       }},
      {"old head", "stale-head",
       [] {
         return changed([](Journey& j) {
           j.head.time -= dl::kHeadAge + 60;
           j.sign_head(j.log);
         });
       }},
      {"it is elsewhere", "not-the-holder",
       [] {
         return changed([](Journey& j) {
           j.head.holder = "grid/node-2";
           j.sign_head(j.log);
         });
       }},
      {"widened", "widened",
       [] {
         return changed([](Journey& j) {
           dl::Grants more = j.grants;
           more.handovers += 1;
           j.add_caveat(more, "away/node-3", j.authority().digest());
         });
       }},
      {"caveat out of its place", "broken-caveats",
       [] {
         return changed([](Journey& j) {
           dl::Grants less = j.grants;
           less.handovers -= 1;
           j.add_caveat(less, "away/node-3", dl::sha256("another"));
         });
       }},
      {"caveat removed", "caveats-removed",
       [] {
         return changed([](Journey& j) {
           j.head.authority = dl::sha256("a caveat that isn't shown");
           j.sign_head(j.log);
         });
       }},
      {"caveat of another node", "not-the-holder",
       [] {
         return changed([](Journey& j) {
           dl::Grants less = j.grants;
           less.handovers -= 1;
           j.add_caveat(less, "grid/node-2", j.authority().digest());
         });
       }},
      {"for another destination", "other-destination",
       [] { return changed([](Journey& j) { j.passage.destination = "grid/node-2"; }); }},
      {"by another source", "not-the-holder",
       [] { return changed([](Journey& j) { j.passage.source = "away/node-7"; }); }},
  };
}

// The grid's controller could say all of this (who has its key), and so could whoever stands behind it. The node looks itself.
TEST_F(Attacks, papers_that_are_not_good_are_refused_at_the_entrance_by_their_code) {
  const auto grid = two_sites();
  REQUIRE_GRID(*grid);
  const auto member = grid->member("node-1");
  const Tunnel door(member.holder_pid, member.address, node::kControlPort);
  const auto controller = identity(grid->state() + "/controller", "controller");
  const auto stub = wire::Node::NewStub(rpc::channel(door.local(), controller, "node-1"));
  int number = 0;
  const auto prepare = [&](const std::string& passage, const std::string& source) {
    wire::PrepareRequest request;
    request.set_unit("attack-" + std::to_string(++number));
    request.set_migration(fmt::format("{:016x}", number));
    request.set_epoch(2);
    request.set_source(source);
    request.set_passage(passage);
    wire::PrepareReply reply;
    grpc::ClientContext context;
    limit(context);
    const std::string code = code_of(stub->Prepare(&context, request, &reply));
    if (code != "ok") return code;
    wire::ReleaseRequest over;
    over.set_migration(request.migration()), over.set_unit(request.unit());
    grpc::ClientContext again;
    limit(again);
    wire::Empty nothing;
    EXPECT_TRUE(stub->Release(&again, over, &nothing).ok());
    return code;
  };
  for (const auto& e : entrances()) {
    std::string code;
    // A site may ask only so often: what is refused for that is asked again.
    EXPECT_TRUE(eventually([&] {
      code = prepare(dl::encode(e.papers().passage), "away/node-3");
      return code != "site-limit";
    }));
    EXPECT_EQ(code, e.code) << e.name;
  }
  EXPECT_TRUE(eventually([&] { return prepare("", "away/node-3") == "no-document"; }));
  EXPECT_TRUE(eventually([&] { return prepare(std::string(2u << 20, 'x'), "away/node-3") == "too-large"; }));
  // Nothing of them is left: no keeper, no directory.
  EXPECT_TRUE(eventually([&] {
    return sys::list_dir(node_dir(*grid, "node-1") + "/units").value_or(std::vector<std::string>{"?"}).empty();
  }));
}

// Own nodes, users and nodes of other sites: none of them may tell a node what to do.
TEST_F(Attacks, only_the_controller_commands_a_node) {
  const auto grid = two_sites();
  REQUIRE_GRID(*grid);
  const auto member = grid->member("node-1");
  const Tunnel door(member.holder_pid, member.address, node::kControlPort);
  const auto stub = [&](const rpc::Identity& who, const std::string& peer) {
    return wire::Node::NewStub(rpc::channel(door.local(), who, peer));
  };
  const auto other = stub(identity(node_dir(*grid, "node-2"), "node"), "node-1");
  const auto user = stub(identity(grid->state(), "client"), "node-1");
  const auto foreign = stub(identity(node_dir(*grid, "node-3"), "node"), "grid/node-1");
  for (const auto* s : {&other, &user, &foreign}) {
    const auto refused = [&](const auto& ask) {
      grpc::ClientContext context;
      limit(context);
      const auto status = ask(**s, &context);
      EXPECT_EQ(rpc::failure_of(status).error.code, Code::kRefused) << status.error_message();
    };
    wire::Empty nothing;
    wire::UnitLoad load;
    wire::PrepareReply prepared;
    refused([&](auto& n, auto* c) { return n.Launch(c, {}, &load); });
    refused([&](auto& n, auto* c) { return n.Prepare(c, {}, &prepared); });
    refused([&](auto& n, auto* c) { return n.Kill(c, {}, &nothing); });
    refused([&](auto& n, auto* c) { return n.Discard(c, {}, &nothing); });
    refused([&](auto& n, auto* c) { return n.DropImage(c, {}, &nothing); });
    refused([&](auto& n, auto* c) { return n.Arm(c, {}, &nothing); });
  }
  // What lies here goes to nodes of the own site only.
  grpc::ClientContext context;
  limit(context);
  const auto stream = foreign->Fetch(&context, {});
  wire::Data data;
  while (stream->Read(&data)) {
  }
  EXPECT_EQ(rpc::failure_of(stream->Finish()).error.code, Code::kRefused);
}

// -------------------------------------------------------------------------------------------------------- the keeper

// Its user is root, as the daemon; its document lets it read nothing of the node's state. A connection isn't a read to Landlock.
TEST_F(Attacks, a_unit_does_not_speak_to_its_keeper) {
  Grid grid(1);
  REQUIRE_GRID(grid);
  ASSERT_EQ(grid.godwit({"key", "new"}).status, 0);
  const std::string policy = dir_ + "/policy.json", document = dir_ + "/document";
  ASSERT_TRUE(io::replace_file(policy, R"({"read": ["/bin", "/dev", "/etc", "/lib", "/lib64", "/proc", "/usr"],
                                          "write": []})"));
  // Connects to every keeper that it finds when it is told where the node's units are, and says what came of it.
  const std::string program =
      "import os,socket,sys,time\n"
      "print('ready',flush=True)\n"
      "for unit in sys.argv[1:]:\n"
      "  s=socket.socket(socket.AF_UNIX,socket.SOCK_SEQPACKET)\n"
      "  s.settimeout(10)\n"
      "  try:\n"
      "    s.connect(unit)\n"
      "    print('got',len(s.recv(65536)),flush=True)\n"
      "  except OSError as e:\n"
      "    print('failed',type(e).__name__,flush=True)\n"
      "time.sleep(1000)\n";
  const std::string victim = run(grid, "victim", "node-1");
  const std::string socket = node_dir(grid, "node-1") + "/units/" + victim + "/keeper.sock";
  const std::vector<std::string> words{"--", "/usr/bin/python3", "-c", program, socket};
  auto make = std::vector<std::string>{"delegation", "new", "--policy", policy, "--out", document};
  make.insert(make.end(), words.begin(), words.end());
  ASSERT_EQ(grid.godwit(make).status, 0);
  auto start = std::vector<std::string>{"run", "--name", "intruder", "--delegation", document};
  start.insert(start.end(), words.begin(), words.end());
  const auto ran = grid.godwit(start);
  ASSERT_EQ(ran.status, 0) << ran.err;
  std::string said;
  ASSERT_TRUE(eventually([&] {
    said = grid.godwit({"logs", "intruder"}).out;
    return std::ranges::count(said, '\n') == 2;
  })) << said;
  EXPECT_EQ(said, "ready\ngot 0\n");  // it was shown the door
  EXPECT_EQ(grid.godwit({"signal", "victim", "STOP"}).status, 0);  // and the daemon is still there
  EXPECT_EQ(grid.godwit({"kill", "victim"}).status, 0);
}

// -------------------------------------------------------------------------------------------------------- the restore

// Its image, with another unit's id in it: for this grid a unit that it doesn't know, of an instance that it knows.
TEST_F(Attacks, an_image_under_another_name_is_no_second_instance) {
  Grid grid(2);
  REQUIRE_GRID(grid);
  ASSERT_EQ(grid.godwit({"key", "new"}).status, 0);
  run(grid, "held", "node-1");
  const std::string file = dir_ + "/held.image", copy = dir_ + "/copy.image";
  ASSERT_EQ(grid.godwit({"checkpoint", "held", "-o", file}).status, 0);
  const auto image = image::ImageReader::open(file);
  ASSERT_TRUE(image);
  auto writer = image::ImageWriter::to_file(copy, {});
  ASSERT_TRUE(writer);
  ASSERT_TRUE((*writer)->copy(**image));
  auto manifest = (*image)->manifest();
  manifest.unit = "abcdefabcdef";
  ASSERT_TRUE((*writer)->finish(std::move(manifest)));
  const auto restore = [&] {
    const auto ran = grid.godwit({"restore", copy, "--branch", "--name", "twin", "--json"});
    const json out = json::parse(ran.out, nullptr, false);
    return ran.status == 0 ? "ok" : out.is_object() ? std::string(out["error"]["blockers"][0]["code"]) : ran.err;
  };
  EXPECT_EQ(restore(), "replayed");
  ASSERT_EQ(grid.godwit({"delegation", "revoke", "held"}).status, 0);
  EXPECT_EQ(restore(), "replayed");
  for (const auto& u : json::parse(grid.godwit({"ps", "--all", "--json"}).out)) EXPECT_EQ(u.value("name", ""), "held");
}

}  // namespace
}  // namespace godwit::test
