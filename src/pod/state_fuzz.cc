// Arbitrary bytes as a state and as an outline: refused or valid, never a crash.
#include <cstddef>
#include <cstdint>
#include <string>

#include "pod/pod.h"
#include "pod/validate.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string bytes(reinterpret_cast<const char*>(data), size);
  (void)godwit::pod::parse_state(bytes);
  (void)godwit::pod::parse_outline(bytes);
  (void)godwit::pod::clock_offsets_for(bytes);
  return 0;
}
