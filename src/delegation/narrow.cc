// What two grants allow together: a node's word on top of what is still allowed. Never more than either; check_narrower() is
// asked at the end all the same, as every reader of the caveat will.
#include <algorithm>

#include "delegation/grants.h"

namespace godwit::delegation {
namespace {

using Set = std::vector<std::string>;

Set sorted(Set set) {
  std::ranges::sort(set);
  const auto twice = std::ranges::unique(set);
  set.erase(twice.begin(), twice.end());
  return set;
}

Set both(const Set& a, const Set& b) {
  Set out;
  std::ranges::set_intersection(a, b, std::back_inserter(out));
  return out;
}

Set either(Set a, const Set& b) {
  a.insert(a.end(), b.begin(), b.end());
  return sorted(std::move(a));
}

/// Of two trees one is in the other, or they have nothing in common.
Set paths(const Set& a, const Set& b) {
  Set out;
  for (const auto& x : a)
    for (const auto& y : b) {
      if (is_beneath(x, y))
        out.push_back(x);
      else if (is_beneath(y, x))
        out.push_back(y);
    }
  return sorted(std::move(out));
}

Checked<Set> networks(const Set& a, const Set& b) {
  Set out;
  for (const auto& x : a)
    for (const auto& y : b) {
      TRY(Network p, Network::parse(x));
      TRY(Network q, Network::parse(y));
      const uint16_t low = std::max(p.low, q.low), high = std::min(p.high, q.high);
      if (low > high) continue;
      p.low = q.low = low;
      p.high = q.high = high;
      if (p.contains(q))
        out.push_back(q.text());
      else if (q.contains(p))
        out.push_back(p.text());
    }
  return sorted(std::move(out));
}

Names names(const Names& a, const Names& b) {
  const auto all = [](const Names& n) { return n.trusted == Names().trusted; };
  return {all(a) ? b.trusted : all(b) ? a.trusted : both(a.trusted, b.trusted), either(a.untrusted, b.untrusted)};
}

uint64_t limit(uint64_t a, uint64_t b) { return a == 0 ? b : b == 0 ? a : std::min(a, b); }

}  // namespace

Checked<Grants> narrowed(const Grants& outer, const Grants& wish) {
  Grants out;
  out.operations = both(outer.operations, wish.operations);
  out.read = paths(outer.read, wish.read);
  out.write = paths(outer.write, wish.write);
  TRY(out.connect, networks(outer.connect, wish.connect));
  TRY(out.listen, networks(outer.listen, wish.listen));
  out.nodes = names(outer.nodes, wish.nodes);
  out.sites = names(outer.sites, wish.sites);
  out.limits = {limit(outer.limits.cpu_percent, wish.limits.cpu_percent),
                limit(outer.limits.memory_bytes, wish.limits.memory_bytes),
                limit(outer.limits.processes, wish.limits.processes)};
  out.conditions = either(outer.conditions, wish.conditions);
  out.handovers = std::min(outer.handovers, wish.handovers);
  out.not_before = std::max(outer.not_before, wish.not_before);
  out.not_after = std::min(outer.not_after, wish.not_after);
  TRY_DO(out.check_form());
  TRY_DO(outer.check_narrower(out));
  return out;
}

}  // namespace godwit::delegation
