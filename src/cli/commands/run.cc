#include <fmt/format.h>
#include <grp.h>
#include <unistd.h>

#include <climits>
#include <cstdlib>

#include "base/base.h"
#include "cli/command.h"
#include "cli/common.h"
#include "cli/context.h"
#include "cli/present.h"
#include "cli/program_kind.h"
#include "cli/session.h"
#include "cli/user_key.h"

extern char** environ;  // NOLINT

namespace godwit::cli {
namespace {

/// "NAME=VALUE", in place of the one that was there.
void set_variable(wire::UnitSpec& spec, const std::string& variable) {
  const std::string name = variable.substr(0, variable.find('=') + 1);
  auto* env = spec.mutable_env();
  env->erase(std::remove_if(env->begin(), env->end(), [&](const auto& have) { return have.starts_with(name); }),
             env->end());
  spec.add_env(variable);
}

/// The caller's environment without what is meant for this program itself.
void copy_environment(wire::UnitSpec& spec, const std::vector<std::string>& more) {
  for (char** entry = environ; *entry; ++entry)
    if (!std::string_view(*entry).starts_with("GODWIT_")) spec.add_env(*entry);
  for (const auto& e : more) set_variable(spec, e);
}

void copy_user(wire::UnitSpec& spec) {
  spec.set_uid(::geteuid());
  spec.set_gid(::getegid());
  std::vector<gid_t> groups(NGROUPS_MAX);
  const int count = ::getgroups(static_cast<int>(groups.size()), groups.data());
  for (int i = 0; i < count; ++i) spec.add_groups(groups[static_cast<size_t>(i)]);
}

/// --progress reads:PATH or file:PATH, with the path made absolute: the node sees the unit's files, not its directory.
Result<std::string> progress_place(const Parsed& parsed, const std::string& cwd) {
  const std::string word = parsed.get("--progress");
  if (word.empty()) return word;
  const size_t colon = word.find(':');
  const std::string kind = word.substr(0, colon);
  if (colon == std::string::npos || colon + 1 == word.size() || (kind != "reads" && kind != "file"))
    return fail(Code::kUsage, fmt::format("--progress is reads:PATH or file:PATH, not \"{}\"", word));
  const std::string path = word.substr(colon + 1);
  if (path.starts_with("~"))
    return fail(Code::kUsage,
                fmt::format("the shell replaces no ~ behind a colon: write --progress {}:\"$HOME\"…", kind));
  return kind + ":" + (path.front() == '/' ? path : cwd + "/" + path);
}

/// The document that was given, or one that the user's own key signs now. A user who has made no key, and a program that isn't on
/// this host, have none.
Result<void> add_delegation(wire::UnitSpec& spec, const std::string& file) {
  if (!file.empty()) {
    TRY(std::string text, read_named_file(file, delegation::kMaxEnvelope + 1));
    if (text.ends_with('\n')) text.pop_back();
    spec.set_delegation(text);
    return {};
  }
  const auto key = delegation::PrivateKey::load(user_key_path(""));
  if (!key && key.error().errnum == ENOENT) return {};
  if (!key) return std::unexpected(key.error());
  const auto made = new_delegation(*key, {spec.argv().begin(), spec.argv().end()}, spec.cwd(), "");
  if (made) spec.set_delegation(made->encode());
  const bool elsewhere = !made && (made.error().code == Code::kNotFound || made.error().errnum == ENOENT);
  return made || elsewhere ? Result<void>() : std::unexpected(made.error());
}

Result<wire::UnitSpec> make_spec(const Parsed& parsed) {
  wire::UnitSpec spec;
  spec.set_name(parsed.get("--name"));
  for (const auto& word : parsed.arguments) spec.add_argv(word);
  for (const auto& e : parsed.all("--env"))
    if (e.find('=') == std::string::npos || e.front() == '=')
      return fail(Code::kUsage, fmt::format("--env wants NAME=VALUE, not \"{}\"", e));
  copy_environment(spec, parsed.all("--env"));
  copy_user(spec);
  if (parsed.has("--dir")) {
    TRY(const std::string dir, real_path(parsed.get("--dir")));
    spec.set_dir(dir);
  }
  for (const auto& path : parsed.all("--with")) {
    TRY(const std::string real, real_path(path));
    spec.add_with(real);
  }
  TRY(const std::string here, real_path("."));
  const bool inside = !spec.dir().empty() && (here + "/").starts_with(spec.dir() + "/");
  spec.set_cwd(spec.dir().empty() || inside ? here : spec.dir());
  if (parsed.has("--cwd")) {
    if (parsed.get("--cwd").front() != '/') return fail(Code::kUsage, "--cwd wants an absolute path");
    spec.set_cwd(parsed.get("--cwd"));
  }
  TRY(const auto tcp, tcp_policy(parsed));
  spec.set_tcp(tcp);
  TRY(const std::string progress, progress_place(parsed, spec.cwd()));
  spec.set_progress(progress);
  // The program needn't know the path: godwit_progress() of <godwit.h> looks here.
  if (progress.starts_with("file:")) set_variable(spec, "GODWIT_PROGRESS=" + progress.substr(5));
  spec.set_pinned(parsed.has("--pin"));
  for (const auto& node : parsed.all("--avoid")) spec.add_avoid(node);
  spec.set_tty(parsed.has("--tty"));
  spec.set_interactive(parsed.has("--interactive") || parsed.has("--tty"));
  add_program_kind(spec);
  if (!parsed.has("--no-delegation")) TRY_DO(add_delegation(spec, parsed.get("--delegation")));
  return spec;
}

/// Why a program fits nowhere matters less than that there is none.
int report(Context& context, const grpc::Status& status, const wire::UnitSpec& spec) {
  const auto failure = rpc::failure_of(status);
  if (failure.error.code != Code::kRefused || !program_is_missing(spec)) return context.report(status);
  return context.report(
      Error{Code::kNotFound, 0, fmt::format("{}: no such file here ({})", spec.argv(0), failure.error.text)});
}

int run(Context& context, const Parsed& parsed) {
  OR_REPORT(wire::UnitSpec spec, make_spec(parsed));
  if (spec.tty()) {
    if (!::isatty(STDIN_FILENO))
      return context.report(Error{Code::kUsage, 0, "-t needs a terminal, and standard input is none; use -i alone"});
    *spec.mutable_window() = window_size();
  }
  OR_REPORT(auto* controller, context.controller());
  wire::RunRequest request;
  *request.mutable_spec() = spec;
  request.set_node(parsed.get("--node"));
  wire::UnitReply reply;
  grpc::ClientContext call;
  if (const auto status = controller->Run(&call, request, &reply); !status.ok()) return report(context, status, spec);
  if (spec.interactive()) return attach_session(context, reply.unit().id(), spec.tty());
  context.print(context.json ? unit_json(reply.unit()) : reply.unit().id() + "\n");
  return kDone;
}

}  // namespace

const Command kRun = {
    .name = "run",
    .group = "units",
    .summary = "start a program as a unit that can be moved",
    .arguments = {{"CMD", "the program and its arguments", Words::kCommand, false, true}},
    .options = {{"--name", "-n", "NAME", "the unit's name; made from the program's when left out"},
                {"--node", "", "NODE", "where it starts; the least loaded node when left out", Words::kNode},
                {"--dir", "-d", "DIR", "a work directory that travels with the unit, with all that is written to it",
                 Words::kDirectory},
                {"--with", "", "PATH", "a file or tree to carry beside what the program has open", Words::kFile, true},
                {"--cwd", "", "DIR", "the directory it starts in, as an absolute path on the node", Words::kDirectory},
                {"--progress", "", "WHERE",
                 "where its progress shows: reads:PATH, the part of an input that it has read; or "
                 "file:PATH, which holds \"DONE TOTAL\" and is named to it by GODWIT_PROGRESS"},
                {"--pin", "", "", "rescheduling leaves it where it is"},
                {"--avoid", "", "NODE", "rescheduling doesn't move it there", Words::kNode, true},
                {"--env", "-e", "NAME=VALUE", "one more environment variable", Words::kNone, true},
                {"--delegation", "", "FILE", "what it may do and where it may go: a document of godwit delegation new",
                 Words::kFile},
                {"--no-delegation", "", "",
                 "sign none, although there is a key: for a program that differs on the node"},
                {"--tcp", "", "POLICY", "at a move, established TCP connections are refused or closed", Words::kTcp},
                {"--interactive", "-i", "", "join this standard input and output to it, and wait for its end"},
                {"--tty", "-t", "", "give it a terminal (with -i: -it)"}},
    .details =
        "Starts CMD on a node, with this user's identity, environment and directory, and prints the unit's id. The "
        "program is not changed and needs no preparation. Its standard output and error are kept: godwit logs.\n\n"
        "The unit has a /tmp, /var/tmp and /dev/shm of its own, which move with it, unless its command line, its "
        "directory, --with or TMPDIR names something that the node has there.\n\n"
        "A program says how far it is with godwit_progress(done, total) of <godwit.h>, which writes the file of "
        "--progress "
        "file:PATH; any other way to write it does as well. A PATH in the unit's own /tmp or in --dir moves with "
        "it.\n\n"
        "A program named by --with is carried with its libraries. Name those that the unit will start later if it is "
        "to "
        "move to another distribution.\n\n"
        "With --delegation the unit may do, and go, only what the document allows. Without, a user who has a key "
        "(godwit key "
        "new) signs one that allows everything for a year, so that its moves are on record all the same: godwit "
        "delegation "
        "trace.\n\n"
        "With -i or -it the command stays joined to the unit wherever it moves, and ends with status 0 when the "
        "program ended with 0, else 1. The keys ctrl-p ctrl-q leave a terminal without ending the program.",
    .examples =
        "  godwit run -- blastn -db nt -query q.fa -out report.txt\n"
        "  godwit run --name sim --node node-1 --dir ~/sim -- ./simulate --steps 1000000\n"
        "  godwit run --progress file:/tmp/progress -- ./simulate --steps 1000000\n"
        "  godwit run -it -- bash",
    .json = true,
    .run = run};

}  // namespace godwit::cli
