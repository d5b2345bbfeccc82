// What goes wrong in the fault matrix: one row an accident (fault_accidents.cc).
#pragma once

#include <functional>
#include <vector>

#include "fault_cell.h"

namespace godwit::test {

struct Accident {
  const char* name;
  std::function<void(Cell&)> strike;  ///< while a process stands at the point
  std::function<void(Cell&)> mend;  ///< after that was released
  bool alone = false;  ///< one cell at a time: it hits all of the grid
  bool answer_counts = true;  ///< `godwit move` must be able to say how it ended
  int lanes = 4;  ///< so many cells at once: many, where most of a cell is waiting
  int megabytes = 4;
  bool (*applies)(const std::string& point) = nullptr;  ///< null: everywhere
  bool (*may_die)(const std::string& point) = nullptr;  ///< where the unit may go with the one that holds it
  std::string (*missing)() = nullptr;  ///< why it can't happen on this machine; empty when it can
};
void PrintTo(const Accident& accident, std::ostream* out);
const std::vector<Accident>& accidents();

}  // namespace godwit::test
