#include "base/result.h"

#include <cstring>

namespace godwit {

std::string_view code_name(Code code) {
  switch (code) {
    case Code::kUsage: return "usage";
    case Code::kRefused: return "refused";
    case Code::kFailed: return "failed";
    case Code::kNotFound: return "not-found";
    case Code::kCorrupt: return "corrupt";
    case Code::kPeer: return "peer";
    case Code::kSystem: return "system";
    case Code::kGone: return "gone";
    case Code::kChanged: return "changed";
  }
  return "unknown";
}

std::string Error::message() const {
  if (errnum == 0) return text;
  return text + ": " + ::strerrordesc_np(errnum) + " (" + ::strerrorname_np(errnum) + ")";
}

}  // namespace godwit
