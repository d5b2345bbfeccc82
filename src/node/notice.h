// Notice: that this machine will go, as whoever runs it says so: a spot instance's agent, a job's time limit, a person. They have
// one way to say it, a file (--notice-file): its content is the time that is left from when it was written, "120", "90s" or
// "2m". No provider's protocol is spoken here; a line of shell in the machine's own set-up turns each into that file
// (docs/howto/spot.md).
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "godwit/control.pb.h"

namespace godwit::node {

/// What is assumed when there is a file that says no time: the shortest notice that a large provider gives.
inline constexpr double kUnsaidSeconds = 30;

/// "120", "90s", "2m", "1h", blanks around; not negative, and a week at most.
std::optional<double> parse_notice(std::string_view text);

/// The notice as it stands now; nothing without a file. Its id is when the file was written, so one that is written anew is another
/// notice. A file without a time is given a second to get one: it may be about to be written.
std::optional<wire::Notice> look_for_notice(const std::string& path, double now_s);

}  // namespace godwit::node
