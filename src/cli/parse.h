// From words to options and arguments, by the rows of the table.
#pragma once

#include "base/result.h"
#include "cli/command.h"

namespace godwit::cli {

/// The words after the command's name. Wrong ones are Code::kUsage with what to write instead.
Result<Parsed> parse(const Command& command, const std::vector<std::string>& words);

/// A number in a range, or Code::kUsage naming the option.
Result<long> number(const Parsed& parsed, std::string_view option, long least, long most, long otherwise);

/// Close enough to be a slip: "; did you mean --node?" or nothing.
std::string did_you_mean(std::string_view word, const std::vector<std::string>& known);

}  // namespace godwit::cli
