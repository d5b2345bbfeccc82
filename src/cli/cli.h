// cli: the program `godwit`. One file per command in commands/, the table in commands.cc; help, man pages and shell
// completion are made from the same rows, so they can't say something else.
//
// Exit status (a promise): 0 done · 1 the program that was run failed · 2 wrong usage · 3 refused, nothing was touched ·
// 4 failed, and rolled back where something had begun.
#pragma once

#include <string>
#include <vector>

namespace godwit::cli {

/// Runs one command line (without the program's name). Returns the exit status.
int main(const std::vector<std::string>& arguments);

}  // namespace godwit::cli
