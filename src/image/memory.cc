#include "image/memory.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "godwit/image.pb.h"

namespace godwit::image {
namespace {

using engine::PageRun;

std::unexpected<Error> corrupt(std::string text) { return fail(Code::kCorrupt, "table of memory: " + std::move(text)); }

/// Rows of (space, page, pages) as columns; pages are differences to the end of the row before.
class RunReader {
 public:
  Result<PageRun> next(uint32_t space, int64_t difference, uint64_t pages) {
    if (pages == 0 || pages > kMaxPage) return corrupt(fmt::format("a run of {} pages", pages));
    if (space == 0) {
      if (difference != 0) return corrupt("replaced bytes with an address");
      return PageRun{kReplaced, 0, pages * kPageBytes};
    }
    // Both terms are below 2^52 in any row that passes, so the sum can't overflow.
    if (difference > static_cast<int64_t>(kMaxPage) || difference < -static_cast<int64_t>(kMaxPage))
      return corrupt("a page number out of range");
    const int64_t page = static_cast<int64_t>(end_) + difference;
    if (page < 0 || static_cast<uint64_t>(page) + pages > kMaxPage) return corrupt("a page number out of range");
    end_ = static_cast<uint64_t>(page) + pages;
    return PageRun{space - 1, static_cast<uint64_t>(page) * kPageBytes, pages * kPageBytes};
  }

 private:
  uint64_t end_ = 0;
};

class RunDifference {
 public:
  int64_t next(const PageRun& run) {
    if (run.space == kReplaced) return 0;
    const auto page = static_cast<int64_t>(run.address / kPageBytes);
    const int64_t difference = page - static_cast<int64_t>(end_);
    end_ = static_cast<uint64_t>(page) + run.length / kPageBytes;
    return difference;
  }

