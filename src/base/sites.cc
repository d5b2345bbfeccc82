#include "base/sites.h"  // first, so that the header proves self-contained

#include <filesystem>

#include "base/io.h"
#include "base/pki.h"
#include "base/sys.h"

namespace godwit::pki {
namespace {

constexpr size_t kCertificateLimit = 64u << 10;
constexpr size_t kMaxSites = 256;
constexpr std::string_view kOldName = "godwit-grid";  // of authorities that were made before sites had names

std::string folder(const std::string& dir) { return dir + "/sites"; }
std::string file_of(const std::string& dir, const std::string& name) { return folder(dir) + "/" + name + ".crt"; }

}  // namespace

Result<std::string> site_name(const std::string& authority) {
  TRY(const Facts facts, inspect(authority));
  if (!facts.authority) return fail(Code::kCorrupt, "the certificate of " + facts.name + " is no authority's");
  if (facts.name == kOldName) return std::string(kDefaultSite);
  if (!valid_name(facts.name)) return fail(Code::kCorrupt, "an authority whose name can't be a site's");
  return facts.name;
}

Result<Sites> Sites::of(const std::string& authority, std::map<std::string, std::string> others) {
  Sites out;
  TRY(out.own_, site_name(authority));
  out.authorities_ = std::move(others);
  // A second authority under the own name would speak for the own nodes.
  if (out.authorities_.contains(out.own_)) return fail(Code::kCorrupt, "another authority for this site, " + out.own_);
  out.authorities_[out.own_] = authority;
  return out;
}

Result<Sites> Sites::load(const std::string& dir) {
  TRY(const std::string own, io::read_file(dir + "/ca.crt", kCertificateLimit));
  std::map<std::string, std::string> others;
  std::error_code none;
  for (const auto& entry : std::filesystem::directory_iterator(folder(dir), none)) {
    if (entry.path().extension() != ".crt") continue;
    if (others.size() == kMaxSites) return fail(Code::kCorrupt, "too many sites in " + folder(dir));
    const std::string name = entry.path().stem();
    TRY(std::string certificate, io::read_file(entry.path(), kCertificateLimit));
    TRY(const std::string said, site_name(certificate));
    if (said != name) return fail(Code::kCorrupt, entry.path().string() + " is of site " + said);
    others.emplace(name, std::move(certificate));
  }
  return of(own, std::move(others));
}

std::set<std::string> Sites::trusted() const {
  std::set<std::string> out;
  for (const auto& [site, certificate] : authorities_)
    if (site != own_) out.insert(site);
  return out;
}

bool Sites::trusts(std::string_view site) const { return authorities_.contains(std::string(site)); }

Result<std::string> Sites::authority(std::string_view site) const {
  const auto it = authorities_.find(std::string(site));
  if (it == authorities_.end())
    return fail(Code::kRefused, "untrusted-site: " + own_ + " doesn't trust site " + std::string(site));
  return it->second;
}

std::string Sites::bundle() const {
  std::string out;
  for (const auto& [site, certificate] : authorities_) out += certificate + (certificate.ends_with('\n') ? "" : "\n");
  return out;
}

Result<std::string> Sites::name_of(const std::string& certificate) const {
  TRY(const Facts facts, inspect(certificate));
  if (!valid_name(facts.name)) return fail(Code::kPeer, "a certificate without a name that can be used");
  for (const auto& [site, authority] : authorities_)
    if (verify(certificate, authority, facts.name)) return site == own_ ? facts.name : site + "/" + facts.name;
  return fail(Code::kPeer, "the certificate of " + facts.name + " is of no site that is trusted here");
}

std::string Sites::full(std::string_view name) const {
  return name.find('/') != std::string_view::npos ? std::string(name) : own_ + "/" + std::string(name);
}

std::string Sites::local(std::string_view full) const {
  const auto [site, name] = split_name(full);
  return site == own_ ? name : std::string(full);
}

SiteAndName split_name(std::string_view name) {
  const size_t slash = name.find('/');
  if (slash == std::string_view::npos) return {"", std::string(name)};
  return {std::string(name.substr(0, slash)), std::string(name.substr(slash + 1))};
}

Result<void> trust_site(const std::string& dir, const std::string& name, const std::string& certificate) {
  if (!valid_name(name)) return fail(Code::kUsage, "\"" + name + "\" can't be a site's name");
  TRY(const std::string said, site_name(certificate));
  if (certificate.find("-----BEGIN", 1) != std::string::npos)
    return fail(Code::kRefused, "the file holds more than one certificate; which one is trusted must be plain");
  if (said != name) return fail(Code::kRefused, "the certificate is of site " + said + ", not of " + name);
  TRY(const Sites known, Sites::load(dir));
  if (name == known.own()) return fail(Code::kRefused, name + " is this site itself");
  TRY(const Facts facts, inspect(certificate));
  if (const auto old = known.authority(name)) {
    TRY(const Facts before, inspect(*old));
    if (before.digest == facts.digest) return {};
    return fail(Code::kRefused, "site " + name + " is trusted with another certificate already");
  }
  TRY_DO(sys::make_dirs(folder(dir), 0700));
  return io::replace_file(file_of(dir, name), certificate, 0644);
}

Result<void> distrust_site(const std::string& dir, const std::string& name) {
  if (!valid_name(name)) return fail(Code::kUsage, "\"" + name + "\" can't be a site's name");
  const std::string path = file_of(dir, name);
  if (!sys::lstat(path)) return fail(Code::kNotFound, "site " + name + " isn't trusted");
  return sys::unlink(path);
}

Result<void> make_site(const std::string& dir, const std::string& name, const std::vector<std::string>& hosts) {
  if (!valid_name(name) || reserved_name(name)) return fail(Code::kUsage, "\"" + name + "\" can't be a site's name");
  TRY_DO(sys::make_dirs(dir, 0700));
  for (const char* file : {"ca.key", "ca.crt", "controller.key", "client.key"})
    if (sys::lstat(dir + "/" + file)) return fail(Code::kRefused, dir + "/" + file + " is there already");
  TRY(const Identity ca, make_authority(name));
  TRY(const Identity controller, issue(ca, "controller", hosts));
  TRY(const Identity client, issue(ca, "client"));
  TRY_DO(save(controller, ca.certificate, dir, "controller"));
  TRY_DO(save(client, ca.certificate, dir, "client"));
  return save(ca, {}, dir, "ca");
}

}  // namespace godwit::pki
