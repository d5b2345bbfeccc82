// Entries and heads as bytes.
#include "delegation/trace.h"

#include "delegation/statement.h"

namespace godwit::delegation {
Checked<Envelope> Entry::sign(const PrivateKey& source_key) const {
  return seal(kEntryType,
              {{"document", document.hex()},
               {"authority", authority.hex()},
               {"sequence", sequence},
               {"previous", previous.hex()},
               {"epoch", epoch},
               {"state", state.hex()},
               {"source", source},
               {"destination", destination},
               {"time", time},
               {"nonce", nonce}},
              source_key);
}

Checked<Entry> Entry::parse(std::string_view payload) {
  TRY(const Json json, parse_canonical(payload, kMaxPayload));
  TRY(Fields fields, open_payload(json, "entry"));
  Entry out;
  TRY(out.document, fields.digest("document"));
  TRY(out.authority, fields.digest("authority"));
  TRY(out.sequence, fields.number("sequence"));
  TRY(out.previous, fields.digest("previous"));
  TRY(out.epoch, fields.number("epoch"));
  TRY(out.state, fields.digest("state"));
  TRY(out.source, node_field(fields, "source"));
  TRY(out.destination, node_field(fields, "destination"));
  TRY(out.time, fields.number("time"));
  TRY(out.nonce, fields.hex("nonce", 32));
  TRY_DO(fields.done());
  if (out.sequence == 0) return refuse(Why::kBadNumber, "entry.sequence");
  return out;
}

Checked<SignedEntry> read_entry(std::string_view text, size_t signatures) {
  SignedEntry out;
  TRY(out.envelope, open_envelope(text, kEntryType, signatures));
  TRY(out.entry, Entry::parse(out.envelope.payload));
  out.digest = out.envelope.digest();
  return out;
}

Checked<Envelope> Head::sign(const PrivateKey& log_key) const {
  return seal(kHeadType,
              {{"document", document.hex()},
               {"authority", authority.hex()},
               {"sequence", sequence},
               {"entry", entry.hex()},
               {"epoch", epoch},
               {"holder", holder},
               {"time", time},
               {"log", log}},
              log_key);
}

Checked<Head> Head::parse(std::string_view payload) {
  TRY(const Json json, parse_canonical(payload, kMaxPayload));
  TRY(Fields fields, open_payload(json, "head"));
  Head out;
  TRY(out.document, fields.digest("document"));
  TRY(out.authority, fields.digest("authority"));
  TRY(out.sequence, fields.number("sequence"));
  TRY(out.entry, fields.digest("entry"));
  TRY(out.epoch, fields.number("epoch"));
  TRY(out.holder, node_field(fields, "holder"));
  TRY(out.time, fields.number("time"));
  TRY(out.log, fields.text("log"));
  TRY_DO(fields.done());
  return out;
}

Checked<SignedHead> read_head(std::string_view text) {
  SignedHead out;
  TRY(out.envelope, open_envelope(text, kHeadType, 1));
  TRY(out.head, Head::parse(out.envelope.payload));
  return out;
}

Checked<std::vector<SignedEntry>> read_trace(std::string_view text) {
  if (text.size() > kMaxTraceBytes) return refuse(Why::kTooLarge, std::to_string(text.size()) + " bytes");
  std::vector<SignedEntry> out;
  for (size_t at = 0; at < text.size();) {
    if (out.size() == kMaxEntries) return refuse(Why::kTooMany, "more than " + std::to_string(kMaxEntries));
    const size_t end = text.find('\n', at);
    if (end == std::string_view::npos) return refuse(Why::kNotCanonical, "the last line has no end");
    TRY(SignedEntry entry, read_entry(text.substr(at, end - at), 2));
    out.push_back(std::move(entry));
    at = end + 1;
  }
  return out;
}

std::string write_trace(const std::vector<SignedEntry>& entries) {
  std::string out;
  for (const auto& e : entries) out += e.envelope.encode() + "\n";
  return out;
}

}  // namespace godwit::delegation
