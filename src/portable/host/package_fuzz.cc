// Input: the file's length beyond its first block (4 bytes, little-endian, in blocks), then the first block; the file's first lines are
// put before it unless it begins with '#'. What is read must lie in the file, and make a script that is read as the same.
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "base/base.h"
#include "portable/portable.h"

using namespace godwit;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 4) return 0;
  uint32_t blocks = 0;
  std::memcpy(&blocks, data, sizeof blocks);
  std::string block(reinterpret_cast<const char*>(data) + 4, size - 4);
  if (!block.starts_with('#')) block.insert(0, "#!/bin/sh\n# A portable program, made by godwit cc\n");
  block.resize(portable::kBlock, '\n');

  static const Fd file = *sys::memfd("fuzz");
  const uint64_t length = (uint64_t{blocks} + 1) * portable::kBlock;
  GODWIT_CHECK(::ftruncate(file.get(), 0) == 0 && ::ftruncate(file.get(), static_cast<off_t>(length)) == 0);
  GODWIT_CHECK(io::pwrite_full(file.get(), std::as_bytes(std::span(block)), 0).has_value());
  const auto package = portable::read_package(file);
  if (!package) return 0;
  GODWIT_CHECK(!package->parts.empty() && package->image_block * portable::kBlock <= length);
  for (const auto& part : package->parts) GODWIT_CHECK(part.block * portable::kBlock + part.size <= length);

  // As `godwit checkpoint` writes it again, with an image.
  const auto script = portable::starting_script(*package);
  GODWIT_CHECK(io::pwrite_full(file.get(), std::as_bytes(std::span(script)), 0).has_value());
  const auto again = portable::read_package(file);
  GODWIT_CHECK(again && *again == *package);
  return 0;
}
