// Little-endian numbers at a place of a frame. Private to the module.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace godwit::image {

template <typename T>
void put_le(std::string& to, size_t at, T value) {
  for (size_t i = 0; i < sizeof value; i++) to[at + i] = static_cast<char>(value >> (8 * i) & 0xff);
}
template <typename T>
T get_le(std::string_view from, size_t at) {
  T value = 0;
  for (size_t i = 0; i < sizeof value; i++)
    value |= static_cast<T>(static_cast<unsigned char>(from[at + i])) << (8 * i);
  return value;
}
inline void put_le32(std::string& to, size_t at, uint32_t value) { put_le(to, at, value); }
inline void put_le64(std::string& to, size_t at, uint64_t value) { put_le(to, at, value); }
inline uint32_t get_le32(std::string_view from, size_t at) { return get_le<uint32_t>(from, at); }
inline uint64_t get_le64(std::string_view from, size_t at) { return get_le<uint64_t>(from, at); }

}  // namespace godwit::image
