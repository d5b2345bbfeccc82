// For vectors: inputs of checks as JSON (docs/formats/delegation.md, "Vectors").
#pragma once

#include <functional>

#include "delegation/delegation.h"
#include "delegation/json.h"

namespace godwit::delegation::vectors {

inline Json to_json(const Trust& trust) {
  Json out = {{"site", trust.site},     {"users", Json::array()}, {"nodes", Json::object()},
              {"logs", Json::object()}, {"sites", trust.sites},   {"revoked", trust.revoked}};
  for (const auto& [id, key] : trust.users) out["users"].push_back(key.base64());
  for (const auto& [name, key] : trust.nodes) out["nodes"][name] = key.base64();
  for (const auto& [name, key] : trust.logs) out["logs"][name] = key.base64();
  return out;
}

inline Json to_json(const Offer& offer) {
  return {{"document", offer.document}, {"caveats", offer.caveats}, {"head", offer.head}, {"last", offer.last}};
}

inline Json to_json(const Question& q) {
  Json out = {{"operation", q.operation},     {"now", q.now},           {"source", q.source},
              {"destination", q.destination}, {"instance", q.instance}, {"facts", q.facts}};
  if (q.facts.empty()) out["facts"] = Json::object();
  if (q.program) out["program"] = q.program->hex();
  if (q.arguments) out["arguments"] = q.arguments->hex();
  if (q.known)
    out["known"] = {{"sequence", q.known->sequence}, {"epoch", q.known->epoch}, {"entry", q.known->entry.hex()}};
  return out;
}

}  // namespace godwit::delegation::vectors
