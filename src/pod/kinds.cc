// The table of kinds. The first row that matches wins, so special ones stand before general ones.
// How to add a row: kinds.h.
#include "pod/kinds.h"

#include <algorithm>
#include <array>

#include "pod/kinds/all.h"

namespace godwit::pod {
namespace {

// clang-format off: one row a line
constexpr const FileKind* kFileKinds[] = {
    &kUnsupportedKind,  // before all: a file of mqueuefs looks like a regular one
    &kKernelFileKind,   // before those that look at names
    &kMemfdKind,        // before deleted: its link says "(deleted)" too
    &kDeletedKind,
    &kPathKind,         // after those that can open with O_PATH themselves, before those that can't
    &kDeviceKind,
    &kPipeKind,
    &kFifoKind,
    &kEventfdKind,
    &kSignalfdKind,
    &kTimerfdKind,
    &kPidfdKind,
    &kEpollKind,
    &kInotifyKind,
    &kRegularKind,
    &kPtyMasterKind,
    &kPtySlaveKind,
    &kOtherTerminalKind,
    &kUnixSocketKind,
    &kInetSocketKind,
    &kNetlinkSocketKind,
    &kOtherSocketKind,
    &kUnknownKind,      // last
};

constexpr const SectionKind* kSectionKinds[] = {
    &kUnixPeersSection,
    &kTerminalsSection,
    &kSysvSection,
    &kLocksKind,
};
// clang-format on

}  // namespace

std::span<const FileKind* const> file_kinds() { return kFileKinds; }
std::span<const SectionKind* const> section_kinds() { return kSectionKinds; }

const FileKind* find_file_kind(std::string_view name) {
  const auto* it = std::ranges::find_if(kFileKinds, [&](const FileKind* k) { return k->name == name; });
  return it == std::end(kFileKinds) ? nullptr : *it;
}

}  // namespace godwit::pod
