#include "image/manifest.h"

#include <fmt/format.h>
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/wire_format_lite.h>
#include <sys/random.h>
#include <sys/utsname.h>

#include <algorithm>
#include <bit>
#include <chrono>
#include <unordered_set>

#include "base/check.h"
#include "godwit/image.pb.h"
#include "image/bytes.h"
#include "image/memory.h"
#include "image/sections.h"

namespace godwit::image {
namespace {

// Frame: magic[8] version:u32 zero:u32 body_bytes:u64 zero:u64 | body | sha256 of all before. Little-endian.
constexpr std::string_view kMagic = "GODWITIM";
constexpr size_t kHeaderBytes = 32;
constexpr size_t kFrameBytes = kHeaderBytes + 32;

std::unexpected<Error> corrupt(std::string text) { return fail(Code::kCorrupt, "manifest: " + std::move(text)); }

/// Counts the top-level fields before anything is allocated for them (image.proto: why).
Result<void> check_shape(std::span<const std::byte> body) {
  namespace pb = google::protobuf;
  pb::io::CodedInputStream in(reinterpret_cast<const uint8_t*>(body.data()), static_cast<int>(body.size()));
  size_t fields = 0, sections = 0, once = 0;
  while (const uint32_t tag = in.ReadTagNoLastTag()) {
    const int number = pb::internal::WireFormatLite::GetTagFieldNumber(tag);
    if (++fields > kMaxTopFields) return corrupt(fmt::format("more than {} fields", kMaxTopFields));
    if (number == proto::image::Manifest::kSectionsFieldNumber && ++sections > kMaxSections)
      return corrupt(fmt::format("more than {} sections", kMaxSections));
    // Protobuf merges a message that comes twice: legal, but no writer does it, and it hides what was checked.
    if ((number == proto::image::Manifest::kMemoryFieldNumber ||
         number == proto::image::Manifest::kEmbeddedFieldNumber) &&
        (once & size_t{1} << number) != 0)
      return corrupt("a table that comes twice");
    once |= number < 64 ? size_t{1} << number : 0;
    if (!pb::internal::WireFormatLite::SkipField(&in, tag)) return corrupt("not a protobuf message");
  }
  if (!in.ConsumedEntireMessage()) return corrupt("not a protobuf message");
  return {};
}

Result<std::vector<ChunkId>> ids_from(const std::string& bytes, std::string_view what) {
  if (bytes.size() % sizeof(ChunkId) != 0)
    return corrupt(fmt::format("{} bytes of chunk ids in {}, not a multiple of 32", bytes.size(), what));
  std::vector<ChunkId> ids(bytes.size() / sizeof(ChunkId));
  if (!ids.empty()) std::memcpy(ids.data(), bytes.data(), bytes.size());
  return ids;
}

std::string ids_to(std::span<const ChunkId> ids) {
  return {reinterpret_cast<const char*>(ids.data()), ids.size_bytes()};
}

Result<void> check_word(const std::string& word, std::string_view what) {
  if (word.size() > kMaxWordBytes)
    return corrupt(fmt::format("{} of {} bytes, at most {}", what, word.size(), kMaxWordBytes));
  return {};
}

Result<void> decode_sections(const proto::image::Manifest& in, Manifest& out) {
  std::unordered_set<std::string_view> seen;
  out.sections.reserve(static_cast<size_t>(in.sections_size()));
  for (const auto& s : in.sections()) {
    TRY_DO(check_word(s.name(), "section name"));
    if (!seen.insert(s.name()).second) return corrupt("section " + s.name() + " comes twice");
    if (s.required() && !find_section_kind(s.name()))
      return fail(Code::kRefused,
                  fmt::format("the image has a section '{}' that this version of Godwit doesn't know", s.name()));
    TRY(auto ids, ids_from(s.chunk_ids(), "section " + s.name()));
    out.sections.push_back({s.name(), s.content(), std::move(ids), s.required()});
  }
  return {};
}

Result<void> decode_embedded(const proto::image::Embedded& in, Manifest& out) {
  TRY(const auto ids, ids_from(in.ids(), "the table of carried chunks"));
  const auto rows = static_cast<int>(ids.size());
  if (in.length_size() != rows || in.stored_size() != rows || in.pack_size() != rows || in.offset_size() != rows)
    return corrupt("columns of different length in the table of carried chunks");
  std::unordered_set<ChunkId, ChunkIdHash> seen;
  out.embedded.reserve(ids.size());
  for (int i = 0; i < rows; i++) {
    const ChunkId& id = ids[static_cast<size_t>(i)];
    if (in.length(i) > kMaxChunkBytes)
      return corrupt(fmt::format("carried chunk of {} bytes, at most {}", in.length(i), kMaxChunkBytes));
    if (!seen.insert(id).second) return corrupt("chunk " + id.hex() + " is carried twice");
    TRY(const Extent where, make_extent(in.pack(i), in.offset(i), in.length(i), in.stored(i)));
    out.embedded.push_back({id, where});
  }
  return {};
}

/// Packs are covered without gap or overlap by a header block and the extents: no byte escapes a check.
Result<void> check_cover(const Manifest& m) {
  std::vector<Extent> all;
  if (m.memory.place == Place::kPack)
    for (const Record& r : m.memory.records) all.push_back(r.where);
  for (const EmbeddedChunk& c : m.embedded) all.push_back(c.where);
  std::ranges::sort(
      all, [](const Extent& a, const Extent& b) { return std::tie(a.pack, a.offset) < std::tie(b.pack, b.offset); });
  std::vector<uint64_t> end(m.pack_bytes.size(), kPageBytes);
  for (const Extent& e : all) {
    if (e.pack >= end.size()) return corrupt(fmt::format("pack {} of {}", e.pack, end.size()));
    if (e.offset != end[e.pack]) return corrupt(fmt::format("gap or overlap at byte {} of pack {}", e.offset, e.pack));
    end[e.pack] = e.end();
  }
  for (size_t i = 0; i < end.size(); i++)
    if (end[i] != m.pack_bytes[i])
      return corrupt(fmt::format("pack {} ends at {}, its length is {}", i, end[i], m.pack_bytes[i]));
  return {};
}

Result<Manifest> from_proto(const proto::image::Manifest& in) {
  Manifest out;
  if (in.image_id().size() != out.image_id.size()) return corrupt("image id is not 16 bytes");
  std::ranges::copy(in.image_id(), reinterpret_cast<char*>(out.image_id.data()));
  const std::pair<const std::string*, std::string*> words[] = {
      {&in.unit(), &out.unit},     {&in.name(), &out.name}, {&in.grain(), &out.grain},
      {&in.engine(), &out.engine}, {&in.abi(), &out.abi},   {&in.architecture(), &out.architecture},
      {&in.writer(), &out.writer},
  };
  for (const auto& [from, to] : words) {
    TRY_DO(check_word(*from, "word"));
    *to = *from;
  }
  out.checkpoint = in.checkpoint();
  out.parent = in.parent();
  out.created_unix_ns = in.created_unix_ns();
  out.state = in.state();
  out.demands = in.demands();
  out.outline = in.outline();
  out.spec = in.spec();
  if (static_cast<size_t>(in.pack_bytes_size()) > kMaxPacks)
    return corrupt(fmt::format("{} packs, at most {}", in.pack_bytes_size(), kMaxPacks));
  out.pack_bytes.assign(in.pack_bytes().begin(), in.pack_bytes().end());
  TRY_DO(decode_sections(in, out));
  TRY_DO(decode_embedded(in.embedded(), out));
  TRY_DO(decode_memory(in.memory(), out.memory));
  TRY_DO(check_cover(out));
  return out;
}

proto::image::Manifest to_proto(const Manifest& m) {
  proto::image::Manifest out;
  out.set_image_id(m.image_id.data(), m.image_id.size());
  out.set_unit(m.unit);
  out.set_name(m.name);
  out.set_checkpoint(m.checkpoint);
  out.set_parent(m.parent);
  out.set_grain(m.grain);
  out.set_engine(m.engine);
  out.set_architecture(m.architecture);
  out.set_abi(m.abi);
  out.set_created_unix_ns(m.created_unix_ns);
  out.set_writer(m.writer);
  out.set_state(m.state);
  out.set_demands(m.demands);
  out.set_outline(m.outline);
  out.set_spec(m.spec);
  for (const Section& s : m.sections) {
    auto* to = out.add_sections();
    to->set_name(s.name);
    to->set_content(s.content);
    to->set_chunk_ids(ids_to(s.chunks));
    to->set_required(s.required);
  }
  encode_memory(m.memory, *out.mutable_memory());
  auto& embedded = *out.mutable_embedded();
  for (const EmbeddedChunk& c : m.embedded) {
    embedded.mutable_ids()->append(ids_to(std::span(&c.id, 1)));
    embedded.add_length(c.where.length);
    embedded.add_stored(c.where.stored);
    embedded.add_pack(c.where.pack);
    embedded.add_offset(c.where.offset / kPageBytes);
  }
  for (const uint64_t bytes : m.pack_bytes) out.add_pack_bytes(bytes);
  return out;
}

}  // namespace

const Section* Manifest::find(std::string_view section) const {
  const auto it = std::ranges::find(sections, section, &Section::name);
  return it == sections.end() ? nullptr : &*it;
}

Manifest new_manifest() {
  Manifest m;
  const ssize_t got = ::getrandom(m.image_id.data(), m.image_id.size(), 0);  // up to 256 bytes come whole, random(7)
  GODWIT_CHECK(got == static_cast<ssize_t>(m.image_id.size()), "getrandom");
  utsname host{};
  ::uname(&host);
  m.architecture = host.machine;
  m.abi = fmt::format("lp{}-{}", sizeof(void*) * 8, std::endian::native == std::endian::little ? "le" : "be");
  m.created_unix_ns = std::chrono::nanoseconds(std::chrono::system_clock::now().time_since_epoch()).count();
  m.writer = "godwit 0.1";
  return m;
}

Result<std::string> encode(const Manifest& manifest) {
  const proto::image::Manifest message = to_proto(manifest);
  const size_t body_bytes = message.ByteSizeLong();
  if (body_bytes > kMaxManifestBytes)
    return fail(Code::kRefused,
                fmt::format("a manifest of {} bytes, at most {} fit the image format", body_bytes, kMaxManifestBytes));
  std::string frame(kHeaderBytes, '\0');
  frame.replace(0, kMagic.size(), kMagic);
  put_le32(frame, 8, kFormatVersion);
  put_le64(frame, 16, body_bytes);
  if (!message.AppendToString(&frame)) return fail(Code::kFailed, "the manifest can't be encoded");
  const ChunkId digest = sha256(std::as_bytes(std::span(frame)));
  frame.append(reinterpret_cast<const char*>(digest.bytes.data()), digest.bytes.size());
  return frame;
}

Result<Manifest> decode(std::span<const std::byte> frame) {
  if (frame.size() < kFrameBytes)
    return corrupt(fmt::format("{} bytes, at least {} make one", frame.size(), kFrameBytes));
  const std::string_view text(reinterpret_cast<const char*>(frame.data()), frame.size());
  if (!text.starts_with(kMagic)) return corrupt("not a Godwit image (wrong first bytes)");
  const uint32_t version = get_le32(text, 8);
  if (version == 0 || version > kFormatVersion)
    return fail(Code::kRefused,
                fmt::format("the image has format version {}, this Godwit reads up to {}", version, kFormatVersion));
  const uint64_t body_bytes = get_le64(text, 16);
  if (body_bytes > kMaxManifestBytes)
    return corrupt(fmt::format("{} bytes, at most {}", body_bytes, kMaxManifestBytes));
  if (get_le32(text, 12) != 0 || get_le64(text, 24) != 0) return corrupt("reserved bytes that are not zero");
  if (body_bytes != frame.size() - kFrameBytes)
    return corrupt(fmt::format("{} bytes announced, {} there", body_bytes, frame.size() - kFrameBytes));
  const auto signed_part = frame.first(frame.size() - sizeof(ChunkId));
  const ChunkId digest = sha256(signed_part);
  if (std::memcmp(digest.bytes.data(), frame.data() + signed_part.size(), sizeof(ChunkId)) != 0)
    return corrupt("damaged (its SHA-256 doesn't fit)");
  const auto body = signed_part.subspan(kHeaderBytes);
  TRY_DO(check_shape(body));
  proto::image::Manifest message;
  if (!message.ParseFromArray(body.data(), static_cast<int>(body.size()))) return corrupt("not a protobuf message");
  return from_proto(message);
}

}  // namespace godwit::image
