// The kernel's msghdr and its control messages, which uapi headers don't have.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace godwit::portable {

struct Vector {
  void* base;
  size_t length;
};
struct Message {
  void* name;
  int name_length;
  Vector* vectors;
  size_t vector_count;
  void* control;
  size_t control_length;
  unsigned flags;
};
struct ControlHead {
  size_t length;
  int level, type;
};
inline constexpr int kControlRights = 1;  // SCM_RIGHTS
inline constexpr long kPeek = 2, kCutShort = 0x20, kAtOnce = 0x40, kNoSignal = 0x4000, kControlCloseOnExec = 0x40000000;

}  // namespace godwit::portable
