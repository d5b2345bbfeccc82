// Shell completion, made from the table. The scripts are short: they ask `godwit __complete` for the words.
#pragma once

#include <string>
#include <vector>

#include "cli/context.h"

namespace godwit::cli {

/// The script for bash, zsh or fish; empty for another shell.
std::string completion_script(const std::string& shell);
/// What may stand at the place of the last word, one "WORD<tab>EXPLANATION" each; or a single ":file" or ":dir".
std::vector<std::string> complete(Context& context, const std::vector<std::string>& words);

}  // namespace godwit::cli
