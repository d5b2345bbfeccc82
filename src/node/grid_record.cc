#include "node/grid_record.h"  // first, so that the header proves self-contained

#include <arpa/inet.h>
#include <sys/file.h>

#include <cerrno>
#include <charconv>
#include <nlohmann/json.hpp>

#include "base/io.h"
#include "base/pki.h"
#include "base/sites.h"
#include "base/sys.h"
#include "node/node.h"

namespace godwit::node {
namespace {

using nlohmann::json;

constexpr int kRecordVersion = 1;

std::string record_path(const std::string& state_dir) { return state_dir + "/grid.json"; }

Result<std::string> boot_id() {
  TRY(std::string id, io::read_file("/proc/sys/kernel/random/boot_id", 64));
  while (!id.empty() && id.back() == '\n') id.pop_back();
  return id;
}

json to_json(const ProcessRef& p) { return {{"pid", p.pid}, {"start", p.start}}; }
ProcessRef process_of(const json& j) { return {j.at("pid").get<pid_t>(), j.at("start").get<uint64_t>()}; }

bool exists(const std::string& path) { return sys::lstat(path).has_value(); }

Result<pki::Identity> authority_in(const std::string& dir, const std::string& site) {
  if (exists(dir + "/ca.key")) return pki::load(dir, "ca");
  TRY(pki::Identity ca, pki::make_authority(site));
  TRY_DO(pki::save(ca, {}, dir, "ca"));
  return ca;
}

// A certificate that was made for another address or by another authority is made anew.
Result<void> certify(const pki::Identity& ca, const std::string& dir, const std::string& file, const std::string& name,
                     const std::vector<std::string>& hosts) {
  if (exists(dir + "/" + file + ".key")) {
    TRY(const pki::Identity old, pki::load(dir, file));
    TRY_DO(io::replace_file(dir + "/ca.crt", ca.certificate));
    if (pki::verify(old.certificate, ca.certificate, name)) return {};
  }
  TRY(const pki::Identity made, pki::issue(ca, name, hosts));
  return pki::save(made, ca.certificate, dir, file);
}

/// A node of another site: named by that site's authority, trusted by the grid's daemons, and trusting the grid.
Result<void> certify_foreign(const pki::Identity& grid, const std::string& state_dir, const GridRecord& record,
                             const GridNode& node) {
  const std::string home = site_dir(state_dir, node.site);
  const std::string dir = node_dir(state_dir, node.name);
  TRY_DO(sys::make_dirs(home, 0700));
  TRY(const pki::Identity ca, authority_in(home, node.site));
  TRY_DO(certify(ca, dir, "node", node.name, {node.address}));
  TRY(const std::string own, pki::site_name(grid.certificate));
  TRY_DO(pki::trust_site(dir, own, grid.certificate));
  TRY_DO(pki::trust_site(controller_dir(state_dir), node.site, ca.certificate));
  for (const auto& other : record.nodes)
    if (other.site.empty()) TRY_DO(pki::trust_site(node_dir(state_dir, other.name), node.site, ca.certificate));
  return {};
}

Result<uint32_t> parse_network(const std::string& network, unsigned& bits) {
  const size_t slash = network.find('/');
  const std::string prefix = slash == std::string::npos ? "" : network.substr(slash + 1);
  in_addr base;
  const auto parsed = std::from_chars(prefix.data(), prefix.data() + prefix.size(), bits);
  if (prefix.empty() || parsed.ptr != prefix.data() + prefix.size() || bits < 8 || bits > 30 ||
      ::inet_pton(AF_INET, network.substr(0, slash).c_str(), &base) != 1) {
    return fail(Code::kUsage, "not an IPv4 network like 10.77.0.0/24: " + network);
  }
  return ntohl(base.s_addr) & ~((uint32_t{1} << (32 - bits)) - 1);
}

}  // namespace

Result<void> save_record(const std::string& state_dir, const GridRecord& record) {
  TRY(const std::string boot, boot_id());
  json nodes = json::array();
  for (const auto& n : record.nodes) {
    nodes.push_back({{"name", n.name},
                     {"address", n.address},
                     {"root", n.root},
                     {"arch", n.arch},
                     {"site", n.site},
                     {"holder", to_json(n.holder)},
                     {"daemon", to_json(n.daemon)}});
  }
  const json j = {{"version", kRecordVersion},
                  {"boot", boot},
                  {"program", record.program},
                  {"network", record.network},
                  {"controller_address", record.controller_address},
                  {"rootless", record.rootless},
                  {"hub", to_json(record.hub)},
                  {"controller", to_json(record.controller)},
                  {"nodes", nodes}};
  return io::replace_file(record_path(state_dir), j.dump(2) + "\n");
}

Result<GridRecord> load_record(const std::string& state_dir) {
  const std::string path = record_path(state_dir);
  if (!exists(path)) return fail(Code::kNotFound, "no grid in " + state_dir);
  TRY(const std::string text, io::read_file(path, 1u << 20));
  TRY(const std::string boot, boot_id());
  try {
    const json j = json::parse(text);
    if (j.at("version").get<int>() != kRecordVersion) return fail(Code::kCorrupt, path + " is of another version");
    if (j.at("boot").get<std::string>() != boot) return fail(Code::kNotFound, "the grid ended with the last boot");
    GridRecord record;
    record.program = j.at("program").get<std::string>();
    record.network = j.at("network").get<std::string>();
    record.controller_address = j.at("controller_address").get<std::string>();
    record.rootless = j.at("rootless").get<bool>();
    record.hub = process_of(j.at("hub"));
    record.controller = process_of(j.at("controller"));
    for (const auto& n : j.at("nodes")) {
      record.nodes.push_back({n.at("name").get<std::string>(), n.at("address").get<std::string>(),
                              n.at("root").get<std::string>(), n.value("arch", ""), n.value("site", ""),
                              process_of(n.at("holder")), process_of(n.at("daemon"))});
    }
    return record;
  } catch (const json::exception& e) {
    return fail(Code::kCorrupt, path + ": " + e.what());
  }
}

Result<GridNode*> find_node(GridRecord& record, const std::string& name) {
  for (auto& n : record.nodes) {
    if (n.name == name) return &n;
  }
  return fail(Code::kNotFound, "no node " + name + " in this grid");
}

Result<Fd> lock_grid(const std::string& state_dir) {
  TRY_DO(sys::make_dirs(state_dir));
  TRY(Fd fd, sys::open(state_dir + "/grid.lock", O_RDWR | O_CREAT, 0600));
  while (::flock(fd.get(), LOCK_EX) < 0) {
    if (errno != EINTR) return fail_errno(errno, "locking " + state_dir);
  }
  return fd;
}

std::string node_dir(const std::string& state_dir, const std::string& name) { return state_dir + "/nodes/" + name; }
std::string site_dir(const std::string& state_dir, const std::string& site) { return state_dir + "/sites/" + site; }
std::string controller_dir(const std::string& state_dir) { return state_dir + "/controller"; }
std::string controller_socket(const std::string& state_dir) { return controller_dir(state_dir) + "/control.sock"; }

Result<void> make_state(const std::string& state_dir, const GridRecord& record) {
  const std::string controller = controller_dir(state_dir);
  TRY_DO(sys::make_dirs(controller, 0700));
  TRY(const pki::Identity ca, authority_in(controller, std::string(pki::kDefaultSite)));
  const std::string host = record.controller_address.substr(0, record.controller_address.rfind(':'));
  TRY_DO(certify(ca, controller, "controller", "controller", {host, "localhost"}));
  TRY_DO(certify(ca, state_dir, "client", "client", {}));
  for (const auto& n : record.nodes) {
    const std::string dir = node_dir(state_dir, n.name);
    TRY_DO(sys::make_dirs(dir, 0700));
    if (n.site.empty()) TRY_DO(certify(ca, dir, "node", n.name, {n.address}));
  }
  for (const auto& n : record.nodes)
    if (!n.site.empty()) TRY_DO(certify_foreign(ca, state_dir, record, n));
  const json client = {{"version", 1}, {"controller", "unix:" + controller_socket(state_dir)}, {"identity", "client"}};
  return io::replace_file(state_dir + "/client.json", client.dump(2) + "\n");
}

Result<std::string> address_in(const std::string& network, unsigned host) {
  unsigned bits = 0;
  TRY(const uint32_t base, parse_network(network, bits));
  const in_addr address{htonl(base + host)};
  char text[INET_ADDRSTRLEN];
  if (::inet_ntop(AF_INET, &address, text, sizeof text) == nullptr) return fail_errno(errno, "inet_ntop");
  return std::string(text);
}

Result<void> check_network(const std::string& network, unsigned hosts) {
  unsigned bits = 0;
  TRY_DO(parse_network(network, bits));
  const uint32_t room = (uint32_t{1} << (32 - bits)) - 2;
  if (room < hosts) {
    return fail(Code::kUsage, network + " has room for " + std::to_string(room) + " addresses, " +
                                  std::to_string(hosts) + " are wanted");
  }
  return {};
}

std::string prefix_of(const std::string& network) { return network.substr(network.find('/')); }

}  // namespace godwit::node
