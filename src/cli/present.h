// How things look: the JSON forms (an interface, docs/formats/json.md) and the tables for people.
#pragma once

#include <google/protobuf/repeated_ptr_field.h>

#include <string>
#include <vector>

#include "godwit/control.pb.h"

namespace godwit::cli {

// JSON, two blanks of indent, a newline at the end.
std::string unit_json(const wire::Unit& unit);
std::string units_json(const google::protobuf::RepeatedPtrField<wire::Unit>& units);
std::string nodes_json(const google::protobuf::RepeatedPtrField<wire::NodeInfo>& nodes);
std::string show_json(const wire::ShowReply& show);
std::string report_json(const wire::Report& report);
std::string checkpoint_json(const wire::Checkpoint& checkpoint, const std::string& name, const std::string& file);
std::string forget_json(const wire::ForgetReply& reply, const std::string& name);
std::string history_json(const wire::HistoryReply& history, const std::string& name);
std::string check_json(const wire::CheckReply& check);
/// What a drain did to one unit.
struct Drained {
  std::string unit;
  std::string to;
  bool moved = false;
  wire::Report report;
  wire::Failure failure;
};
std::string drain_json(const std::string& node, const std::vector<Drained>& units);
std::string object_json(const std::vector<std::pair<std::string, std::string>>& fields);

// For people.
std::string units_table(const google::protobuf::RepeatedPtrField<wire::Unit>& units);
std::string nodes_table(const google::protobuf::RepeatedPtrField<wire::NodeInfo>& nodes);
std::string history_table(const wire::HistoryReply& history, const std::string& name);
std::string show_text(const wire::ShowReply& show);
/// The timing breakdown.
std::string report_text(const wire::Report& report);
std::string phases_text(const google::protobuf::RepeatedPtrField<wire::Phase>& phases);
std::string check_text(const wire::CheckReply& check, const std::string& what, const std::string& to);

std::string state_word(wire::UnitState state);
std::string size_text(uint64_t bytes);
std::string age_text(int64_t since_ms);
/// "exit 3" or "killed by SIGTERM (15)".
std::string exit_text(const wire::ExitStatus& exit);

/// Columns as wide as their widest cell; the last one is cut at the terminal's edge when standard output is one.
std::string table(const std::vector<std::vector<std::string>>& rows);

}  // namespace godwit::cli
