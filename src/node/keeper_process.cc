#include "node/keeper_process.h"  // first, so that the header proves self-contained

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <vector>

#include "base/sys.h"
#include "link/link.h"

namespace godwit::node {
namespace {

std::vector<std::string> environment(const std::string& fault) {
  std::vector<std::string> out = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"};
  for (const char* name : {"HOME", "LANG", "GODWIT_LOG"}) {
    if (const char* value = std::getenv(name)) out.push_back(std::string(name) + "=" + value);
  }
  if (!fault.empty()) out.push_back("GODWIT_FAULT=" + fault);
  return out;
}

std::vector<char*> pointers(std::vector<std::string>& strings) {
  std::vector<char*> out;
  for (auto& s : strings) out.push_back(s.data());
  out.push_back(nullptr);
  return out;
}

// In the child of a process with threads: nothing here may allocate or lock.
[[noreturn]] void become_keeper(const char* program, char* const* argv, char* const* env, int null, int log,
                                int listener) {
  ::setsid();
  if (::fork() != 0) ::_exit(0);
  for (int s = 1; s < NSIG; s++) ::signal(s, SIG_DFL);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  // The sources may have any number, also one of the targets: first out of the way.
  null = ::fcntl(null, F_DUPFD, 10), log = ::fcntl(log, F_DUPFD, 10), listener = ::fcntl(listener, F_DUPFD, 10);
  const bool ok = ::dup2(null, 0) >= 0 && ::dup2(log, 1) >= 0 && ::dup2(log, 2) >= 0 &&
                  ::dup2(listener, link::kKeeperListener) >= 0 && ::close_range(link::kKeeperListener + 1, ~0u, 0) == 0;
  if (ok && ::chdir("/") == 0) ::execve(program, argv, env);
  ::_exit(127);
}

}  // namespace

Result<std::string> keeper_program() {
  TRY(const std::string self, sys::read_link("/proc/self/exe"));
  const std::string path = self.substr(0, self.rfind('/')) + "/godwit-keeper";
  if (::access(path.c_str(), X_OK) < 0) return fail(Code::kRefused, "the program " + path + " is missing");
  return path;
}

Result<void> start_keeper(const link::KeeperArgs& args, const std::string& fault) {
  TRY(const std::string program, keeper_program());
  TRY(const Fd listener, link::listen(args.dir + "/keeper.sock"));
  TRY(const Fd null, sys::open("/dev/null", O_RDWR));
  TRY(const Fd log, sys::open(args.dir + "/keeper.log", O_WRONLY | O_CREAT | O_APPEND, 0640));
  std::vector<std::string> argv = {program};
  const auto options = link::to_arguments(args);
  argv.insert(argv.end(), options.begin(), options.end());
  auto env = environment(fault);
  const auto argv_pointers = pointers(argv);
  const auto env_pointers = pointers(env);
  const pid_t child = ::fork();
  if (child < 0) return fail_errno(errno, "fork");
  if (child == 0) {
    become_keeper(program.c_str(), argv_pointers.data(), env_pointers.data(), null.get(), log.get(), listener.get());
  }
  while (::waitpid(child, nullptr, 0) < 0 && errno == EINTR) {
  }
  return {};
}

}  // namespace godwit::node
