// What the restore reads from an area's flags (smaps: VmFlags).
#pragma once

#include <sys/mman.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "godwit/pod.pb.h"
#include "pod/kinds.h"

namespace godwit::pod {

inline bool has_flag(const pb::Area& area, std::string_view flag) {
  const std::string padded = " " + area.vm_flags() + " ";
  return padded.find(" " + std::string(flag) + " ") != std::string::npos;
}

/// Memory that was writable, was written, and then protected stays accounted for (VM_ACCOUNT); the kernel drops the account
/// of what is protected before it was written (mprotect_fixup). So such areas are protected in finish_areas().
inline bool keeps_account(const pb::Area& area) {
  return !area.shared() && has_flag(area, "ac") && (area.prot() & PROT_WRITE) == 0;
}

/// What it is mapped with, until finish_areas().
inline uint32_t first_protection(const pb::Area& area) {
  return area.prot() | (keeps_account(area) ? static_cast<uint32_t>(PROT_WRITE) : 0u);
}

}  // namespace godwit::pod
