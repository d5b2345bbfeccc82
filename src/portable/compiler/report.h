// -fgodwit-report: where a program may stop, and for how long it may not.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "portable/compiler/told.h"

namespace godwit::portable {

/// The stretch of which least is known, or the one with most rounds; null when each loop has a point.
const Stretch* longest(const Told& told);
/// "1000 rounds", "as many rounds as its data say", "no bound".
std::string bound_text(const Stretch& stretch);

/// To a file, as JSON when its name ends with .json; to standard output when there is no name.
Result<void> write_report(std::string_view program, const Told& told, const std::string& path);

}  // namespace godwit::portable
