// The table of what other modules keep in an image. Private to the module, but for its rows: sections.cc.
#pragma once

#include <span>
#include <string_view>

namespace godwit::image {

struct SectionKind {
  std::string_view name;
  std::string_view owner;  ///< the module that writes and reads it
  std::string_view what;   ///< for `godwit image show`
  bool json;               ///< its content is JSON text and is shown as such; else only its size is
};

std::span<const SectionKind> section_kinds();
const SectionKind* find_section_kind(std::string_view name);

}  // namespace godwit::image
