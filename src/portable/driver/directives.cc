// A reader of conditional directives.
//
// clang has no switch that lists them, and what a branch for x86_64 would have said never reaches its output: so the source is
// read here, as far as that needs: lines joined by a backslash, comments, #if … #endif. Strings aren't looked into: a directive
// begins its line, and one inside of a raw string would be told of wrongly, which does no harm.
#include "portable/driver/directives.h"

#include <cctype>

namespace godwit::portable {
namespace {

/// The source without comments; every line keeps its number and what stays its column.
std::string without_comments(std::string_view source) {
  std::string text(source);
  enum { kCode, kLine, kBlock, kString } in = kCode;
  char quote = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i], next = i + 1 < text.size() ? text[i + 1] : '\0';
    if (in == kCode && c == '/' && (next == '/' || next == '*')) in = next == '/' ? kLine : kBlock;
    if (in == kCode && (c == '"' || c == '\'')) {
      in = kString, quote = c;
    } else if (in == kString) {
      if (c == '\\' && next != '\n') ++i;
      if (c == quote || (c == '\n' && text[i - 1] != '\\')) in = kCode;
    } else if (in == kLine) {
      if (c == '\n' && text[i - 1] != '\\')
        in = kCode;
      else if (c != '\n' && c != '\\')
        text[i] = ' ';
    } else if (in == kBlock) {
      const bool end = c == '*' && next == '/';
      if (c != '\n') text[i] = ' ';
      if (end) text[++i] = ' ', in = kCode;
    }
  }
  return text;
}

bool in_name(char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_'; }

bool begins_as(std::string_view name, std::string_view match) {
  for (size_t at = 0; at < match.size();) {
    const size_t blank = std::min(match.find(' ', at), match.size());
    if (name.starts_with(match.substr(at, blank - at))) return true;
    at = blank + 1;
  }
  return false;
}

std::string without_blanks(std::string_view text) {
  std::string result;
  for (const char c : text)
    if (!std::isspace(static_cast<unsigned char>(c)) && c != '\\') result += c;
  return result;
}

class Reader {
 public:
  Reader(std::string_view source, std::string_view match) : text_(without_comments(source)), match_(match) {}

  std::vector<Directive> read() {
    unsigned line = 1;
    for (size_t at = 0; at < text_.size();) {
      size_t end = std::min(text_.find('\n', at), text_.size());
      while (end < text_.size() && end > at && text_[end - 1] == '\\')
        end = std::min(text_.find('\n', end + 1), text_.size());
      const auto whole = std::string_view(text_).substr(at, end - at);
      take(whole, line);
      for (const char c : whole) line += c == '\n';
      ++line;
      at = end + 1;
    }
    return std::move(found_);
  }

 private:
  void take(std::string_view line, unsigned number) {
    size_t at = line.find_first_not_of(" \t");
    if (at == std::string_view::npos || line[at] != '#') return;
    at = line.find_first_not_of(" \t", at + 1);
    if (at == std::string_view::npos) return;
    size_t end = at;
    while (end < line.size() && in_name(line[end])) ++end;
    const auto word = line.substr(at, end - at);
    const auto condition = line.substr(end);
    if (word.starts_with("if")) {
      look(line, end, number);
      branches_.push_back(branch_of(word, condition));
    } else if (branches_.empty()) {
      return;
    } else if (word == "endif") {
      branches_.pop_back();
    } else if (word == "else") {
      branches_.back() = branches_.back().of_godwit ? State{!branches_.back().hidden, true} : State{};
    } else if (word.starts_with("elif")) {
      branches_.back() = {};
      look(line, end, number);
    }
  }

  /// Is what follows compiled by godwit cc? Only conditions on __godwit__ alone are understood.
  struct State {
    bool hidden = false;
    bool of_godwit = false;
  };

  static State branch_of(std::string_view word, std::string_view condition) {
    const auto text = without_blanks(condition);
    const bool named = text == "__godwit__" || text == "defined(__godwit__)" || text == "defined__godwit__";
    const bool negated = text == "!defined(__godwit__)" || text == "!defined__godwit__";
    if (!named && !negated) return {};
    return {(word == "ifndef") != negated, true};
  }

  void look(std::string_view line, size_t at, unsigned number) {
    for (const State& s : branches_)
      if (s.hidden) return;
    if (line.find("__godwit__", at) != std::string_view::npos) return;
    unsigned column = static_cast<unsigned>(at) + 1;
    for (; at < line.size(); ++at, ++column) {
      if (line[at] == '\n') ++number, column = 0;
      if (!in_name(line[at]) || (at > 0 && in_name(line[at - 1]))) continue;
      size_t end = at;
      while (end < line.size() && in_name(line[end])) ++end;
      if (const auto name = line.substr(at, end - at); begins_as(name, match_)) {
        found_.push_back({number, column, std::string(name)});
        return;  // one is enough for a line
      }
    }
  }

  std::string text_;
  std::string_view match_;
  std::vector<State> branches_;
  std::vector<Directive> found_;
};

}  // namespace

std::vector<Directive> processor_directives(std::string_view source, std::string_view match) {
  return Reader(source, match).read();
}

}  // namespace godwit::portable
