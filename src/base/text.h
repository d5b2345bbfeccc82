// Text cut in pieces.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace godwit {

/// The parts between separators, without empty ones; views into `text`, which must outlive them.
std::vector<std::string_view> split(std::string_view text, char separator);
/// The same with memory of their own.
std::vector<std::string> split_copy(std::string_view text, char separator);

}  // namespace godwit
