// What a command is: a row of the table, and what its run() gets.
//
// To add a command: a file in commands/ with one `const Command`, its declaration and its row in commands.cc; then
// `godwit man --out docs/man` for its page, and a line in docs/formats/json.md when it has a --json form.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace godwit::cli {

struct Context;

/// What the shell may complete a word with.
enum class Words { kNone, kFile, kDirectory, kUnit, kNode, kSignal, kCommand, kMode, kShell, kTcp, kEngine };

struct Option {
  std::string_view name;    ///< "--name"
  std::string_view letter;  ///< "-n", or empty
  std::string_view value;   ///< "NAME", or empty: a flag
  std::string_view help;
  Words words = Words::kNone;
  bool repeated = false;
};

struct Argument {
  std::string_view name;  ///< "UNIT"
  std::string_view help;
  Words words = Words::kNone;
  bool optional = false;
  bool rest = false;  ///< takes all that follows, options of the program included
  bool many = false;  ///< the last one: may be given more than once
};

/// The words of a command line, sorted.
class Parsed {
 public:
  [[nodiscard]] bool has(std::string_view option) const { return options.contains(std::string(option)); }
  /// The last value given, or empty.
  [[nodiscard]] std::string get(std::string_view option) const {
    const auto it = options.find(std::string(option));
    return it == options.end() || it->second.empty() ? std::string() : it->second.back();
  }
  [[nodiscard]] std::vector<std::string> all(std::string_view option) const {
    const auto it = options.find(std::string(option));
    return it == options.end() ? std::vector<std::string>() : it->second;
  }
  [[nodiscard]] std::string argument(size_t index) const { return index < arguments.size() ? arguments[index] : ""; }

  std::map<std::string, std::vector<std::string>> options;
  std::vector<std::string> arguments;
};

struct Command {
  std::string_view name;   ///< "run", "node join"
  std::string_view group;  ///< heading in the help; empty: hidden
  std::string_view summary;
  std::vector<Argument> arguments;
  std::vector<Option> options;
  std::string_view details;   ///< paragraphs, blank line between
  std::string_view examples;  ///< lines; those that begin with two blanks are commands
  bool json = false;          ///< has a --json form
  bool raw = false;           ///< all words that follow are another program's: none is an option of Godwit's
  int (*run)(Context& context, const Parsed& parsed) = nullptr;
};

// One row each; the file is commands/ and the name.
extern const Command kUp, kDown;
extern const Command kRun, kPs, kShow, kLogs, kAttach, kWait, kSignal, kKill;
extern const Command kMove, kCheckpoint, kHistory, kForget, kRestore, kImageShow, kCheck, kLimits;
extern const Command kNodes, kDrain, kNodeLeave, kUncordon, kTokenCreate;
extern const Command kPolicy, kPolicySet, kPlan, kTop, kSim, kBenchGrid;
extern const Command kCc, kCxx, kExplain;
extern const Command kKeyNew, kKeyShow, kDocNew, kDocShow, kDocVerify, kDocTrace, kDocRevoke;
extern const Command kController, kNode, kNodeJoin;
extern const Command kSiteInit, kSiteTrust, kSiteDrop, kSiteShow;
extern const Command kHelp, kVersion, kCompletion, kMan, kGrid, kArm, kComplete;

/// The table.
const std::vector<const Command*>& commands();
/// Options that every command takes.
const std::vector<Option>& common_options();
/// The command that the words begin with; null when there is none. `used` is how many words its name takes.
const Command* find_command(const std::vector<std::string>& words, size_t* used);

}  // namespace godwit::cli
