// Private to the module: hex and base64, strict in both directions.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace godwit::delegation {

std::string to_hex(std::span<const unsigned char> bytes);
/// Exactly `out.size()` bytes in lower-case digits.
bool from_hex(std::string_view text, std::span<unsigned char> out);

/// RFC 4648, section 4, with padding.
std::string to_base64(std::string_view bytes);
/// Only what to_base64() can have given: no line breaks, full padding, unused bits zero.
std::optional<std::string> from_base64(std::string_view text);

inline std::string_view view(std::span<const unsigned char> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace godwit::delegation
