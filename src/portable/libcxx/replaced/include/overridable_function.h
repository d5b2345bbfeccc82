// In place of libc++'s header of this name, which puts operator new into a linker section of its own, so that programs without
// exceptions can ask whether somebody replaced it. Neutral code has no sections; libc++ then does without the question.
#pragma once

#define _LIBCPP_CAN_DETECT_OVERRIDDEN_FUNCTION 0
#define _LIBCPP_MAKE_OVERRIDABLE_FUNCTION_DETECTABLE
