// Is a state what it claims to be? The "Must" notes of proto/godwit/pod.proto, checked before anything is built from it.
#pragma once

#include <string>

#include "base/result.h"
#include "godwit/pod.pb.h"

namespace godwit::pod {

/// The first flaw as Code::kCorrupt; a version of another Godwit as Code::kRefused.
Result<void> validate(const v1::PodState& state);
Result<void> validate(const v1::Outline& outline);
/// Parses and validates.
Result<v1::PodState> parse_state(const std::string& bytes);
Result<v1::Outline> parse_outline(const std::string& bytes);

/// One more than the highest number of a descriptor in it.
uint32_t descriptors_below(const v1::PodState& state);

}  // namespace godwit::pod
