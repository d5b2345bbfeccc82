// Input: one byte that says how, then bytes. Either as they come (envelopes, a trace list), or as the payload of an envelope
// that is properly signed, which a fuzzer would never guess. What is accepted must come back the same.
#include "base/check.h"
#include "delegation/delegation.h"
#include "delegation/testing.h"

using namespace godwit;
using namespace godwit::delegation;

namespace {

const PrivateKey& key() {
  static const PrivateKey kKey = testing::key_of("user");
  return kKey;
}

/// parse → sign → parse gives the same value and the same bytes.
template <typename T>
void payload(std::string_view text) {
  const auto value = T::parse(text);
  if (!value) return;
  const auto again = value->sign(key());
  if constexpr (std::is_same_v<T, Document>) {
    if (!again) return;  // another issuer
  }
  GODWIT_CHECK(again.has_value() && again->payload == text);
  const auto back = T::parse(again->payload);
  GODWIT_CHECK(back.has_value() && *back == *value);
}

void whole(std::string_view text) {
  if (const auto e = Envelope::decode(text, kDocumentType)) GODWIT_CHECK(e->encode() == text);
  if (const auto d = read_document(text)) (void)chain(*d, {std::string(text)});
  (void)read_caveat(text);
  (void)read_head(text);
  if (const auto entries = read_trace(text)) GODWIT_CHECK(write_trace(*entries) == text);
}

/// A trace list of any entries under a good document: the audit must end, whatever they say.
void list(std::string_view text) {
  static const testing::World kWorld = [] {
    testing::World w;
    w.start();
    return w;
  }();
  std::vector<SignedEntry> entries;
  while (!text.empty() && entries.size() < 8) {
    const size_t end = std::min(text.find('\n'), text.size());
    const auto e = Entry::parse(text.substr(0, end));
    text.remove_prefix(std::min(text.size(), end + 1));
    if (!e) continue;
    Envelope envelope{std::string(kEntryType), e->sign(key())->payload, {}};
    envelope.sign(key());
    envelope.sign(key());
    entries.push_back({*e, envelope, envelope.digest()});
  }
  (void)audit(kWorld.authority(), entries, kWorld.state.head, kWorld.trust);
  (void)audit(kWorld.authority(), entries, std::nullopt, kWorld.trust);
  if (!entries.empty()) (void)append(kWorld.state, {}, entries.front(), kWorld.trust, testing::kNow);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0] % 8) {
    case 0: whole(text); break;
    case 1: payload<Document>(text); break;
    case 2: payload<Caveat>(text); break;
    case 3: payload<Entry>(text); break;
    case 4: payload<Head>(text); break;
    case 5: payload<Revocation>(text); break;
    case 6: list(text); break;
    default:
      if (const auto n = Network::parse(text)) GODWIT_CHECK(n->text() == text && n->contains(*n));
  }
  return 0;
}
