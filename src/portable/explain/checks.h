// What `godwit explain` looks for: one table (checks.cc), and what a finding is.
//
// Two programs share it. The driver (../driver) hears what clang says of a source and reads its conditional directives; godwit-link
// (../compiler/explain.cc) has the bitcode with its lines, through all macros, templates and inlined wrappers, and hears what
// the passes refuse. Findings go from the second to the first in a file, a line each (findings.h).
//
// To add a check: a row in checks.cc, and a line in a program of tests/portable/explain that shows it.
#pragma once

#include <span>
#include <string_view>

namespace godwit::portable {

/// kError: godwit cc refuses the program. kWarning: it is compiled, but fails at run time or can't be moved at times. kRemark: good
/// to know.
enum class Severity { kRemark, kWarning, kError };

/// What `match` is.
enum class Where {
  kCall,  ///< names of C functions, and the condition
  kClang,  ///< part of an error of clang's
  kDirective,  ///< begins of names of macros, in #if and its kin
  kRefusal,  ///< part of what a pass refuses (../pass)
  kMissing,  ///< names that nobody defines; empty
  kStretch,  ///< "none" or "longest": loops without an adaptation point
  kCode,  ///< "long-double": arithmetic of that type
};

/// On the arguments of a call, when they are known at compile time.
enum class When {
  kAlways,
  kExecutable,  ///< mmap, mprotect: PROT_EXEC
  kSharedFile,  ///< mmap: of a file, shared and writable
  kFault,  ///< a handler for SIGSEGV and the like
  kRefusedCall,  ///< syscall: a number that the runtime doesn't have
  kDevice,  ///< a file's name: in /dev, and not one that is the same everywhere
  kProc,  ///< a file's name: in /proc or /sys
  kFileLock,  ///< fcntl: F_SETLK and its kin
  kSets,  ///< prctl, prlimit: not one that only asks
  kSecondNotZero,  ///< the second argument isn't 0
  kProcessors,  ///< sysconf: the number of processors
};

struct Check {
  std::string_view code;
  Severity severity;
  Where where;
  std::string_view match;  ///< separated by blanks
  std::string_view what;  ///< with {} for the object: "{}() always fails"
  std::string_view why;
  std::string_view lift;
  When when = When::kAlways;
};

std::span<const Check> checks();

/// Is `word` one of the blank-separated words of `list`?
bool is_listed(std::string_view word, std::string_view list);

}  // namespace godwit::portable
