#include "confine/landlock.h"  // first, so that the header proves self-contained

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>

#include "base/log.h"
#include "base/sys.h"

namespace godwit::confine {
namespace {

// linux/landlock.h; Debian 12's is older than what kernels know.
constexpr long kCreateRuleset = 444, kAddRule = 445;
constexpr uint32_t kVersion = 1;
constexpr int kPathBeneath = 1;
enum Access : uint64_t {
  kExecute = 1u << 0,
  kWriteFile = 1u << 1,
  kReadFile = 1u << 2,
  kReadDir = 1u << 3,
  kRemoveDir = 1u << 4,
  kRemoveFile = 1u << 5,
  kMakeChar = 1u << 6,
  kMakeDir = 1u << 7,
  kMakeReg = 1u << 8,
  kMakeSock = 1u << 9,
  kMakeFifo = 1u << 10,
  kMakeBlock = 1u << 11,
  kMakeSym = 1u << 12,
  kRefer = 1u << 13,
  kTruncate = 1u << 14,
  kIoctlDev = 1u << 15,  // version 5
};
constexpr int kVersionOfIoctl = 5;
constexpr uint64_t kRead = kExecute | kReadFile | kReadDir;
// Device nodes can be made nowhere: they would be ways to the machine that the document doesn't speak of.
constexpr uint64_t kWrite = kWriteFile | kRemoveDir | kRemoveFile | kMakeDir | kMakeReg | kMakeSock | kMakeFifo |
                            kMakeSym | kRefer | kTruncate | kIoctlDev;
constexpr uint64_t kAll = kRead | kWrite | kMakeChar | kMakeBlock;
constexpr uint64_t kOfFiles = kExecute | kWriteFile | kReadFile | kTruncate | kIoctlDev;

struct [[gnu::packed]] PathBeneath {
  uint64_t access;
  int32_t parent;
};

uint64_t known(uint64_t access) {
  return landlock_version() < kVersionOfIoctl ? access & ~static_cast<uint64_t>(kIoctlDev) : access;
}

}  // namespace

int landlock_version() {
  static const long kHere = ::syscall(kCreateRuleset, nullptr, 0, kVersion);
  return kHere < 0 ? 0 : static_cast<int>(kHere);
}

uint64_t PathRule::access() const { return known(write ? kWrite : kRead); }
uint64_t PathRule::access_of_file() const { return access() & kOfFiles; }

Result<Fd> make_ruleset(const std::vector<PathRule>& rules) {
  const uint64_t handled = known(kAll);
  Fd ruleset(static_cast<int>(::syscall(kCreateRuleset, &handled, sizeof handled, 0)));
  if (!ruleset.valid()) return fail_errno(errno, "a Landlock ruleset");
  for (const auto& rule : rules) {
    if (rule.in_proc()) continue;
    auto place = sys::open(rule.path, O_PATH);
    if (!place) {
      log::info("{} isn't here: there is no rule for it", rule.path);
      continue;
    }
    TRY(const auto st, sys::stat(*place));
    PathBeneath beneath{S_ISDIR(st.st_mode) ? rule.access() : rule.access_of_file(), place->get()};
    if (::syscall(kAddRule, ruleset.get(), kPathBeneath, &beneath, 0) < 0)
      return fail_errno(errno, "a Landlock rule for " + rule.path);
  }
  return ruleset;
}

}  // namespace godwit::confine
