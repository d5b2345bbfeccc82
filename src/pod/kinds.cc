// The table of kinds. The first row that matches wins, so special ones stand before general ones.
// How to add a row: kinds.h.
#include "pod/kinds.h"

#include <algorithm>
#include <array>

#include "pod/kinds/all.h"

namespace godwit::pod {
namespace {

constexpr const FileKind* kFileKinds[] = {
    &kDeviceKind,
    &kRegularKind,
    &kUnixSocketKind,
    &kInetSocketKind,
    &kNetlinkSocketKind,
    &kOtherSocketKind,
};

constexpr const SectionKind* kSectionKinds[] = {
    &kUnixPeersSection,
};

}  // namespace

std::span<const FileKind* const> file_kinds() { return kFileKinds; }
std::span<const SectionKind* const> section_kinds() { return kSectionKinds; }

const FileKind* find_file_kind(std::string_view name) {
  const auto* it = std::ranges::find_if(kFileKinds, [&](const FileKind* k) { return k->name == name; });
  return it == std::end(kFileKinds) ? nullptr : *it;
}

}  // namespace godwit::pod
