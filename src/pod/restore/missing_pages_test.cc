#include "pod/restore/missing_pages.h"

#include <gtest/gtest.h>

#include <map>
#include <random>

namespace godwit::pod {
namespace {

constexpr uint64_t kPage = 4096;
using Part = MissingPages::Part;

TEST(MissingPages, are_known_by_where_they_lie_at_the_source_wherever_they_were_moved) {
  MissingPages m;
  m.add(10 * kPage, 20 * kPage, 10 * kPage);
  m.move(12 * kPage, 100 * kPage, 3 * kPage);
  EXPECT_EQ(m.source_of(100 * kPage), 12 * kPage);
  EXPECT_EQ(m.source_of(11 * kPage), 11 * kPage);
  EXPECT_EQ(m.source_of(12 * kPage), std::nullopt);
  EXPECT_EQ(m.source_of(103 * kPage), std::nullopt);
  const auto parts = m.at_source(11 * kPage, 5 * kPage);
  ASSERT_EQ(parts.size(), 3u);
  EXPECT_EQ(parts[0], (Part{11 * kPage, 11 * kPage, kPage}));
  EXPECT_EQ(parts[1], (Part{15 * kPage, 15 * kPage, kPage}));
  EXPECT_EQ(parts[2], (Part{100 * kPage, 12 * kPage, 3 * kPage}));
  EXPECT_EQ(m.bytes(), 10 * kPage);
}

TEST(MissingPages, what_lay_where_something_is_moved_to_is_gone) {
  MissingPages m;
  m.add(0, 4 * kPage, 0);
  m.add(8 * kPage, 12 * kPage, 8 * kPage);
  m.move(0, 9 * kPage, 2 * kPage);
  EXPECT_EQ(m.source_of(9 * kPage), 0u);
  EXPECT_EQ(m.source_of(8 * kPage), 8 * kPage);
  EXPECT_EQ(m.source_of(11 * kPage), 11 * kPage);
  EXPECT_EQ(m.source_of(0), std::nullopt);
  EXPECT_TRUE(m.at_source(9 * kPage, 2 * kPage).empty());
}

// Against a book that is kept page by page.
TEST(MissingPages, agree_with_a_page_by_page_book_after_any_sequence) {
  const uint64_t seed = std::random_device{}();
  RecordProperty("seed", std::to_string(seed));
  std::mt19937_64 random(seed);
  for (int run = 0; run < 200; run++) {
    MissingPages m;
    RangeSet set;
    std::map<uint64_t, uint64_t> book;  // page → page at the source
    std::map<uint64_t, bool> known;
    m.add(0, 64 * kPage, 0);
    for (uint64_t p = 0; p < 64; p++) book[p] = p;
    for (int step = 0; step < 30; step++) {
      const uint64_t from = random() % 120, length = 1 + random() % 20, to = 200 * (random() % 2) + random() % 120;
      switch (random() % 3) {
        case 0:
          m.erase(from * kPage, (from + length) * kPage);
          set.erase(from * kPage, (from + length) * kPage);
          for (uint64_t p = from; p < from + length; p++) book.erase(p), known.erase(p);
          break;
        case 1: {
          if (to < from + length && from < to + length) break;
          m.move(from * kPage, to * kPage, length * kPage);
          set.add(to * kPage, (to + length) * kPage);
          for (uint64_t p = 0; p < length; p++) {
            book.erase(to + p);
            known[to + p] = true;
            if (auto it = book.find(from + p); it != book.end()) {
              book[to + p] = it->second;
              book.erase(it);
            }
          }
          break;
        }
        default: {
          std::map<uint64_t, uint64_t> found;
          for (const auto& part : m.at_source(from * kPage, length * kPage)) {
            for (uint64_t at = 0; at < part.length; at += kPage)
              found[(part.source + at) / kPage] = (part.address + at) / kPage;
          }
          for (const auto& [page, source] : book) {
            const bool wanted = source >= from && source < from + length;
            EXPECT_EQ(found.contains(source), wanted) << "seed " << seed;
            if (wanted) {
              EXPECT_EQ(found[source], page) << "seed " << seed;
            }
          }
        }
      }
    }
    uint64_t pages = 0;
    for (uint64_t p = 0; p < 400; p++) {
      const auto it = book.find(p);
      ASSERT_EQ(set.overlaps(p * kPage, (p + 1) * kPage), known.contains(p)) << "seed " << seed;
      ASSERT_EQ(m.source_of(p * kPage).has_value(), it != book.end()) << "seed " << seed;
      if (it == book.end()) continue;
      EXPECT_EQ(*m.source_of(p * kPage), it->second * kPage);
      pages++;
    }
    EXPECT_EQ(m.bytes(), pages * kPage);
    EXPECT_EQ(m.empty(), pages == 0);
  }
}

}  // namespace
}  // namespace godwit::pod
