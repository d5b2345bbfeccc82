// Named fault points: places where a test makes this process die, fail, stall or run out of something.
//
// Each step of the migration protocol has one, named `<side>.<step>`. The environment variable GODWIT_FAULT arms them:
//     GODWIT_FAULT=source.frozen:kill            SIGKILL this process there
//     GODWIT_FAULT=destination.restored:fail     return an error there
//     GODWIT_FAULT=source.captured:stall         stop there until a SIGCONT or the next arming, then go on as if nothing was
//     GODWIT_FAULT=a:fail,b:kill@2               several; `@n` is the n-th time the point is passed
// A running daemon is armed by its control call (fault::arm), used by the tests only. What an armed point does is in the
// log first, as `fault point NAME: ACTION`, so that a test knows when a process stands there; after a stall `NAME: goes on`.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace godwit::fault {

/// One row of the table of points (fault.cc). To add one: a row there, a GODWIT_FAULT_POINT at the place, a test.
struct Point {
  std::string_view name;
  std::string_view where;  ///< what has happened when it is reached, in words
};
const std::vector<Point>& points();

/// Arms points as in the environment variable; empty disarms all. Unknown names and actions are Code::kUsage.
Result<void> arm(std::string_view spec);

/// Passes a point: does what it is armed to do. Cheap when nothing is armed (one relaxed load).
Result<void> pass(std::string_view point);

}  // namespace godwit::fault

/// Passes a fault point in a function that returns Result.
#define GODWIT_FAULT_POINT(name) TRY_DO(::godwit::fault::pass(name))
