// A user's terminal (or pipes) joined to a unit: `run -i/-t` and `attach`.
#pragma once

#include <string>
#include <string_view>

#include "cli/context.h"

namespace godwit::cli {

/// Runs until the unit ends or the user detaches (ctrl-p ctrl-q on a terminal). Returns the exit status of the command.
/// The terminal is put back as it was, whatever happens short of SIGKILL.
int attach_session(Context& context, const std::string& unit, bool terminal);
/// Finds the detach keys in what was typed. A lone ctrl-p goes to the program with the next key.
class DetachKeys {
 public:
  static constexpr char kFirst = 0x10;  // ctrl-p
  static constexpr char kSecond = 0x11;  // ctrl-q
  /// Appends what the program shall get to `out`. True: detach.
  bool feed(std::string_view typed, std::string& out) {
    for (const char c : typed) {
      if (held_ && c == kSecond) return true;
      if (held_) out += kFirst;
      held_ = c == kFirst;
      if (!held_) out += c;
    }
    return false;
  }

 private:
  bool held_ = false;
};

/// The size of this terminal, zero when there is none.
wire::WindowSize window_size();

}  // namespace godwit::cli
