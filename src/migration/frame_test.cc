#include "migration/frame.h"

#include <gtest/gtest.h>

#include <cstring>
#include <random>

#include "migration/frame_reader.h"
#include "migration/packer.h"

namespace godwit::migration {
namespace {

std::vector<std::byte> frame_bytes(const Head& h, std::span<const std::byte> rest) {
  std::vector<std::byte> out(kHeadSize);
  encode(h, std::span<std::byte, kHeadSize>(out.data(), kHeadSize));
  out.insert(out.end(), rest.begin(), rest.end());
  return out;
}

FrameReader reader_of(std::vector<std::byte> bytes) {
  auto at = std::make_shared<size_t>(0);
  return FrameReader([bytes = std::move(bytes), at](std::span<std::byte> out) -> Result<void> {
    if (bytes.size() - *at < out.size()) return fail(Code::kPeer, "end");
    if (!out.empty()) std::memcpy(out.data(), bytes.data() + *at, out.size());
    *at += out.size();
    return {};
  });
}

struct Good {
  Head head;
  std::vector<std::byte> runs = std::vector<std::byte>(2 * kRunSize), content = std::vector<std::byte>(2 * kPageSize);
  Good() {
    content[5] = std::byte{7};
    encode({3, 0x10000, 2 * kPageSize}, std::span<std::byte, kRunSize>(runs.data(), kRunSize));
    encode({3, 0x20000, kPageSize}, std::span<std::byte, kRunSize>(runs.data() + kRunSize, kRunSize));
    head.kind = FrameKind::kPages;
    head.data_runs = head.zero_runs = 1;
    head.wire_bytes = head.content_bytes = static_cast<uint32_t>(content.size());
    head.digest = digest_of(runs, content);
  }
  std::vector<std::byte> bytes() const {
    std::vector<std::byte> rest = runs;
    rest.insert(rest.end(), content.begin(), content.end());
    return frame_bytes(head, rest);
  }
};

TEST(Frame, a_frame_comes_back_as_it_was) {
  const Good good;
  auto reader = reader_of(good.bytes());
  const auto frame = reader.next();
  ASSERT_TRUE(frame) << frame.error().message();
  EXPECT_EQ(frame->head, good.head);
  EXPECT_EQ(frame->data_runs[0], (engine::PageRun{3, 0x10000, 2 * kPageSize}));
  EXPECT_EQ(frame->zero_runs[0], (engine::PageRun{3, 0x20000, kPageSize}));
  EXPECT_TRUE(std::ranges::equal(frame->content, good.content));
}

TEST(Frame, every_flipped_bit_of_head_and_runs_is_refused) {
  const Good good;
  const auto bytes = good.bytes();
  for (size_t bit = 0; bit < (kHeadSize + 2 * kRunSize) * 8; bit++) {
    auto bad = bytes;
    bad[bit / 8] ^= static_cast<std::byte>(1u << (bit % 8));
    auto reader = reader_of(std::move(bad));
    EXPECT_FALSE(reader.next()) << "bit " << bit;
  }
}

TEST(Frame, every_truncation_is_refused) {
  const auto bytes = Good().bytes();
  for (size_t n = 0; n < bytes.size(); n += n < 200 ? 1 : 97) {
    auto reader = reader_of({bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(n)});
    EXPECT_FALSE(reader.next());
  }
}

TEST(Frame, lengths_beyond_the_limits_are_refused_before_anything_is_read) {
  Good g;
  g.head.content_bytes = g.head.wire_bytes = kContentLimit + 1;
  EXPECT_EQ(reader_of(frame_bytes(g.head, {})).next().error().code, Code::kCorrupt);
  Good r;
  r.head.data_runs = kRunsLimit;
  EXPECT_EQ(reader_of(frame_bytes(r.head, {})).next().error().code, Code::kCorrupt);
}

TEST(Frame, a_frame_out_of_order_is_refused) {
  Good g;
  g.head.number = 1;
  EXPECT_EQ(reader_of(g.bytes()).next().error().code, Code::kCorrupt);
}

TEST(Frame, a_zero_page_is_told_from_one_with_a_single_bit) {
  std::vector<std::byte> page(kPageSize);
  EXPECT_TRUE(is_zero_page(page.data()));
  for (const size_t at : {size_t{0}, size_t{63}, size_t{64}, size_t{65}, size_t{2048}, size_t{kPageSize - 1}}) {
    page[at] = std::byte{1};
    EXPECT_FALSE(is_zero_page(page.data())) << at;
    page[at] = std::byte{0};
  }
}

TEST(PackPolicy, compresses_on_a_slow_link_and_not_on_a_fast_one) {
  for (const double link_ns : {0.5, 100.0}) {
    PackPolicy policy(0);
    bool last = false;
    for (int i = 0; i < 1000; i++) {
      last = policy.next();
      size_t wire = 512 << 10;
      if (last) {
        policy.packed(wire, wire / 3, 3.0 * static_cast<double>(wire));
        wire /= 3;
      }
      policy.written(wire, link_ns * static_cast<double>(wire));
    }
    EXPECT_EQ(policy.next(), link_ns > 50) << link_ns;
  }
}

}  // namespace
}  // namespace godwit::migration