 private:
  uint64_t end_ = 0;
};

size_t digest_bytes(DigestKind kind) { return kind == DigestKind::kXxh3 ? sizeof(Xxh128) : sizeof(ChunkId); }

/// No page may come from two places: which would win depended on the order of two threads.
Result<void> check_disjoint(const Memory& memory) {
  std::vector<PageRun> all;
  all.reserve(memory.runs.size() + memory.zeros.size());
  for (const PageRun& run : memory.runs)
    if (run.space != kReplaced) all.push_back(run);
  all.insert(all.end(), memory.zeros.begin(), memory.zeros.end());
  const auto before = [](const PageRun& a, const PageRun& b) {
    return std::tie(a.space, a.address) < std::tie(b.space, b.address);
  };
  if (!std::ranges::is_sorted(all, before)) std::ranges::sort(all, before);
  for (size_t i = 1; i < all.size(); i++)
    if (all[i].space == all[i - 1].space && all[i].address < all[i - 1].address + all[i - 1].length)
      return corrupt(fmt::format("page {:#x} of space {} comes twice", all[i].address, all[i].space));
  return {};
}

Result<void> decode_records(const proto::image::Memory& in, Memory& out) {
  const int rows = in.record_runs_size();
  const bool packed = out.place == Place::kPack;
  const size_t each = digest_bytes(out.digest);
  if (in.digests().size() != static_cast<size_t>(rows) * each) return corrupt("as many digests as records are needed");
  if (packed && (in.record_stored_size() != rows || in.record_pack_size() != rows || in.record_offset_size() != rows))
    return corrupt("columns of different length");
  out.records.reserve(static_cast<size_t>(rows));
  size_t next_run = 0;
  for (int i = 0; i < rows; i++) {
    Record record;
    record.first_run = static_cast<uint32_t>(next_run);
    record.run_count = in.record_runs(i);
    if (record.run_count == 0 || record.run_count > out.runs.size() - next_run)
      return corrupt("a record with too few runs");
    uint64_t length = 0;
    for (uint32_t r = 0; r < record.run_count; r++) {
      length += out.runs[next_run + r].length;
      if (length > kRecordBytes) return corrupt(fmt::format("a record longer than {} bytes", kRecordBytes));
    }
    next_run += record.run_count;
    std::memcpy(record.digest.bytes.data(), in.digests().data() + static_cast<size_t>(i) * each, each);
    record.where.length = static_cast<uint32_t>(length);
    if (packed) {
      TRY(record.where, make_extent(in.record_pack(i), in.record_offset(i), length, in.record_stored(i)));
    }
    out.records.push_back(record);
  }
  if (next_run != out.runs.size()) return corrupt("runs that belong to no record");
  return {};
}

}  // namespace

Result<Extent> make_extent(uint32_t pack, uint64_t block, uint64_t length, uint32_t stored) {
  if (block == 0 || block > kMaxPage) return corrupt(fmt::format("a place at block {}", block));
  if (length == 0 || stored >= length) return corrupt(fmt::format("{} bytes stored as {}", length, stored));
  return Extent{pack, block * kPageBytes, static_cast<uint32_t>(length), stored};
}

void encode_memory(const Memory& memory, proto::image::Memory& out) {
  out.set_place(static_cast<proto::image::Place>(memory.place));
  out.set_digest(static_cast<proto::image::Digest>(memory.digest));
  const size_t each = digest_bytes(memory.digest);
  out.mutable_digests()->reserve(memory.records.size() * each);
  for (const Record& r : memory.records) {
    out.mutable_digests()->append(reinterpret_cast<const char*>(r.digest.bytes.data()), each);
    out.add_record_runs(r.run_count);
    if (memory.place != Place::kPack) continue;
    out.add_record_stored(r.where.stored);
    out.add_record_pack(r.where.pack);
    out.add_record_offset(r.where.offset / kPageBytes);
  }
  RunDifference run_difference;
  for (const PageRun& run : memory.runs) {
    out.add_run_space(run.space + 1);  // kReplaced wraps to 0
    out.add_run_page(run_difference.next(run));
    out.add_run_pages(static_cast<uint32_t>(run.length / kPageBytes));
  }
  RunDifference zero_difference;
  for (const PageRun& run : memory.zeros) {
    out.add_zero_space(run.space + 1);
    out.add_zero_page(zero_difference.next(run));
    out.add_zero_pages(run.length / kPageBytes);
  }
}

Result<void> decode_memory(const proto::image::Memory& in, Memory& out) {
  if (!proto::image::Place_IsValid(in.place()) || !proto::image::Digest_IsValid(in.digest()))
    return corrupt("a kind of storage that this version doesn't know");
  out.place = static_cast<Place>(in.place());
  out.digest = static_cast<DigestKind>(in.digest());
  if (out.place == Place::kChunk && out.digest != DigestKind::kSha256)
    return corrupt("chunks that are not named by SHA-256");
  const int runs = in.run_space_size();
  const int zeros = in.zero_space_size();
  if (in.run_page_size() != runs || in.run_pages_size() != runs || in.zero_page_size() != zeros ||
      in.zero_pages_size() != zeros)
    return corrupt("columns of different length");
  RunReader run_reader;
  out.runs.reserve(static_cast<size_t>(runs));
  for (int i = 0; i < runs; i++) {
    TRY(const PageRun run, run_reader.next(in.run_space(i), in.run_page(i), in.run_pages(i)));
    out.runs.push_back(run);
  }
  RunReader zero_reader;
  out.zeros.reserve(static_cast<size_t>(zeros));
  for (int i = 0; i < zeros; i++) {
    TRY(const PageRun run, zero_reader.next(in.zero_space(i), in.zero_page(i), in.zero_pages(i)));
    if (run.space == kReplaced) return corrupt("a zero run without a space");
    out.zeros.push_back(run);
  }
  TRY_DO(decode_records(in, out));
  return check_disjoint(out);
}

namespace {

/// What newer mentions already cover, of one space: disjoint [begin, end) by begin.
class Covered {
 public:
  /// Calls part(begin, end, newly) for the parts of [begin, end) in order, then covers all of it.
  template <typename F>
  void claim(uint64_t begin, uint64_t end, F part) {
    uint64_t at = begin;
    auto it = ranges_.upper_bound(begin);
    if (it != ranges_.begin() && std::prev(it)->second > begin) --it;
    const auto first = it;
    uint64_t low = begin, high = end;
    for (; it != ranges_.end() && it->first < end; ++it) {
      if (it->first > at) part(at, it->first, true);
      const uint64_t from = std::max(at, it->first), to = std::min(end, it->second);
      if (to > from) part(from, to, false);
      at = std::max(at, to);
      low = std::min(low, it->first);
      high = std::max(high, it->second);
    }
    if (at < end) part(at, end, true);
    ranges_.erase(first, it);
    ranges_[low] = high;
  }

