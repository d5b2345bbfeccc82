// How load, plans and policies look: tables and JSON (docs/formats/json.md).
#pragma once

#include <google/protobuf/repeated_ptr_field.h>

#include <string>

#include "godwit/control.pb.h"
#include "godwit/sched.pb.h"

namespace godwit::cli {

std::string load_table(const google::protobuf::RepeatedPtrField<wire::NodeInfo>& nodes);
std::string load_json(const google::protobuf::RepeatedPtrField<wire::NodeInfo>& nodes);
std::string policy_text(const wire::PolicyReply& policy);
std::string policy_json(const wire::PolicyReply& policy);
/// `why`: with the ETC matrix and each move's reason.
std::string plan_text(const wire::PlanReply& plan, bool why);
std::string plan_json(const wire::PlanReply& plan);
/// One screen of `godwit top`. `units` as in `ps`; `plan` for what is left of each.
std::string top_text(const wire::NodesReply& nodes, const wire::PsReply& units, const wire::PlanReply& plan);
/// "12 s", "3 min", "2.1 h"; "-" for a negative one.
std::string seconds_text(double seconds);

}  // namespace godwit::cli
