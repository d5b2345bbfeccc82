// The state as JSON, for people and tests. Each kind's own message is shown through its descriptor.
#include <google/protobuf/util/json_util.h>

#include "godwit/pod.pb.h"
#include "pod/kinds.h"
#include "pod/pod.h"

namespace godwit::pod {

Result<std::string> state_to_json(const std::string& text) {
  pb::PodState state;
  if (!state.ParseFromString(text)) return fail(Code::kCorrupt, "the state can't be parsed");
  // Registers and extended state are opaque bytes, and long: their absence says more than base64 would.
  for (auto& process : *state.mutable_processes()) {
    for (auto& thread : *process.mutable_threads()) {
      thread.clear_xstate();
      thread.clear_regs();
    }
  }
  state.mutable_host()->clear_vdso_image();
  std::string json;
  google::protobuf::util::JsonPrintOptions options;
  options.add_whitespace = true;
  options.preserve_proto_field_names = true;
  const auto status = google::protobuf::util::MessageToJsonString(state, &json, options);
  if (!status.ok()) return fail(Code::kFailed, "the state can't be shown: " + std::string(status.message()));
  return json;
}

}  // namespace godwit::pod
