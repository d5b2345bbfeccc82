#include <arpa/inet.h>

#include <algorithm>
#include <charconv>

#include "delegation/grants.h"

namespace godwit::delegation {
namespace {

/// Digits without a leading zero, at most `limit`.
bool number(std::string_view text, unsigned limit, unsigned& out) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  return error == std::errc() && out <= limit && std::to_string(out) == text;
}

bool same_bits(const std::array<unsigned char, 16>& a, const std::array<unsigned char, 16>& b, unsigned bits) {
  for (unsigned i = 0; i < bits; ++i)
    if (((a[i / 8] ^ b[i / 8]) >> (7 - i % 8) & 1) != 0) return false;
  return true;
}

}  // namespace

Checked<Network> Network::parse(std::string_view text) {
  const auto bad = [&] { return refuse(Why::kBadAddress, std::string(text)); };
  const size_t slash = text.find('/');
  const size_t space = text.find(' ');
  const size_t dash = text.find('-');
  if (slash > space || space > dash || dash == std::string_view::npos) return bad();
  Network out;
  const std::string address(text.substr(0, slash));
  out.v6 = address.find(':') != std::string::npos;
  if (::inet_pton(out.v6 ? AF_INET6 : AF_INET, address.c_str(), out.address.data()) != 1) return bad();
  unsigned low = 0;
  unsigned high = 0;
  if (!number(text.substr(slash + 1, space - slash - 1), out.v6 ? 128 : 32, out.prefix) ||
      !number(text.substr(space + 1, dash - space - 1), 65535, low) || !number(text.substr(dash + 1), 65535, high) ||
      low > high) {
    return bad();
  }
  out.low = static_cast<uint16_t>(low);
  out.high = static_cast<uint16_t>(high);
  // One form for each: host bits that are set, or another spelling of the address, come out otherwise.
  for (unsigned i = out.prefix; i < 128; ++i)
    out.address[i / 8] = static_cast<unsigned char>(out.address[i / 8] & ~(1u << (7 - i % 8)));
  if (out.text() != text) return bad();
  return out;
}

std::string Network::text() const {
  char buffer[INET6_ADDRSTRLEN] = {};
  (void)::inet_ntop(v6 ? AF_INET6 : AF_INET, address.data(), buffer, sizeof buffer);
  return std::string(buffer) + "/" + std::to_string(prefix) + " " + std::to_string(low) + "-" + std::to_string(high);
}

bool Network::contains(const Network& other) const {
  return v6 == other.v6 && prefix <= other.prefix && same_bits(address, other.address, prefix) && low <= other.low &&
         other.high <= high;
}

}  // namespace godwit::delegation
