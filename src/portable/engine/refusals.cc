// What the portable engine can't move. Sorted by code.
#include <algorithm>

#include "base/check.h"
#include "portable/engine/engine.h"

namespace godwit::portable {
namespace {

constexpr Refusal kTable[] = {
    {"portable-architecture", "a destination of an architecture that a portable program wasn't compiled for",
     "the program has no code for it", "compiling it with that architecture among --targets"},
    {"portable-child", "a child process of a portable program", "a parent can't take it along to another architecture",
     "waiting until it has ended"},
    {"portable-connection", "a connection of a portable program, also one that wasn't accepted yet",
     "its other end would have to be told, and what is under way would be lost",
     "closing it for the move, or moving within one architecture"},
    {"portable-descriptor",
     "an object of the kernel that a portable program has open and that has no name elsewhere (inotify, a pidfd and "
     "the like), or "
     "a socket that isn't TCP, UDP or UNIX",
     "what is in it belongs to this machine's kernel", "closing it for the move, or moving within one architecture"},
    {"portable-file-gone", "a file that a portable program has open and that has no name any more",
     "it can't be opened again elsewhere", "keeping its name until the program has ended"},
    {"portable-input", "the terminal, or the standard input that is kept open, of a portable program",
     "what was typed and not read yet would be lost",
     "starting it without -i and -t, or moving within one architecture"},
    {"portable-memory", "a destination with less free memory than a portable program has", "it would not fit",
     "a destination with more free memory"},
    {"portable-numbers", "an eventfd or a timerfd of a portable program that shall go to a big-endian processor",
     "the program would read its number with the bytes turned over", "closing it for the move"},
    {"portable-pipe", "a pipe of a portable program that another process has, too, or that has a name",
     "after a move the two would no longer be connected", "closing it for the move, or moving within one architecture"},
    {"portable-program-gone",
     "a portable program whose own file isn't there any more, or was replaced by something else",
     "its code for the other architecture is in that file", "putting the file back where it was"},
    {"portable-starting", "a portable program that has only just begun", "it can't be asked for its state yet",
     "trying again in a moment"},
    {"portable-unread", "datagrams that a portable program hasn't read yet", "they would be lost",
     "trying again when it has read them"},
};

}  // namespace

std::span<const Refusal> refusals() { return kTable; }

engine::Blocker make_blocker(std::string_view code, const std::string& object, const std::string& detail) {
  const auto* row = std::ranges::find(kTable, code, &Refusal::code);
  GODWIT_CHECK(row != std::end(kTable), "a refusal without a row");
  std::string reason(row->reason);
  if (!detail.empty()) reason += ": " + detail;
  return {std::string(code), object, std::move(reason), std::string(row->lift)};
}

}  // namespace godwit::portable
