#include "keeper/body.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <charconv>
#include <sstream>

#include "base/base.h"
#include "base/program_file.h"
#include "files/mounts.h"
#include "files/own_directories.h"
#include "keeper/output_file.h"
#include "keeper/streams.h"
#include "portable/portable.h"

namespace godwit::keeper {
Result<std::unique_ptr<Body>> Body::open(const std::string& unit_dir, const std::string& emulated) {
  std::unique_ptr<Body> body(new Body());
  body->unit_dir_ = unit_dir;
  body->emulated_ = emulated;
  TRY(body->output_, sys::open(unit_dir + "/out.log", O_RDWR | O_CREAT, 0644));
  TRY(body->proc_, sys::open("/proc", O_PATH | O_DIRECTORY));
  return body;
}

Result<void> Body::enter(const wire::UnitSpec& spec, std::optional<pod::ClockOffsets> time) {
  // Init, and the relay beside a program with an input.
  const unsigned own = spec.tty() || spec.interactive() ? 2 : 1;
  if (rules_.any()) {
    TRY(confinement_, confine::Confinement::make(rules_, unit_dir_, own));
  }
  pod::SandboxOptions options;
  options.time = time;
  options.build_view = [this] { return build_view(); };
  TRY(options.proc, sys::dup(proc_.get()));
  keep_state_visible();
  TRY(sandbox_, pod::Sandbox::enter(std::move(options)));
  if (!confinement_) return {};
  TRY_DO(confinement_->enter_view());
  const confine::Bonds bonds = confinement_->bonds();
  pod::Sandbox::Bonds of_init{bonds.groups, bonds.ruleset, {}, bonds.capabilities};
  for (const auto& rule : bonds.late) of_init.late.push_back({rule.path, rule.access, rule.access_of_file});
  sandbox_->bind(std::move(of_init));
  return {};
}

Result<void> Body::arm_limits() { return confinement_ ? confinement_->arm_limits() : Result<void>(); }

Result<void> Body::arm_addresses() { return confinement_ ? confinement_->arm_addresses() : Result<void>(); }

// In the new mount namespace. The output file first: build_view() takes along what is mounted, and afterwards the unit's
// directory may lie below an overlay, where a bind would be of the overlay's file.
Result<void> Body::build_view() {
  TRY_DO(bind_output(unit_dir_ + "/out.log"));
  TRY_DO(place_relay());
  TRY(unit_mount_, sys::open(kUnitMount, O_PATH | O_DIRECTORY));
  TRY(auto layers, files::layer_directories(view_));
  for (auto& layer : layers) layers_.push_back({layer.path, std::move(layer.fd)});
  for (const auto& bind : view_.binds) {
    if (!bind.own) continue;
    TRY(auto directory, bind.from.empty() ? sys::open_at(memory_.at(bind.to), ".", O_RDONLY | O_DIRECTORY)
                                          : sys::open(bind.from, O_RDONLY | O_DIRECTORY));
    own_[bind.to] = std::move(directory);
  }
  if (view_.layers.empty() && view_.binds.empty()) return {};
  const files::MemoryMounts memory = std::move(memory_);
  return files::build_view(view_, memory);
}

// A unit that starts here: what lies in those directories is made by it.
Result<void> Body::plan_own_directories(const wire::UnitSpec& spec) {
  files::StartsWith unit{spec.dir(), spec.cwd(), {spec.argv().begin(), spec.argv().end()}};
  unit.words.insert(unit.words.end(), spec.with().begin(), spec.with().end());
  for (const std::string& variable : spec.env())
    if (variable.starts_with("TMPDIR=")) unit.words.push_back(variable);
  for (const auto& own : files::own_directories_of(unit)) {
    const std::string path(own.path);
    const std::string directory = own.in_memory ? "" : unit_dir_ + "/own" + path;
    if (own.in_memory) {
      TRY(memory_[path], files::memory_mount());
    } else {
      TRY_DO(sys::make_dirs(directory, 0700));
      if (::chmod(directory.c_str(), 01777) < 0) return fail_errno(errno, "chmod of " + directory);
    }
    view_.binds.push_back({directory, path, true});
    if (files::lies_below(spec.dir(), path)) view_.binds.push_back({spec.dir(), spec.dir(), false});
  }
  return {};
}

// The node's state may lie in a directory that the unit gets another one for: it stays where it is.
void Body::keep_state_visible() {
  const std::string state = unit_dir_.substr(0, unit_dir_.rfind("/units/"));
  for (const auto& bind : view_.binds) {
    if (!bind.own || !files::lies_below(state, bind.to)) continue;
    view_.binds.push_back({state, state, false});
    return;
  }
}

/// A node whose architecture isn't the machine's: its starting script chooses that part of a portable program.
Result<void> Body::emulate(pod::Sandbox::Program& program) const {
  const std::string file = program_file(program.argv[0], program.cwd);
  if (file.empty()) return fail(Code::kRefused, "no program named " + program.argv[0] + " is in the node's PATH");
  TRY(const Fd opened, sys::open(file, O_RDONLY));
  if (!portable::read_package(opened))
    return fail(Code::kRefused, "this node is an emulated " + emulated_ + ", and " + file +
                                    " isn't a portable program; compile it with godwit cc or godwit c++");
  TRY(const std::string emulator, portable::find_emulator(emulated_));
  program.env.push_back("GODWIT_ARCH=" + emulated_);
  program.env.push_back("GODWIT_EMULATOR=" + emulator);
  return {};
}

Result<void> Body::launch(const wire::UnitSpec& spec) {
  TRY_DO(plan_own_directories(spec));
  TRY_DO(enter(spec, std::nullopt));
  TRY_DO(arm_limits());
  TRY_DO(arm_addresses());
  pod::Sandbox::Program program;
  program.argv.assign(spec.argv().begin(), spec.argv().end());
  return start(spec, std::move(program));
}

// As the unit's first program, in its namespaces.
Result<void> Body::start(const wire::UnitSpec& spec, pod::Sandbox::Program program) {
  program.env.insert(program.env.end(), spec.env().begin(), spec.env().end());
  program.cwd = !spec.cwd().empty() ? spec.cwd() : !spec.dir().empty() ? spec.dir() : "/";
  if (!emulated_.empty()) TRY_DO(emulate(program));
  TRY(const Streams streams, make_streams(spec, program));
  if (spec.uid() != 0) program.uid = spec.uid();
  if (spec.gid() != 0) program.gid = spec.gid();
  TRY(const pid_t init, sandbox_->launch(program));
  init_ = init;
  return {};
}

void Body::destroy() {
  init_ = 0;
  if (sandbox_) sandbox_->kill();
  confinement_.reset();
}

void Body::kill_all() const {
  if (const pid_t init = init_; init > 0) ::kill(init, SIGKILL);
}

Result<void> Body::signal_main(int signal) const {
  const pid_t init = init_;
  if (init <= 0) return fail(Code::kGone, "there is no unit here");
  if (signal < 0 || signal > 64) return fail(Code::kUsage, "no such signal: " + std::to_string(signal));
  for (const pid_t child : pod::processes_below(proc_, init)) {
    if (pod::pid_inside(proc_, child) != kMainPid) continue;
    // The number can't be used anew meanwhile: init has not reaped it, or it was there a moment ago; a pidfd closes the gap.
    auto fd = sys::pidfd_open(child);
    if (!fd) break;
    if (pod::pid_inside(proc_, child) != kMainPid) break;
    if (::syscall(424 /* pidfd_send_signal */, fd->get(), signal, nullptr, 0) < 0) return fail_errno(errno, "signal");
    return {};
  }
  return fail(Code::kGone, "the unit's main process has ended");
}

int Body::exits_fd() const { return sandbox_ && init_ != 0 ? sandbox_->exits().get() : -1; }

Result<std::optional<wire::ExitStatus>> Body::poll_end() {
  if (!sandbox_ || init_ == 0) return std::nullopt;
  TRY_DO(sandbox_->read_exits());
  if (!sandbox_->ended()) return std::nullopt;
  wire::ExitStatus exit;
  if (const auto status = sandbox_->main_status()) {
    if (WIFSIGNALED(*status)) {
      exit.set_signal(WTERMSIG(*status));
    } else {
      exit.set_status(WEXITSTATUS(*status));
    }
  } else {
    exit.set_signal(SIGKILL);  // init was killed, and everybody with it
  }
  destroy();
  return exit;
}

std::vector<pid_t> Body::processes() const {
  return init_ > 0 ? pod::processes_below(proc_, init_) : std::vector<pid_t>();
}

std::set<files::FileKey> Body::mapped_files(std::span<const engine::FileMapping> mappings) const {
  std::set<files::FileKey> keys;
  for (const auto& m : mappings) {
    const auto st = sys::stat_at(proc_, fmt::format("{}/map_files/{:x}-{:x}", m.host_pid, m.start, m.end));
    if (st) keys.insert(files::FileKey{st->st_dev, st->st_ino});
  }
  return keys;
}

// The unit may stand still meanwhile: of a line that isn't of such a mapping only its flags are looked at.
std::set<files::FileKey> Body::shared_mappings() const {
  std::vector<engine::FileMapping> mappings;
  for (const pid_t pid : processes()) {
    const auto text = io::read_file_at(proc_, std::to_string(pid) + "/maps");
    if (!text) continue;
    for (size_t at = 0; at < text->size();) {
      const size_t end = std::min(text->find('\n', at), text->size());
      const std::string_view line = std::string_view(*text).substr(at, end - at);
      at = end + 1;
      // proc_pid_maps(5): address perms offset dev inode path; perms are "rwxs"
      const size_t perms = line.find(' ') + 1;
      if (perms == 0 || perms + 4 > line.size() || line[perms + 1] != 'w' || line[perms + 3] != 's') continue;
      engine::FileMapping mapping{.host_pid = pid};
      if (std::sscanf(std::string(line).c_str(), "%lx-%lx", &mapping.start, &mapping.end) == 2)
        mappings.push_back(mapping);
    }
  }
  return mapped_files(mappings);
}

Body::Load Body::load() const {
  Load load;
  const double tick = 1.0 / static_cast<double>(::sysconf(_SC_CLK_TCK));
  const auto page = static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
  for (const pid_t pid : processes()) {
    const auto text = io::read_file_at(proc_, std::to_string(pid) + "/stat");
    if (!text) continue;
    const size_t comm_end = text->rfind(')');
    if (comm_end == std::string::npos) continue;
    load.processes++;
    std::istringstream in(text->substr(comm_end + 2));
    std::string skip;
    for (int i = 3; i < 14; i++) in >> skip;  // proc(5): fields from state (3) on; utime is 14, stime 15, rss 24
    uint64_t user = 0, system = 0, rss = 0;
    in >> user >> system;
    for (int i = 16; i < 24; i++) in >> skip;
    in >> rss;
    load.cpu_seconds += static_cast<double>(user + system) * tick;
    load.memory_bytes += rss * page;
  }
  return load;
}

}  // namespace godwit::keeper
