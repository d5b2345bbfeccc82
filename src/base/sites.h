// Whose certificates a daemon believes: those of its own site's authority, and of the sites that its operator trusts.
//
//     DIR/ca.crt            the own site's authority; its name is the site's name
//     DIR/sites/NAME.crt    another site's, put there by `godwit site trust NAME CERT`
//
//     TRY(const pki::Sites sites, pki::Sites::load(dir));
//     TRY(const std::string who, sites.name_of(certificate));      // "node-1" is ours, "away/node-7" another site's
//
// A certificate's name alone says nothing: every authority can sign any, "controller" too. So a peer is a name together
// with the site whose authority signed it, and only the own site's names stand alone.
//
// Trust is of one side: DIR is what *this* daemon's operator decided. A unit crosses where both sides' lists say so.
#pragma once

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace godwit::pki {

/// Of grids that were made before sites had names.
inline constexpr std::string_view kDefaultSite = "grid";
/// The site that an authority's certificate names.
Result<std::string> site_name(const std::string& authority);

class Sites {
 public:
  Sites() = default;
  /// `authority` is the own site's certificate; the others by name.
  static Result<Sites> of(const std::string& authority, std::map<std::string, std::string> others);
  static Result<Sites> load(const std::string& dir);

  [[nodiscard]] const std::string& own() const { return own_; }
  /// Besides the own one.
  [[nodiscard]] std::set<std::string> trusted() const;
  [[nodiscard]] bool trusts(std::string_view site) const;
  /// The certificate of that site's authority; Code::kRefused when the site isn't trusted.
  [[nodiscard]] Result<std::string> authority(std::string_view site) const;
  /// All authorities, one PEM behind the other.
  [[nodiscard]] std::string bundle() const;
  /// Who `certificate` is of, as it is called here. Code::kPeer when no authority that is believed has signed it.
  [[nodiscard]] Result<std::string> name_of(const std::string& certificate) const;

  /// "site/node" of a name as it is used here, and back.
  [[nodiscard]] std::string full(std::string_view name) const;
  [[nodiscard]] std::string local(std::string_view full) const;

 private:
  std::string own_{kDefaultSite};
  std::map<std::string, std::string> authorities_;  ///< by site, the own one included
};

/// "away" and "node-7" of "away/node-7"; the first is empty for a name of the own site.
struct SiteAndName {
  std::string site, name;
};
SiteAndName split_name(std::string_view name);

/// Puts another site's authority into DIR/sites. Code::kRefused when the certificate is of another site than NAME, or NAME is
/// known already with another certificate: whoever wants to exchange it takes it out first.
Result<void> trust_site(const std::string& dir, const std::string& name, const std::string& certificate);
/// Code::kNotFound when it isn't there.
Result<void> distrust_site(const std::string& dir, const std::string& name);

/// A new site in DIR: ca.key and ca.crt, and what its controller (controller.crt, .key) and its users (client.crt, .key) show.
/// `hosts` are names and addresses of the controller. What is there already is never overwritten: Code::kRefused.
Result<void> make_site(const std::string& dir, const std::string& name, const std::vector<std::string>& hosts);

}  // namespace godwit::pki
