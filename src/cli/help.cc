#include "cli/help.h"

#include <fmt/format.h>

#include <algorithm>

namespace godwit::cli {
namespace {

struct Group {
  std::string_view name;
  std::string_view title;
};
constexpr Group kGroups[] = {{"grid", "A grid on this machine"},
                             {"units", "Units"},
                             {"moving", "Moving and going back"},
                             {"portable programs", "Programs for every architecture"},
                             {"nodes", "Nodes"},
                             {"rescheduling", "What should run where"},
                             {"delegation", "Who may do what"},
                             {"daemons", "Daemons"},
                             {"program", "This program"}};

constexpr size_t kWidth = 100;

/// Breaks paragraphs at blanks.
std::string wrap(std::string_view text, std::string_view indent) {
  std::string out;
  std::string line;
  const auto flush = [&] {
    if (!line.empty()) out += std::string(indent) + line + "\n";
    line.clear();
  };
  for (size_t from = 0; from < text.size();) {
    size_t end = std::min(text.find_first_of(" \n", from), text.size());
    const std::string_view word = text.substr(from, end - from);
    if (indent.size() + line.size() + word.size() + 1 > kWidth) flush();
    if (!line.empty() && !word.empty()) line += ' ';
    line += word;
    if (end < text.size() && text[end] == '\n') {
      flush();
      if (end + 1 < text.size() && text[end + 1] == '\n') {
        out += "\n";
        ++end;
      }
    }
    from = end + 1;
  }
  flush();
  return out;
}

std::string option_words(const Option& o) {
  std::string out = o.letter.empty() ? "    " : fmt::format("{}, ", o.letter);
  out += o.name;
  if (!o.value.empty()) out += fmt::format(" {}", o.value);
  return out;
}

std::string option_list(const std::vector<Option>& options) {
  size_t widest = 0;
  for (const Option& o : options) widest = std::max(widest, option_words(o).size());
  std::string out;
  for (const Option& o : options) {
    const std::string repeated = o.repeated ? " (may be repeated)" : "";
    out += fmt::format("  {:<{}}  {}{}\n", option_words(o), widest, o.help, repeated);
  }
  return out;
}

std::vector<Option> common_for(const Command& command) {
  std::vector<Option> out;
  for (const Option& o : common_options())
    if (o.name != "--json" || command.json) out.push_back(o);
  return out;
}

/// man(7): a backslash is an escape, a line that begins with '.' or ''' a request, '-' a typographic hyphen.
std::string roff(std::string_view text) {
  std::string out;
  bool line_start = true;
  for (const char c : text) {
    if (line_start && (c == '.' || c == '\'')) out += "\\&";
    if (c == '\\')
      out += "\\e";
    else if (c == '-')
      out += "\\-";
    else
      out += c;
    line_start = c == '\n';
  }
  return out;
}

std::string roff_paragraphs(std::string_view text) {
  std::string out;
  for (size_t from = 0; from < text.size();) {
    const size_t end = std::min(text.find("\n\n", from), text.size());
    out += ".PP\n" + roff(text.substr(from, end - from)) + "\n";
    from = end + 2;
  }
  return out;
}

std::string roff_options(const std::vector<Option>& options) {
  std::string out;
  for (const Option& o : options) {
    out += ".TP\n";
    if (!o.letter.empty()) out += fmt::format("\\fB{}\\fR, ", roff(o.letter));
    out += fmt::format("\\fB{}\\fR", roff(o.name));
    if (!o.value.empty()) out += fmt::format(" \\fI{}\\fR", roff(o.value));
    out += "\n" + roff(o.help) + (o.repeated ? " (may be repeated)" : "") + "\n";
  }
  return out;
}

constexpr std::string_view kStatus =
    "0: done. 1: the program itself failed (run \\-i, wait, attach). 2: wrong usage. 3: refused, with every reason; "
    "nothing "
    "was touched. 4: it was tried, failed, and was rolled back.";

}  // namespace

std::string usage_line(const Command& command) {
  std::string out = fmt::format("godwit {}", command.name);
  if (!command.options.empty()) out += " [OPTIONS]";
  for (const Argument& a : command.arguments) {
    const std::string words =
        a.rest ? fmt::format("-- {} [ARGS…]", a.name) : fmt::format("{}{}", a.name, a.many ? "…" : "");
    out += a.optional ? fmt::format(" [{}]", words) : " " + words;
  }
  return out;
}

std::string overview() {
  std::string out =
      "godwit moves running, unmodified programs between machines.\n\n"
      "  godwit up --nodes 3              a grid on this machine\n"
      "  godwit run --name sim -- CMD     start a program in it\n"
      "  godwit move sim --to node-2      move it while it runs\n";
  for (const Group& g : kGroups) {
    out += fmt::format("\n{}\n", g.title);
    for (const Command* c : commands())
      if (c->group == g.name) out += fmt::format("  {:<18}{}\n", c->name, c->summary);
  }
  return out + "\nMore: godwit help COMMAND\n";
}

std::string help(const Command& command) {
  std::string out = fmt::format("{}\n\n  {}\n\n", usage_line(command), command.summary);
  out += wrap(command.details, "");
  if (!command.arguments.empty()) {
    out += "\nArguments\n";
    for (const Argument& a : command.arguments) out += fmt::format("  {:<12}  {}\n", a.name, a.help);
  }
  std::vector<Option> options = command.options;
  for (const Option& o : common_for(command)) options.push_back(o);
  out += "\nOptions\n" + option_list(options);
  if (!command.examples.empty()) out += fmt::format("\nExamples\n{}\n", command.examples);
  return out;
}

std::string man_name(const Command& command) {
  std::string name = fmt::format("godwit-{}.1", command.name);
  std::ranges::replace(name, ' ', '-');
  return name;
}

std::string man_page(const Command& command) {
  std::string title = man_name(command);
  title.resize(title.size() - 2);
  std::string upper = title;
  std::ranges::transform(upper, upper.begin(), [](unsigned char c) { return static_cast<char>(::toupper(c)); });
  std::string out = fmt::format(".TH {} 1 \"\" \"godwit\" \"Godwit\"\n", roff(upper));
  out += fmt::format(".SH NAME\n{} \\- {}\n", roff(title), roff(command.summary));
  out += fmt::format(".SH SYNOPSIS\n.B {}\n", roff(usage_line(command)));
  out += ".SH DESCRIPTION\n" + roff_paragraphs(command.details);
  if (!command.arguments.empty()) {
    out += ".SH ARGUMENTS\n";
    for (const Argument& a : command.arguments) out += fmt::format(".TP\n.I {}\n{}\n", roff(a.name), roff(a.help));
  }
  std::vector<Option> options = command.options;
  for (const Option& o : common_for(command)) options.push_back(o);
  out += ".SH OPTIONS\n" + roff_options(options);
  out += fmt::format(".SH EXIT STATUS\n{}\n", kStatus);
  if (!command.examples.empty()) out += fmt::format(".SH EXAMPLES\n.nf\n{}\n.fi\n", roff(command.examples));
  return out + ".SH SEE ALSO\n.BR godwit (1)\n";
}

std::string overview_man() {
  std::string out =
      ".TH GODWIT 1 \"\" \"godwit\" \"Godwit\"\n.SH NAME\ngodwit \\- move running programs between machines\n";
  out += ".SH SYNOPSIS\n.B godwit\n.I COMMAND\n[OPTIONS]\n.SH DESCRIPTION\n.PP\n";
  out +=
      "Godwit moves running, unmodified programs between machines: to another node, or into an image that can be gone "
      "back to.\n";
  for (const Group& g : kGroups) {
    out += fmt::format(".SS {}\n", g.title);
    for (const Command* c : commands()) {
      if (c->group != g.name) continue;
      std::string page = man_name(*c);
      page.resize(page.size() - 2);
      out += fmt::format(".TP\n.BR {} (1)\n{}\n", roff(page), roff(c->summary));
    }
  }
  out += ".SH OPTIONS\n" + roff_options(common_options());
  out += fmt::format(".SH EXIT STATUS\n{}\n", kStatus);
  out += ".SH ENVIRONMENT\n.TP\n.B GODWIT_STATE\nthe grid's state directory, when \\fB\\-\\-state\\fR isn't given\n";
  out +=
      ".SH FILES\n.TP\n.I /var/lib/godwit\nthe state directory of root; other users have "
      "\\fI~/.local/state/godwit\\fR\n";
  return out;
}

}  // namespace godwit::cli
