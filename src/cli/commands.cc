// The table of commands. To add one: see command.h.
#include "cli/command.h"

namespace godwit::cli {

const std::vector<const Command*>& commands() {
  static const std::vector<const Command*> kTable = {
      &kUp,         &kDown,                                                                        // a grid here
      &kRun,        &kPs,         &kShow,       &kLogs,     &kAttach,      &kWait,      &kSignal, &kKill,  // units
      &kMove,       &kCheckpoint, &kHistory,    &kForget,   &kRestore,     &kImageShow, &kCheck,  &kLimits,  // moving
      &kCc,         &kCxx,        &kExplain,  // portable programs
      &kKeyNew,     &kKeyShow,    &kDocNew,     &kDocShow,  // keys and documents
      &kDocVerify,  &kDocTrace,   &kDocRevoke,  // and what becomes of them
      &kNodes,      &kDrain,      &kNodeLeave,  &kUncordon, &kTokenCreate,  // nodes
      &kPolicy,     &kPolicySet,  &kPlan,       &kTop,      &kSim,         &kBenchGrid,  // rescheduling
      &kController, &kNode,       &kNodeJoin,  // daemons
      &kSiteInit,   &kSiteTrust,  &kSiteDrop,   &kSiteShow,  // and whom they believe
      &kHelp,       &kVersion,    &kCompletion, &kMan,  // this program
      &kGrid,       &kArm,        &kComplete,  // hidden
  };
  return kTable;
}

const std::vector<Option>& common_options() {
  static const std::vector<Option> kTable = {
      {"--state", "", "DIR", "the grid's state directory; GODWIT_STATE, or the usual place", Words::kDirectory},
      {"--json", "", "", "print JSON, for programs"},
      {"--help", "-h", "", "explain this command"}};
  return kTable;
}

const Command* find_command(const std::vector<std::string>& words, size_t* used) {
  const Command* best = nullptr;
  for (const Command* c : commands()) {
    const size_t space = c->name.find(' ');
    const size_t count = space == std::string_view::npos ? 1 : 2;
    if (words.size() < count || words[0] != c->name.substr(0, space)) continue;
    if (count == 2 && words[1] != c->name.substr(space + 1)) continue;
    if (best && *used >= count) continue;
    best = c;
    *used = count;
  }
  return best;
}

}  // namespace godwit::cli
