// Help texts and man pages, made from the table.
#pragma once

#include <string>

#include "cli/command.h"

namespace godwit::cli {

std::string overview();
std::string usage_line(const Command& command);
std::string help(const Command& command);
/// A page in man(7) macros; the one for the whole program is overview_man().
std::string man_page(const Command& command);
std::string overview_man();
/// "godwit-node-join.1"
std::string man_name(const Command& command);

}  // namespace godwit::cli
