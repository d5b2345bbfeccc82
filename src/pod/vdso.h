// The vDSO of this kernel and of others.
//
// A program holds addresses of vDSO functions (the C library looked them up at its start), and another kernel's vDSO has
// them elsewhere. Where the two images are the same bytes, this kernel's vDSO is simply mapped at the old place. Where
// they differ, the old image stays at its place as ordinary memory, this kernel's is mapped somewhere free, and the entry
// of each old function becomes a jump to the function of the same name: by symbol, never by layout. A function that the
// new kernel doesn't have makes its system call the slow way.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"

namespace godwit::pod {

/// Exported functions of a vDSO image: name → offset of the entry. The image is hostile: every offset is checked.
Result<std::map<std::string, uint64_t>> vdso_symbols(std::span<const std::byte> image);

/// The image that this kernel gives to its processes, as mapped in this one; empty when there is none (vdso=0).
const std::vector<std::byte>& own_vdso();
/// SHA-256 of own_vdso(), 32 bytes; empty when there is none.
const std::string& own_vdso_digest();

/// `old_image` with its entries turned into jumps to the same functions of this kernel's vDSO at `new_base`.
/// Code::kRefused names a function that can't be redirected.
Result<std::vector<std::byte>> redirect_vdso(std::span<const std::byte> old_image, uint64_t new_base);

}  // namespace godwit::pod
