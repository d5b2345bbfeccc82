// The unit's output file travels with it: its content is part of the state, so what the unit wrote is there exactly once.
//
// STATE/units/ID/out.log is the file; inside the unit's mount namespace it is bound at kOutputPath, the same on every node,
// so the descriptors that point to it can be opened again anywhere. It is only ever appended to: what was sent before the
// freeze stays right, and while the unit is frozen only the tail is left.
#pragma once

#include <sys/types.h>

#include <string>

#include "base/fd.h"
#include "migration/files_hook.h"

namespace godwit::keeper {

inline constexpr const char* kUnitMount = "/run/godwit/unit";
inline constexpr const char* kOutputPath = "/run/godwit/unit/out.log";

/// Mounts a small private tmpfs at kUnitMount (in the calling thread's mount namespace) and binds the file `output` into
/// it. By its path: a descriptor from before the namespace was made belongs to a mount that isn't in it (EINVAL).
Result<void> bind_output(const std::string& output);

class OutputSource : public migration::SourceFiles {
 public:
  explicit OutputSource(const Fd& output) : output_(output) {}
  Result<std::string> offer(const std::string& demands) override;
  Result<void> send(const std::string& wanted, migration::PageSender& out) override;
  Result<std::string> last(migration::PageSender& out,
                           const std::optional<std::vector<engine::FileMapping>>& mappings) override;

 private:
  Result<void> send_range(uint64_t from, uint64_t to, migration::PageSender& out);
  Result<uint64_t> size() const;
  const Fd& output_;
  uint64_t sent_ = 0;
};

class OutputDestination : public migration::DestinationFiles {
 public:
  explicit OutputDestination(const Fd& output) : output_(output) {}
  /// Whether a chunk with this id is a part of the output file.
  static bool is_output(std::span<const std::byte, migration::kChunkIdSize> id);
  Result<Wanted> want(const std::string& offer) override;
  Result<void> chunk(std::span<const std::byte, migration::kChunkIdSize> id, std::span<const std::byte> data) override;
  Result<void> arrived() override { return {}; }
  Result<void> last(const std::string& snapshot) override;
  void discard() override {}

 private:
  const Fd& output_;
};

}  // namespace godwit::keeper
