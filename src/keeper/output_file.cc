#include "keeper/output_file.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/io.h"
#include "base/sys.h"

namespace godwit::keeper {
namespace {

constexpr uint64_t kPiece = 1u << 20;
constexpr uint64_t kSizeLimit = uint64_t{1} << 46;  // 64 TiB; what no file system of ours holds
constexpr std::string_view kIdMark = "godwit output file 1\0\0\0\0";
static_assert(kIdMark.size() + sizeof(uint64_t) <= migration::kChunkIdSize);

// A chunk of the output file is named by its offset.
void put_id(uint64_t offset, std::array<std::byte, migration::kChunkIdSize>& id) {
  id.fill(std::byte{0});
  std::memcpy(id.data(), &offset, sizeof offset);
  std::memcpy(id.data() + sizeof offset, kIdMark.data(), kIdMark.size());
}

Result<uint64_t> parse_size(const std::string& text) {
  uint64_t value = 0;
  if (text.size() != sizeof value)
    return fail(Code::kCorrupt, "output file's size of " + std::to_string(text.size()) + " bytes");
  std::memcpy(&value, text.data(), sizeof value);
  if (value > kSizeLimit) return fail(Code::kCorrupt, "output file of " + std::to_string(value) + " bytes");
  return value;
}
std::string size_text(uint64_t value) { return {reinterpret_cast<const char*>(&value), sizeof value}; }

}  // namespace

Result<void> bind_output(const std::string& output) {
  TRY_DO(sys::make_dirs(kUnitMount));
  TRY_DO(sys::mount("godwit", kUnitMount, "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755,size=1m"));
  TRY(const Fd place, sys::open(kOutputPath, O_CREAT | O_WRONLY));
  return sys::mount(output, kOutputPath, "", MS_BIND);
}

Result<uint64_t> OutputSource::size() const {
  TRY(const auto st, sys::stat(output_));
  return static_cast<uint64_t>(st.st_size);
}

Result<std::string> OutputSource::offer(const std::string&) {
  TRY(const uint64_t n, size());
  return size_text(n);
}

Result<void> OutputSource::send(const std::string& wanted, migration::PageSender& out) {
  TRY(const uint64_t n, parse_size(wanted));
  TRY_DO(send_range(0, n, out));
  sent_ = n;
  return {};
}

Result<std::string> OutputSource::last(migration::PageSender& out,
                                       const std::optional<std::vector<engine::FileMapping>>&) {
  TRY(const uint64_t n, size());
  if (n < sent_) sent_ = 0;  // somebody emptied it meanwhile
  TRY_DO(send_range(sent_, n, out));
  return size_text(n);
}

Result<void> OutputSource::send_range(uint64_t from, uint64_t to, migration::PageSender& out) {
  if (to <= from) return {};
  const size_t pieces = (to - from + kPiece - 1) / kPiece;
  return out.chunks(pieces, [&](size_t i, migration::PageSender::Chunk& c) -> Result<void> {
    const uint64_t at = from + i * kPiece;
    put_id(at, c.id);
    c.data.resize(std::min(kPiece, to - at));
    return io::pread_full(output_.get(), c.data, at);
  });
}

Result<migration::DestinationFiles::Wanted> OutputDestination::want(const std::string& offer) {
  TRY(const uint64_t n, parse_size(offer));
  return Wanted{size_text(n), n};
}

bool OutputDestination::is_output(std::span<const std::byte, migration::kChunkIdSize> id) {
  uint64_t offset = 0;
  std::memcpy(&offset, id.data(), sizeof offset);
  std::array<std::byte, migration::kChunkIdSize> expected;
  put_id(offset, expected);
  return std::ranges::equal(id, expected) && offset <= kSizeLimit;
}

Result<void> OutputDestination::chunk(std::span<const std::byte, migration::kChunkIdSize> id,
                                      std::span<const std::byte> data) {
  if (!is_output(id)) return fail(Code::kCorrupt, "file content that nobody asked for");
  uint64_t offset = 0;
  std::memcpy(&offset, id.data(), sizeof offset);
  return io::pwrite_full(output_.get(), data, offset);
}

Result<void> OutputDestination::last(const std::string& snapshot) {
  TRY(const uint64_t n, parse_size(snapshot));
  if (::ftruncate(output_.get(), static_cast<off_t>(n)) < 0) return fail_errno(errno, "ftruncate of the output file");
  return {};
}

}  // namespace godwit::keeper
