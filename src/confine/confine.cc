#include "confine/confine.h"  // first, so that the header proves self-contained

#include <linux/capability.h>
#include <linux/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <sstream>

#include "base/io.h"
#include "base/log.h"
#include "base/pki.h"
#include "base/sys.h"
#include "confine/groups.h"
#include "confine/landlock.h"
#include "confine/network.h"
#include "delegation/document.h"

namespace godwit::confine {
namespace {

constexpr const char* kRecord = "/groups";

/// What the unit has for itself wherever it is: its output and input, and its terminals.
constexpr const char* kOwnPlaces[] = {"/run/godwit/unit", "/dev/pts"};

bool is_anywhere(const std::vector<std::string>& networks) { return networks == delegation::kAnywhere; }
bool is_everything(const std::vector<std::string>& paths) { return paths == std::vector<std::string>{"/"}; }

std::vector<delegation::Network> parsed(const std::vector<std::string>& texts) {
  std::vector<delegation::Network> out;
  for (const auto& text : texts)
    if (const auto network = delegation::Network::parse(text)) out.push_back(*network);  // form was checked
  return out;
}

// A unit under rules can't mount, but the root's processes may write to any control group that they see.
Result<void> protect_control_groups() {
  TRY(const std::string mounts, io::read_file("/proc/self/mountinfo"));
  std::istringstream lines(mounts);
  for (std::string line; std::getline(lines, line);) {
    if (line.find(" - cgroup") == std::string::npos) continue;
    std::istringstream words(line);
    std::string word, point;
    words >> word >> word >> word >> word >> point;
    mount_attr attributes{};
    attributes.attr_set = MOUNT_ATTR_RDONLY;
    // One that lies below a mount of the unit's view can't be seen by it either.
    if (::syscall(SYS_mount_setattr, -1, point.c_str(), 0, &attributes, sizeof attributes) < 0 && errno != EINVAL &&
        errno != ENOENT)
      return fail_errno(errno, "making " + point + " read-only for the unit");
  }
  return {};
}

class ConfinementImpl final : public Confinement {
 public:
  ConfinementImpl(Rules rules, Groups groups) : rules_(std::move(rules)), groups_(std::move(groups)) {}

  Result<void> guard_addresses() {
    if (!rules_.addresses) return {};
    TRY(guard_, NetworkGuard::make(*groups_.unified(), {rules_.connect, rules_.listen}));
    return {};
  }

  Result<void> enter_view() override {
    TRY_DO(protect_control_groups());
    std::vector<PathRule> paths;
    for (const char* own : kOwnPlaces) {
      paths.push_back({own, false});
      paths.push_back({own, true});
    }
    for (const auto& path : rules_.read) paths.push_back({path, false});
    for (const auto& path : rules_.write) paths.push_back({path, true});
    TRY(ruleset_, make_ruleset(paths));
    for (const auto& rule : paths)
      if (rule.in_proc()) late_.push_back({rule.path, rule.access(), rule.access_of_file()});
    return {};
  }
  [[nodiscard]] Bonds bonds() const override {
    return {groups_.joins(), ruleset_.get(), late_, kept_capabilities(rules_)};
  }
  Result<void> arm_limits() override { return groups_.arm(); }
  Result<void> arm_addresses() override { return guard_ ? guard_->arm() : Result<void>(); }

 private:
  Rules rules_;
  Groups groups_;
  std::optional<NetworkGuard> guard_;
  Fd ruleset_;
  std::vector<Bonds::PathRule> late_;
};

}  // namespace

Rules rules_of(const delegation::Grants& grants) {
  Rules out;
  out.paths = !is_everything(grants.read) || !is_everything(grants.write);
  out.read = grants.read;
  out.write = grants.write;
  out.addresses = !is_anywhere(grants.connect) || !is_anywhere(grants.listen);
  out.connect = parsed(grants.connect);
  out.listen = parsed(grants.listen);
  out.limits = grants.limits;
  return out;
}

Result<Rules> rules_of_document(const std::string& text) {
  if (text.empty()) return Rules{};
  const auto document = delegation::read_document(text);
  if (!document) return delegation::to_result(delegation::Checked<Rules>(std::unexpected(document.error())));
  return rules_of(document->document.grants);
}

std::vector<engine::Blocker> missing(const Rules& rules) {
  std::vector<engine::Blocker> out;
  if (!rules.any()) return out;
  const std::string here = "this node";
  if (landlock_version() < kLandlockNeeded)
    out.push_back(make_blocker("enforce-paths", here, "Landlock version " + std::to_string(landlock_version())));
  const Groups::Wish wish{rules.limits, 0, rules.addresses};
  for (const auto& [controller, code] :
       {std::pair{kCpu, "enforce-cpu"}, {kMemory, "enforce-memory"}, {kProcesses, "enforce-processes"}}) {
    const Controllers wanted = wish.controllers();
    if (std::ranges::find(wanted, controller) == wanted.end()) continue;
    if (const auto place = place_for(controller, wanted); !place)
      out.push_back(make_blocker(code, here, place.error().message()));
  }
  if (rules.addresses) {
    const auto place = place_for({}, wish.controllers());
    const auto can = place ? NetworkGuard::probe() : Result<void>(std::unexpected(place.error()));
    if (!can) out.push_back(make_blocker("enforce-addresses", here, can.error().message()));
  }
  return out;
}

uint64_t kept_capabilities(const Rules& rules) {
  uint64_t out = 0;
  for (const int capability : {CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_FOWNER, CAP_FSETID, CAP_KILL, CAP_SETGID, CAP_SETUID,
                               CAP_SETPCAP, CAP_NET_BIND_SERVICE, CAP_SYS_CHROOT, CAP_AUDIT_WRITE, CAP_SETFCAP})
    out |= uint64_t{1} << capability;
  // With it packets can be sent that belong to no socket of an address family which the rules know.
  if (!rules.addresses) out |= uint64_t{1} << CAP_NET_RAW;
  return out;
}

Result<std::unique_ptr<Confinement>> Confinement::make(const Rules& rules, const std::string& unit_dir, unsigned own) {
  const std::string name = "godwit-" + unit_dir.substr(unit_dir.rfind('/') + 1) + "-" + pki::random_hex(4);
  TRY(Groups groups, Groups::make({rules.limits, own, rules.addresses}, name));
  std::string record;
  for (const auto& path : groups.paths()) record += path + "\n";
  TRY_DO(io::replace_file(unit_dir + kRecord, record, 0600));
  auto out = std::make_unique<ConfinementImpl>(rules, std::move(groups));
  TRY_DO(out->guard_addresses());
  return out;
}

void forget(const std::string& unit_dir) {
  const auto record = io::read_file(unit_dir + kRecord, 1u << 16);
  if (!record) return;
  std::istringstream lines(*record);
  for (std::string path; std::getline(lines, path);)
    if (path.find("/godwit-") != std::string::npos) remove_group(path);
}

}  // namespace godwit::confine
