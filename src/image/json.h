// An image's manifest as JSON: what `godwit image show` prints.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "image/manifest.h"

namespace godwit::image {

/// Turns one of an engine's messages (`part` is "state", "demands" or "outline") into JSON text. The bytes are hostile.
/// What isn't JSON is shown as a string.
using Describe = std::function<std::string(std::string_view part, const std::string& bytes)>;

struct JsonOptions {
  std::vector<std::pair<std::string, Describe>> engines =
      {};  ///< by Manifest::engine; without one only sizes are shown
  bool runs = false;  ///< every run of pages, too
  int indent = 2;  ///< -1: one line
};

/// Never fails: text that isn't UTF-8 is shown with replacement characters.
std::string to_json(const Manifest& manifest, const JsonOptions& options = {});

}  // namespace godwit::image
