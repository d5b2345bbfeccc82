#include <google/protobuf/util/json_util.h>

#include "godwit/portable.pb.h"
#include "portable/engine/engine.h"

namespace godwit::portable {
namespace {

namespace pb = godwit::portable::v1;

template <typename Message>
Result<std::string> print(const std::string& bytes) {
  Message message;
  std::string json;
  if (!message.ParseFromString(bytes) || !google::protobuf::util::MessageToJsonString(message, &json).ok())
    return fail(Code::kCorrupt, "not a message of the portable engine");
  return json;
}

}  // namespace

Result<std::string> to_json(std::string_view part, const std::string& bytes) {
  if (part == "demands") return print<pb::Demands>(bytes);
  if (part == "outline") return print<pb::Outline>(bytes);
  return fail(Code::kUsage, "the state is the program's own image: docs/formats/portable-image.md");
}

}  // namespace godwit::portable
