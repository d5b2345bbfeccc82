// Who this node is, and what its controller calls it and others. Both are of one site, unless the node was lent to the grid of
// another (`godwit node --grid SITE`): then the grid's own nodes are "node-1" there and "home/node-1" here, and this one is
// "node-7" here and "away/node-7" there.
#pragma once

#include <string>

#include "base/sites.h"

namespace godwit::node {

class Place {
 public:
  /// `grid` is the site whose controller it is; empty: the node's own.
  Place(const pki::Sites& sites, std::string node, const std::string& grid)
      : site_(sites.own()), grid_(grid.empty() ? sites.own() : grid), node_(std::move(node)) {}

  /// "site/node" of this node.
  [[nodiscard]] std::string full() const { return site_ + "/" + node_; }
  /// This node, as the controller calls it.
  [[nodiscard]] std::string there() const { return lent() ? full() : node_; }
  /// The controller, as its certificate is read here.
  [[nodiscard]] std::string controller() const { return lent() ? grid_ + "/controller" : "controller"; }
  /// A node that the controller names, as it is called here.
  [[nodiscard]] std::string here(const std::string& name) const {
    if (!lent()) return name;
    const auto [site, node] = pki::split_name(name);
    return site.empty() ? grid_ + "/" + node : site == site_ ? node : name;
  }
  [[nodiscard]] bool lent() const { return grid_ != site_; }

 private:
  std::string site_, grid_, node_;
};

}  // namespace godwit::node