 private:
  std::map<uint64_t, uint64_t> ranges_;
};

void append_run(std::vector<PageRun>& runs, size_t first, const PageRun& run) {
  if (runs.size() > first) {
    PageRun& last = runs.back();
    const bool follows = run.space == kReplaced || last.address + last.length == run.address;
    if (last.space == run.space && follows) {
      last.length += run.length;
      return;
    }
  }
  runs.push_back(run);
}

/// What isn't wanted counts as covered by something newer than all.
std::map<engine::SpaceId, Covered> cover_unwanted(const Memory& memory, std::vector<PageRun> wanted) {
  std::map<engine::SpaceId, Covered> covered;
  if (wanted.empty()) return covered;
  const auto nothing = [](uint64_t, uint64_t, bool) {};
  std::map<engine::SpaceId, uint64_t> next;  // where the last wanted run of a space ends
  for (const auto* runs : {&memory.runs, &memory.zeros})
    for (const PageRun& run : *runs)
      if (run.space != kReplaced) next[run.space] = 0;
  std::ranges::sort(wanted, {}, [](const PageRun& run) { return std::pair(run.space, run.address); });
  for (const PageRun& run : wanted) {
    const auto at = next.find(run.space);
    if (at == next.end()) continue;
    if (at->second < run.address) covered[run.space].claim(at->second, run.address, nothing);
    at->second = std::max(at->second, run.address + run.length);
  }
  for (const auto& [space, end] : next) covered[space].claim(end, UINT64_MAX, nothing);
  return covered;
}

}  // namespace

void settle(Memory& memory, const std::vector<uint32_t>& record_age, const std::vector<uint32_t>& zero_age,
            const std::vector<PageRun>& wanted) {
  if (wanted.empty() && check_disjoint(memory)) return;  // the usual case: nothing was sent twice
  struct Mention {
    uint32_t age;
    bool zero;
    size_t index;
  };
  std::vector<Mention> mentions;
  for (size_t i = 0; i < memory.records.size(); i++) mentions.push_back({record_age[i], false, i});
  for (size_t i = 0; i < memory.zeros.size(); i++) mentions.push_back({zero_age[i], true, i});
  std::ranges::sort(
      mentions, [](const Mention& a, const Mention& b) { return std::tie(b.age, b.zero) < std::tie(a.age, a.zero); });

  auto covered = cover_unwanted(memory, wanted);
  std::vector<PageRun> zeros;
  std::vector<std::vector<PageRun>> runs_of(memory.records.size());
  for (const Mention& mention : mentions) {
    if (mention.zero) {
      const PageRun& run = memory.zeros[mention.index];
      covered[run.space].claim(run.address, run.address + run.length, [&](uint64_t begin, uint64_t end, bool newly) {
        if (newly) append_run(zeros, 0, {run.space, begin, end - begin});
      });
      continue;
    }
    const Record& record = memory.records[mention.index];
    std::vector<PageRun>& out = runs_of[mention.index];
    for (uint32_t r = 0; r < record.run_count; r++) {
      const PageRun& run = memory.runs[record.first_run + r];
      if (run.space == kReplaced) {
        append_run(out, 0, run);
        continue;
      }
      covered[run.space].claim(run.address, run.address + run.length, [&](uint64_t begin, uint64_t end, bool newly) {
        append_run(out, 0, newly ? PageRun{run.space, begin, end - begin} : PageRun{kReplaced, 0, end - begin});
      });
    }
  }
  std::vector<Record> records;
  std::vector<PageRun> runs;
  for (size_t i = 0; i < memory.records.size(); i++) {
    const std::vector<PageRun>& mine = runs_of[i];
    const bool dead = std::ranges::all_of(mine, [](const PageRun& run) { return run.space == kReplaced; });
    if (dead && memory.place == Place::kChunk) continue;
    Record record = memory.records[i];
    record.first_run = static_cast<uint32_t>(runs.size());
    record.run_count = static_cast<uint32_t>(mine.size());
    runs.insert(runs.end(), mine.begin(), mine.end());
    records.push_back(record);
  }
  memory.records = std::move(records);
  memory.runs = std::move(runs);
  memory.zeros = std::move(zeros);
}

}  // namespace godwit::image
