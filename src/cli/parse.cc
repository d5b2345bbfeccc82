// CLI11 does the parsing, one App made from the command's row. Two things are ours: the message for an unknown option
// (with the closest one), and commands whose last argument is another program's command line: everything from its first
// word on is left alone.
#include "cli/parse.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <numeric>

namespace godwit::cli {
namespace {

bool takes_rest(const Command& command) { return !command.arguments.empty() && command.arguments.back().rest; }

const Option* find_option(const Command& command, std::string_view word) {
  for (const auto* list : {&command.options, &common_options()})
    for (const Option& o : *list)
      if (word == o.name || (!o.letter.empty() && word == o.letter)) return &o;
  return nullptr;
}

/// How many words belong to this command before the program's own begin.
size_t own_words(const Command& command, const std::vector<std::string>& words) {
  const size_t before = command.arguments.size() - 1;
  size_t seen = 0;
  for (size_t i = 0; i < words.size(); ++i) {
    const std::string& word = words[i];
    if (word == "--") return i;
    if (word.size() > 1 && word.front() == '-') {
      const Option* option = find_option(command, word.substr(0, word.find('=')));
      if (option && !option->value.empty() && word.find('=') == std::string::npos) ++i;
    } else if (seen++ == before) {
      return i;
    }
  }
  return words.size();
}

size_t distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), 0u);
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t change = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({change, row[j] + 1, row[j - 1] + 1});
    }
  }
  return row[b.size()];
}

std::string unknown(const Command& command, const std::string& word) {
  if (!word.starts_with("-")) return fmt::format("\"{}\" is one word too many for: godwit {}", word, command.name);
  std::vector<std::string> known;
  for (const auto* list : {&command.options, &common_options()})
    for (const Option& o : *list) known.emplace_back(o.name);
  return fmt::format("godwit {} has no option {}{}", command.name, word, did_you_mean(word, known));
}

}  // namespace

std::string did_you_mean(std::string_view word, const std::vector<std::string>& known) {
  std::vector<std::pair<size_t, std::string>> close;
  for (const auto& k : known) {
    const size_t d = word.size() >= 2 && k.starts_with(word) ? 1 : distance(word, k);
    if (d < k.size() && d <= (word.size() < 4 ? 1u : std::max<size_t>(2, word.size() / 3))) close.emplace_back(d, k);
  }
  if (close.empty()) return {};
  return fmt::format("; did you mean {}?", std::ranges::min(close).second);
}

Result<Parsed> parse(const Command& command, const std::vector<std::string>& words) {
  std::vector<std::string> own = words;
  std::vector<std::string> rest;
  if (takes_rest(command)) {
    const size_t cut = own_words(command, words);
    own.resize(cut);
    const size_t from = cut < words.size() && words[cut] == "--" ? cut + 1 : cut;
    rest.assign(words.begin() + static_cast<std::ptrdiff_t>(from), words.end());
  }

  CLI::App app;
  app.set_help_flag();
  app.allow_extras();
  std::map<std::string, bool> flags;
  Parsed parsed;
  for (const auto* list : {&command.options, &common_options()})
    for (const Option& o : *list) {
      const std::string names = o.letter.empty() ? std::string(o.name) : fmt::format("{},{}", o.letter, o.name);
      if (o.value.empty()) {
        app.add_flag(names, flags[std::string(o.name)]);
      } else {
        app.add_option(names, parsed.options[std::string(o.name)])
            ->type_size(1)
            ->expected(1)
            ->allow_extra_args(false)
            ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
      }
    }
  try {
    std::vector<std::string> reversed(own.rbegin(), own.rend());
    app.parse(reversed);
  } catch (const CLI::ArgumentMismatch&) {
    return fail(Code::kUsage, fmt::format("an option of godwit {} lacks its value", command.name));
  } catch (const CLI::Error& e) {
    return fail(Code::kUsage, e.what());
  }
  for (auto it = parsed.options.begin(); it != parsed.options.end();)
    it = it->second.empty() ? parsed.options.erase(it) : std::next(it);
  for (const auto& [name, given] : flags)
    if (given) parsed.options[name] = {};
  bool only_words = false;
  for (const std::string& word : app.remaining()) {
    if (word == "--" && !only_words) {
      only_words = true;
      continue;
    }
    if (!only_words && word.size() > 1 && word.front() == '-') return fail(Code::kUsage, unknown(command, word));
    parsed.arguments.push_back(word);
  }
  for (auto& word : rest) parsed.arguments.push_back(std::move(word));

  if (parsed.has("--help")) return parsed;
  const bool many = !command.arguments.empty() && command.arguments.back().many;
  const size_t most = many || takes_rest(command) ? parsed.arguments.size() : command.arguments.size();
  if (parsed.arguments.size() > most) return fail(Code::kUsage, unknown(command, parsed.arguments[most]));
  for (size_t i = parsed.arguments.size(); i < command.arguments.size(); ++i)
    if (!command.arguments[i].optional)
      return fail(Code::kUsage, fmt::format("godwit {} needs {}: {}", command.name, command.arguments[i].name,
                                            command.arguments[i].help));
  return parsed;
}

Result<long> number(const Parsed& parsed, std::string_view option, long least, long most, long otherwise) {
  if (!parsed.has(option)) return otherwise;
  const std::string text = parsed.get(option);
  size_t used = 0;
  long value = 0;
  try {
    value = std::stol(text, &used);
  } catch (const std::exception&) {
    used = 0;
  }
  if (used == 0 || used != text.size() || value < least || value > most)
    return fail(Code::kUsage, fmt::format("{} wants a number from {} to {}, not \"{}\"", option, least, most, text));
  return value;
}

}  // namespace godwit::cli
