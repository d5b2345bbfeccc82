#include "cli/completion.h"

#include <fmt/format.h>
#include <signal.h>
#include <string.h>

#include <set>

#include "cli/command.h"

namespace godwit::cli {
namespace {

// Shell scripts aren't C++, although clang-format takes them for that.
// clang-format off
constexpr const char* kBash = R"sh(# bash completion for godwit: eval "$(godwit completion bash)"
_godwit() {
  local IFS=$'\n' line
  COMPREPLY=()
  for line in $("${COMP_WORDS[0]}" __complete -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null); do
    case $line in
      :file) compopt -o filenames; COMPREPLY=($(compgen -f -- "${COMP_WORDS[COMP_CWORD]}")); return ;;
      :dir) compopt -o filenames; COMPREPLY=($(compgen -d -- "${COMP_WORDS[COMP_CWORD]}")); return ;;
      *) COMPREPLY+=("${line%%$'\t'*}") ;;
    esac
  done
}
complete -F _godwit godwit
)sh";

constexpr const char* kZsh = R"sh(#compdef godwit
# zsh completion for godwit: eval "$(godwit completion zsh)"
_godwit() {
  local -a lines found
  lines=("${(@f)$("${words[1]}" __complete -- "${(@)words[2,CURRENT]}" 2>/dev/null)}")
  local line
  for line in $lines; do
    case $line in
      :file) _files; return ;;
      :dir) _files -/; return ;;
      *) found+=("${line/$'\t'/:}") ;;
    esac
  done
  _describe godwit found
}
compdef _godwit godwit
)sh";
// clang-format on

constexpr const char* kFish = R"sh(# fish completion for godwit: godwit completion fish | source
function __godwit_complete
  set -l words (commandline -opc) (commandline -ct)
  for line in (godwit __complete -- $words[2..-1] 2>/dev/null)
    switch $line
      case ':file' ':dir'
        __fish_complete_path (commandline -ct)
      case '*'
        echo $line
    end
  end
end
complete -c godwit -f -a '(__godwit_complete)'
)sh";

std::vector<std::string> units(Context& context) {
  std::vector<std::string> out;
  auto controller = context.controller();
  if (!controller) return out;
  wire::PsRequest request;
  wire::PsReply reply;
  grpc::ClientContext call;
  call.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(1));
  if (!(*controller)->Ps(&call, request, &reply).ok()) return out;
  for (const auto& u : reply.units()) out.push_back(u.spec().name() + "\ton " + u.node());
  return out;
}

std::vector<std::string> nodes(Context& context) {
  std::vector<std::string> out;
  auto controller = context.controller();
  if (!controller) return out;
  wire::NodesReply reply;
  grpc::ClientContext call;
  call.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(1));
  if (!(*controller)->Nodes(&call, {}, &reply).ok()) return out;
  for (const auto& n : reply.nodes()) out.push_back(fmt::format("{}\t{} units", n.name(), n.units()));
  return out;
}

std::vector<std::string> words_for(Context& context, Words kind) {
  switch (kind) {
    case Words::kFile:
    case Words::kCommand: return {":file"};
    case Words::kDirectory: return {":dir"};
    case Words::kUnit: return units(context);
    case Words::kNode: return nodes(context);
    case Words::kShell: return {"bash", "zsh", "fish"};
    case Words::kTcp: return {"refuse", "close"};
    case Words::kEngine: return {"pod", "portable"};
    case Words::kSignal: {
      std::vector<std::string> out;
      for (int n = 1; n < NSIG; ++n)
        if (const char* name = ::sigabbrev_np(n)) out.emplace_back(name);
      return out;
    }
    default: return {};
  }
}

const Option* option_named(const Command& command, const std::string& word) {
  for (const auto* list : {&command.options, &common_options()})
    for (const Option& o : *list)
      if (word == o.name || (!o.letter.empty() && word == o.letter)) return &o;
  return nullptr;
}

std::vector<std::string> command_words(const std::vector<std::string>& before) {
  std::set<std::string> out;
  for (const Command* c : commands()) {
    if (c->group.empty()) continue;
    const std::string name(c->name);
    const size_t space = name.find(' ');
    if (before.empty()) {
      const std::string first = name.substr(0, space);
      out.insert(space == std::string::npos ? fmt::format("{}\t{}", first, c->summary) : first);
    } else if (space != std::string::npos && name.substr(0, space) == before.front() && before.size() == 1) {
      out.insert(fmt::format("{}\t{}", name.substr(space + 1), c->summary));
    }
  }
  // "node" stands once with its explanation when both "node" and "node join" are commands.
  for (auto it = out.begin(); it != out.end();) {
    const auto next = std::next(it);
    it = next != out.end() && next->starts_with(*it + "\t") ? out.erase(it) : next;
  }
  return {out.begin(), out.end()};
}

}  // namespace

std::string completion_script(const std::string& shell) {
  if (shell == "bash") return kBash;
  if (shell == "zsh") return kZsh;
  if (shell == "fish") return kFish;
  return {};
}

std::vector<std::string> complete(Context& context, const std::vector<std::string>& words) {
  const std::string last = words.empty() ? "" : words.back();
  std::vector<std::string> before(words.begin(), words.empty() ? words.end() : words.end() - 1);
  std::vector<std::string> found;
  size_t used = 0;
  const Command* command = find_command(before, &used);
  if (!command) {
    found = command_words(before);
  } else {
    if (before.size() == 1) found = command_words(before);
    size_t seen = 0;
    const Option* open = nullptr;
    for (size_t i = used; i < before.size(); ++i) {
      if (open) {
        open = nullptr;
      } else if (before[i].starts_with("-")) {
        open = option_named(*command, before[i]);
        if (open && open->value.empty()) open = nullptr;
      } else {
        ++seen;
      }
    }
    if (open) {
      found = words_for(context, open->words);
    } else if (last.starts_with("-")) {
      for (const auto* list : {&command->options, &common_options()})
        for (const Option& o : *list) found.push_back(fmt::format("{}\t{}", o.name, o.help));
    } else if (!command->arguments.empty()) {
      const size_t index = std::min(seen, command->arguments.size() - 1);
      if (seen == index || command->arguments[index].many || command->arguments[index].rest)
        for (auto& w : words_for(context, command->arguments[index].words)) found.push_back(std::move(w));
    }
  }
  std::erase_if(found, [&](const std::string& w) { return !w.starts_with(":") && !w.starts_with(last); });
  return found;
}

}  // namespace godwit::cli
