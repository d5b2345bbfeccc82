// What this CPU offers that a program may have come to rely on.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace godwit::pod {

/// The instruction-set words of /proc/cpuinfo that libraries choose code by (glibc's IFUNCs, OpenSSL, BLAS …).
std::vector<std::string> cpu_features();
/// XSAVE components that the kernel has enabled (XCR0).
uint64_t enabled_xfeatures();

}  // namespace godwit::pod
