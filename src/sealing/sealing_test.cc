#include "sealing/sealing.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>

#include <cerrno>

#include "base/io.h"
#include "base/sys.h"
#include "base/temporary_folder.h"

namespace godwit::sealing {
namespace {

SealKey key_of(unsigned char seed) {
  std::array<unsigned char, 32> bytes{};
  bytes.fill(seed);
  return SealKey::from_seed(bytes);
}

std::string text(size_t size) {
  std::string out(size, '\0');
  for (size_t i = 0; i < size; ++i) out[i] = static_cast<char>(i * 131 + i / 257);
  return out;
}

std::string sealed(const std::string& plain, const SealKey& to, size_t piece = SIZE_MAX) {
  Sealer seal = *Sealer::to(to.public_key());
  std::string out = seal.header();
  for (size_t at = 0; at < plain.size(); at += std::min(piece, plain.size())) out += seal.add(plain.substr(at, piece));
  return out + seal.finish();
}

/// The plain text, or the code's name.
std::string opened(const std::string& bytes, const SealKey& key, size_t piece = SIZE_MAX) {
  Opener open(key);
  std::string out;
  for (size_t at = 0; at < bytes.size(); at += std::min(piece, bytes.size())) {
    const auto more = open.add(std::string_view(bytes).substr(at, piece));
    if (!more) return std::string(code_name(more.error().code)) + ": " + more.error().text;
    out += *more;
  }
  const auto rest = open.finish();
  if (!rest) return std::string(code_name(rest.error().code)) + ": " + rest.error().text;
  return out + *rest;
}

bool starts(const std::string& text, const std::string& with) { return text.starts_with(with); }

TEST(Sealed, comes_back_whatever_its_length_and_pieces) {
  const SealKey key = key_of(1);
  for (const size_t size : {size_t{0}, size_t{1}, kChunk - 1, kChunk, kChunk + 1, 2 * kChunk, 3 * kChunk + 17}) {
    const std::string plain = text(size);
    const size_t chunks = std::max<size_t>(1, (size + kChunk - 1) / kChunk);
    for (const size_t piece : {size_t{1000}, kChunk + kTag, SIZE_MAX}) {
      const std::string bytes = sealed(plain, key, piece);
      EXPECT_EQ(bytes.size(), kHeader + size + chunks * kTag);
      EXPECT_TRUE(is_sealed(bytes));
      EXPECT_EQ(opened(bytes, key, piece == SIZE_MAX ? 7777 : piece), plain) << size << " by " << piece;
    }
  }
}

TEST(Sealed, is_another_one_each_time_and_shows_nothing) {
  const SealKey key = key_of(1);
  const std::string plain(1000, 'A');
  const std::string a = sealed(plain, key), b = sealed(plain, key);
  EXPECT_NE(a.substr(kHeader), b.substr(kHeader));
  EXPECT_EQ(a.find("AAAA"), std::string::npos);
}

TEST(Sealed, is_opened_by_its_key_only) {
  const std::string bytes = sealed(text(100), key_of(1));
  EXPECT_TRUE(starts(opened(bytes, key_of(2)), "refused: sealed to another key"));
}

TEST(Sealed, shows_each_altered_byte) {
  const SealKey key = key_of(1);
  const std::string bytes = sealed(text(2 * kChunk + 50), key);
  for (size_t at = 0; at < bytes.size(); at += at < kHeader + 64 ? 1 : 4999) {
    std::string bad = bytes;
    bad[at] = static_cast<char>(bad[at] ^ 1);
    const std::string said = opened(bad, key);
    EXPECT_TRUE(starts(said, "corrupt: ") || starts(said, "refused: ")) << at;
  }
}

TEST(Sealed, shows_a_cut_anywhere) {
  const SealKey key = key_of(1);
  const std::string bytes = sealed(text(2 * kChunk + 50), key);
  for (const size_t left : {size_t{0}, size_t{1}, kHeader - 1, kHeader, kHeader + 15, kHeader + kChunk + kTag,
                            kHeader + 2 * (kChunk + kTag), bytes.size() - 1})
    EXPECT_TRUE(starts(opened(bytes.substr(0, left), key), "corrupt: ")) << left;
  // Between two chunks, and all that is there is genuine.
  EXPECT_EQ(opened(bytes.substr(0, kHeader + kChunk + kTag), key), "corrupt: the file was cut short");
}

TEST(Sealed, shows_chunks_in_another_order_twice_or_missing_and_what_is_put_behind_the_end) {
  const SealKey key = key_of(1);
  const std::string bytes = sealed(text(3 * kChunk), key);
  const std::string header = bytes.substr(0, kHeader);
  const auto chunk = [&](size_t i) { return bytes.substr(kHeader + i * (kChunk + kTag), kChunk + kTag); };
  ASSERT_EQ(opened(header + chunk(0) + chunk(1) + chunk(2), key), text(3 * kChunk));
  EXPECT_EQ(opened(header + chunk(1) + chunk(0) + chunk(2), key), "corrupt: chunk 0 is altered, or out of its place");
  EXPECT_EQ(opened(header + chunk(0) + chunk(0) + chunk(2), key), "corrupt: chunk 1 is altered, or out of its place");
  EXPECT_TRUE(starts(opened(header + chunk(0) + chunk(2), key), "corrupt: "));
  EXPECT_TRUE(starts(opened(bytes + "x", key), "corrupt: chunk 2"));
  // Of another stream to the same key.
  const std::string other = sealed(text(3 * kChunk), key);
  EXPECT_TRUE(starts(opened(header + other.substr(kHeader), key), "corrupt: chunk 0"));
}

TEST(Sealed, to_a_key_that_agrees_on_nothing_is_refused) {
  EXPECT_FALSE(Sealer::to(SealPublicKey{}));  // the point of order 1
  // The same as the ephemeral one.
  const SealKey key = key_of(1);
  std::string bytes = sealed(text(10), key);
  std::fill_n(bytes.begin() + kHeader - 32, 32, '\0');
  EXPECT_TRUE(starts(opened(bytes, key), "corrupt: "));
}

// RFC 7748, section 6.1: Alice's key; so whoever reads the format page can compare.
TEST(SealKeys, are_x25519) {
  const std::array<unsigned char, 32> alice = {0x77, 0x07, 0x6d, 0x0a, 0x73, 0x18, 0xa5, 0x7d, 0x3c, 0x16, 0xc1,
                                               0x72, 0x51, 0xb2, 0x66, 0x45, 0xdf, 0x4c, 0x2f, 0x87, 0xeb, 0xc0,
                                               0x99, 0x2a, 0xb1, 0x77, 0xfb, 0xa5, 0x1d, 0xb9, 0x2c, 0x2a};
  EXPECT_EQ(SealKey::from_seed(alice).public_key().text(),
            "x25519:8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a");
}

// A stream of before: the format stays. Written by finish() of an earlier version; the key's seed is 32 times 7.
TEST(Sealed, of_an_earlier_version_is_still_opened) {
  const std::string bytes = io::read_file(GODWIT_SOURCE_DIR "/tests/images/sealed-v1").value_or("");
  EXPECT_EQ(opened(bytes, key_of(7)), "the godwit flies without a stop\n");
}

TEST(SealKeys, are_for_their_owner_and_never_overwritten) {
  const TemporaryFolder folder = *TemporaryFolder::make("godwit_seal");
  const std::string path = folder.path().string() + "/seal.key";
  const SealKey key = *SealKey::generate();
  ASSERT_TRUE(key.save(path));
  EXPECT_EQ(key.save(path).error().code, Code::kRefused);
  struct stat st{};
  ASSERT_EQ(::stat(path.c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 0777, 0600u);
  EXPECT_EQ(SealKey::load(path)->public_key(), key.public_key());
  EXPECT_EQ(*find_public_key(path + ".pub"), key.public_key());
  EXPECT_EQ(*find_public_key(key.public_key().text()), key.public_key());
  EXPECT_FALSE(find_public_key(path));  // the private one is no place to seal to
  ASSERT_EQ(::chmod(path.c_str(), 0644), 0);
  EXPECT_EQ(SealKey::load(path).error().code, Code::kRefused);
  ASSERT_TRUE(io::replace_file(path, "nonsense", 0600));
  EXPECT_EQ(SealKey::load(path).error().code, Code::kCorrupt);
}

TEST(SealingPipe, seals_what_is_written_to_it) {
  const SealKey key = key_of(9);
  for (const size_t size : {size_t{0}, size_t{1}, kChunk, 5 * kChunk + 17}) {
    const Fd file = *sys::memfd("sealed");
    auto pipe = SealingPipe::open(key.public_key(), file);
    ASSERT_TRUE(pipe) << pipe.error().message();
    {
      const Fd input = (*pipe)->take_input();
      ASSERT_TRUE(io::write_full(input.get(), text(size)));
    }
    const auto written = (*pipe)->finish();
    ASSERT_TRUE(written) << written.error().message();
    std::string bytes(*written, '\0');
    ASSERT_TRUE(io::pread_full(file.get(), std::as_writable_bytes(std::span(bytes)), 0));
    EXPECT_TRUE(opened(bytes, key) == text(size)) << size;
  }
}

// Whoever writes gets EPIPE and doesn't wait for ever; why is said by finish().
TEST(SealingPipe, a_file_that_takes_no_more_ends_it) {
  ::signal(SIGPIPE, SIG_IGN);
  const Fd full = *sys::open("/dev/full", O_WRONLY);
  auto pipe = SealingPipe::open(key_of(9).public_key(), full);
  ASSERT_TRUE(pipe);
  {
    const Fd input = (*pipe)->take_input();
    EXPECT_FALSE(io::write_full(input.get(), text(4 << 20)));
  }
  const auto written = (*pipe)->finish();
  ASSERT_FALSE(written);
  EXPECT_EQ(written.error().errnum, ENOSPC);
}

}  // namespace
}  // namespace godwit::sealing
