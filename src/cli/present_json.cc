// The JSON forms. Fields are added, never renamed or removed (docs/formats/json.md); a value that isn't known is null or
// left out as that page says.
#include <nlohmann/json.hpp>

#include "base/result.h"
#include "cli/present.h"

namespace godwit::cli {
namespace {

using Json = nlohmann::ordered_json;

std::string text(const Json& json) {
  // Names of files and programs are bytes; what isn't UTF-8 is shown with the replacement character.
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

Json json_of(const google::protobuf::RepeatedPtrField<wire::Phase>& phases) {
  Json out = Json::object();
  for (const auto& p : phases) out[p.name()] = p.ms();
  return out;
}

Json json_of(const google::protobuf::RepeatedPtrField<wire::Blocker>& blockers) {
  Json out = Json::array();
  for (const auto& b : blockers)
    out.push_back({{"code", b.code()}, {"object", b.object()}, {"reason", b.reason()}, {"lift", b.lift()}});
  return out;
}

Json json_of(const wire::ExitStatus& exit) {
  Json out = {{"status", exit.status()}, {"signal", exit.signal()}};
  if (!exit.reason().empty()) out["reason"] = exit.reason();
  return out;
}

std::string mode_word(wire::MoveMode mode) {
  switch (mode) {
    case wire::LAZY: return "lazy";
    case wire::STOP: return "stop";
    default: return "live";
  }
}

Json json_of(const wire::Unit& unit) {
  Json out;
  out["id"] = unit.id();
  out["name"] = unit.spec().name();
  out["node"] = unit.node();
  out["epoch"] = unit.epoch();
  out["state"] = state_word(unit.state());
  out["grain"] = unit.grain() == wire::PORTABLE ? "portable" : "pod";
  out["command"] = std::vector<std::string>(unit.spec().argv().begin(), unit.spec().argv().end());
  out["dir"] = unit.spec().dir().empty() ? Json() : Json(unit.spec().dir());
  out["created_ms"] = unit.created_ms();
  out["ended_ms"] = unit.ended_ms() == 0 ? Json() : Json(unit.ended_ms());
  out["exit"] = unit.state() == wire::EXITED ? json_of(unit.exit()) : Json();
  out["migration"] = unit.migration().empty() ? Json() : Json(unit.migration());
  out["parent"] = unit.parent().empty() ? Json() : Json(unit.parent());
  out["memory_bytes"] = unit.load().memory_bytes();
  out["cpu_seconds"] = unit.load().cpu_seconds();
  out["processes"] = unit.load().processes();
  out["pid"] = unit.load().init_pid();
  return out;
}

std::string node_state_word(wire::NodeState state) {
  switch (state) {
    case wire::READY: return "ready";
    case wire::CORDONED: return "drained";
    case wire::GONE: return "gone";
    default: return "unknown";
  }
}

Json json_of(const wire::NodeInfo& node) {
  Json out;
  out["name"] = node.name();
  const bool leaves = node.leaves_ms() != 0 && node.state() == wire::CORDONED;
  out["state"] = leaves ? "leaving" : node_state_word(node.state());
  out["leaves_ms"] = node.leaves_ms() == 0 ? Json() : Json(node.leaves_ms());
  out["units"] = node.units();
  out["address"] = node.control();
  out["data_address"] = node.data();
  out["arch"] = node.arch();
  out["emulated"] = node.emulated();
  out["kernel"] = node.kernel();
  out["os"] = node.os();
  out["privileged"] = node.privileged();
  out["cpus"] = node.load().cpus();
  out["load1"] = node.load().load1();
  out["memory_bytes"] = node.load().memory_bytes();
  out["memory_free_bytes"] = node.load().memory_free_bytes();
  out["disk_free_bytes"] = node.load().disk_free_bytes();
  out["seen_ms"] = node.seen_ms();
  out["pid"] = node.pid();
  return out;
}

Json json_of(const wire::Report& report) {
  Json out;
  out["unit"] = report.unit();
  out["from"] = report.from();
  out["to"] = report.to();
  out["epoch"] = report.epoch();
  out["mode"] = mode_word(report.mode());
  out["downtime_ms"] = report.downtime_ms();
  out["total_ms"] = report.total_ms();
  out["bytes_sent"] = report.bytes_sent();
  out["bytes_raw"] = report.bytes_raw();
  out["rounds"] = report.rounds();
  out["memory_bytes"] = report.memory_bytes();
  out["files_bytes"] = report.files_bytes();
  if (report.mode() == wire::LAZY) {
    out["pages_later"] = report.pages_later();
    out["pages_wanted"] = report.pages_wanted();
  }
  out["migration"] = report.migration();
  out["phases"] = json_of(report.phases());
  return out;
}

Json json_of(const wire::Checkpoint& c, const std::string& name) {
  Json out;
  out["unit"] = c.unit();
  out["number"] = c.number();
  out["name"] = name + "@" + std::to_string(c.number());
  out["image"] = c.image();
  out["epoch"] = c.epoch();
  out["time_ms"] = c.time_ms();
  out["bytes"] = c.bytes();
  out["bytes_new"] = c.bytes_new();
  out["downtime_ms"] = c.downtime_ms();
  out["total_ms"] = c.total_ms();
  out["parent"] = c.parent() == 0 ? Json() : Json(c.parent());
  out["sealed_to"] = c.sealed_to().empty() ? Json() : Json(c.sealed_to());
  out["nodes"] = std::vector<std::string>(c.nodes().begin(), c.nodes().end());
  out["phases"] = json_of(c.phases());
  return out;
}

std::string migration_word(wire::MigrationState state) {
  switch (state) {
    case wire::COMMITTED: return "committed";
    case wire::ABORTED: return "aborted";
    default: return "planned";
  }
}

}  // namespace

std::string unit_json(const wire::Unit& unit) { return text(json_of(unit)); }

std::string units_json(const google::protobuf::RepeatedPtrField<wire::Unit>& units) {
  Json out = Json::array();
  for (const auto& u : units) out.push_back(json_of(u));
  return text(out);
}

std::string nodes_json(const google::protobuf::RepeatedPtrField<wire::NodeInfo>& nodes) {
  Json out = Json::array();
  for (const auto& n : nodes) out.push_back(json_of(n));
  return text(out);
}

std::string show_json(const wire::ShowReply& show) {
  Json out = json_of(show.unit());
  auto& moves = out["migrations"] = Json::array();
  for (const auto& m : show.migrations()) {
    Json move = {{"id", m.id()},       {"from", m.from()},       {"to", m.to()},
                 {"epoch", m.epoch()}, {"time_ms", m.time_ms()}, {"state", migration_word(m.state())}};
    move["error"] = m.error().empty() ? Json() : Json(m.error());
    move["report"] = m.has_report() ? json_of(m.report()) : Json();
    moves.push_back(move);
  }
  auto& kept = out["checkpoints"] = Json::array();
  for (const auto& c : show.checkpoints()) kept.push_back(json_of(c, show.unit().spec().name()));
  return text(out);
}

std::string report_json(const wire::Report& report) { return text(json_of(report)); }

std::string checkpoint_json(const wire::Checkpoint& checkpoint, const std::string& name, const std::string& file) {
  Json out = json_of(checkpoint, name);
  out["file"] = file.empty() ? Json() : Json(file);
  return text(out);
}

std::string forget_json(const wire::ForgetReply& reply, const std::string& name) {
  Json out = {{"forgotten", Json::array()}, {"left", Json::array()}};
  for (const auto& c : reply.forgotten()) out["forgotten"].push_back(json_of(c, name));
  for (const auto& c : reply.left()) out["left"].push_back(json_of(c, name));
  return text(out);
}

std::string history_json(const wire::HistoryReply& history, const std::string& name) {
  Json out = Json::array();
  for (const auto& c : history.checkpoints()) out.push_back(json_of(c, name));
  return text(out);
}

std::string check_json(const wire::CheckReply& check) {
  Json out;
  out["movable"] = check.blockers().empty();
  out["blockers"] = json_of(check.blockers());
  auto& demands = out["demands"] = Json::array();
  for (const auto& d : check.demands()) demands.push_back({{"kind", d.kind()}, {"what", d.what()}});
  out["memory_bytes"] = check.memory_bytes();
  return text(out);
}

std::string drain_json(const std::string& node, const std::vector<Drained>& units) {
  Json out;
  out["node"] = node;
  auto& moved = out["moved"] = Json::array();
  auto& failed = out["failed"] = Json::array();
  for (const auto& u : units) {
    if (u.moved) {
      moved.push_back(json_of(u.report));
    } else {
      failed.push_back({{"unit", u.unit},
                        {"to", u.to},
                        {"code", std::string(code_name(code_of(u.failure.code())))},
                        {"message", u.failure.text()},
                        {"blockers", json_of(u.failure.blockers())}});
    }
  }
  return text(out);
}

std::string object_json(const std::vector<std::pair<std::string, std::string>>& fields) {
  Json out = Json::object();
  for (const auto& [name, value] : fields) out[name] = value;
  return text(out);
}

}  // namespace godwit::cli
