// This node's name and keys, and whom it believes: read before the keeper enters any other root.
#pragma once

#include <optional>
#include <string>

#include "base/pki.h"
#include "base/sites.h"
#include "delegation/delegation.h"

namespace godwit::keeper {

struct NodeIdentity {
  pki::Identity node;
  pki::Sites sites;
  std::string name;  ///< in its certificate
  /// With which this node signs handovers; none on a node that was never registered.
  std::optional<delegation::PrivateKey> trace = {};
  /// What units that were here may do from then on (STATE/caveat.json); none without that file. One that can't be read is an error
  /// of every handover: a node whose operator's word isn't understood takes and gives nothing.
  Result<std::optional<delegation::Grants>> wish = std::optional<delegation::Grants>();

  /// The one authority that may have signed the certificate of `peer` ("node-1", or "away/node-7" of another site). So the name
  /// in it is enough to know him. Code::kRefused when his site isn't trusted here.
  [[nodiscard]] Result<std::string> authority_of(const std::string& peer) const {
    const std::string site = pki::split_name(peer).site;
    return sites.authority(site.empty() ? sites.own() : site);
  }
};

}  // namespace godwit::keeper
