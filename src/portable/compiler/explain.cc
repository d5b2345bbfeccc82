// What in a program hinders a move, seen in its bitcode.
//
// Problem: a call that fails in a portable program may hide behind macros, templates and wrappers, and whether an argument is
// the troublesome one is often known only where a wrapper is called.
//
// Idea: let LLVM look through them. The program's own files, compiled with -g, are simplified and inlined alone, without the
// libraries, so that calls of the C library stay calls; then each is compared with the table (../explain/checks.cc). A place in
// a library's header is replaced by the place of the program that it was inlined into. After that the program goes the way of a
// link up to the instrumentation, and what the passes refuse, what stays undefined and which loops have no point is
// written down: the very things that the link would say, not guesses at them.
//
// Limits: calls through pointers aren't seen (a table with a pointer to popen), nor arguments that are known at run time only.
#include "portable/compiler/explain.h"

#include <fmt/format.h>
#include <llvm/Analysis/ValueTracking.h>
#include <llvm/Demangle/Demangle.h>
#include <llvm/IR/Constants.h>
#include <llvm/IR/Instructions.h>
#include <llvm/IR/IntrinsicInst.h>
#include <llvm/Passes/PassBuilder.h>

#include <algorithm>
#include <array>
#include <map>
#include <optional>

#include "base/base.h"
#include "portable/compiler/analyses.h"
#include "portable/compiler/report.h"
#include "portable/explain/findings.h"

namespace godwit::portable {
namespace {

using llvm::CallBase;
using llvm::Function;

// ---- Conditions on arguments. Numbers are those of the neutral family (asm-generic).

struct SystemCall {
  int64_t number;
  std::string_view name;
};
constexpr SystemCall kRefused[] = {
#define REFUSE(number, name, error) {number, #name},
#include "portable/refused_calls.inc"
#undef REFUSE
};

std::optional<int64_t> number(const CallBase& call, unsigned index) {
  if (index >= call.arg_size()) return std::nullopt;
  const auto* value = llvm::dyn_cast<llvm::ConstantInt>(call.getArgOperand(index));
  return value ? std::optional(value->getSExtValue()) : std::nullopt;
}

bool has_bits(const CallBase& call, unsigned index, int64_t bits) {
  const auto value = number(call, index);
  return value && (*value & bits) == bits;
}

/// The first argument that is a string known here: a file's name, also behind openat's descriptor.
std::string text(const CallBase& call) {
  for (unsigned i = 0; i < std::min(call.arg_size(), 2U); ++i)
    if (llvm::StringRef found;
        call.getArgOperand(i)->getType()->isPointerTy() && llvm::getConstantStringInfo(call.getArgOperand(i), found))
      return found.str();
  return {};
}

bool is_shared_file(const CallBase& call) {
  const auto flags = number(call, 3);
  return flags && (*flags & 3) == 1 && !(*flags & 0x20) && has_bits(call, 2, 2);
}

bool is_fault(const CallBase& call) {
  constexpr std::array<int64_t, 6> kFaults{4, 5, 7, 8, 11, 31};  // ILL, TRAP, BUS, FPE, SEGV, SYS
  const auto signal = number(call, 0);
  if (!signal || std::ranges::find(kFaults, *signal) == kFaults.end() || call.arg_size() < 2) return false;
  const auto* handler = call.getArgOperand(1);
  // SIG_DFL, SIG_IGN, or sigaction() that only asks.
  if (llvm::isa<llvm::ConstantPointerNull>(handler)) return false;
  const auto* expression = llvm::dyn_cast<llvm::ConstantExpr>(handler);
  return !expression || expression->getOpcode() != llvm::Instruction::IntToPtr;
}

bool is_file_lock(const CallBase& call) {
  constexpr std::array<int64_t, 4> kLocks{6, 7, 37, 38};  // F_SETLK, F_SETLKW, F_OFD_SETLK, F_OFD_SETLKW
  const auto command = number(call, 1);
  return command && std::ranges::find(kLocks, *command) != kLocks.end();
}

/// Not one that only asks. PR_GET_… of prctl, in the order of their numbers; prlimit without a new limit.
bool is_set(const CallBase& call, llvm::StringRef callee) {
  constexpr std::array<int64_t, 17> kAsks{2, 3, 5, 7, 9, 11, 13, 16, 19, 21, 23, 25, 27, 30, 34, 39, 42};
  if (callee == "prctl") return std::ranges::find(kAsks, number(call, 0).value_or(0)) == kAsks.end();
  if (callee == "prlimit" && call.arg_size() > 2) return !llvm::isa<llvm::ConstantPointerNull>(call.getArgOperand(2));
  return true;
}

bool is_other_device(const std::string& name) {
  constexpr std::array<std::string_view, 10> kSame{"/dev/null",    "/dev/zero", "/dev/full",  "/dev/random",
                                                   "/dev/urandom", "/dev/tty",  "/dev/stdin", "/dev/stdout",
                                                   "/dev/stderr",  "/dev/"};
  return name.starts_with("/dev/") && !name.starts_with("/dev/shm/") && !name.starts_with("/dev/fd/") &&
         std::ranges::find(kSame, name) == kSame.end();
}

/// The object of the finding when the condition holds.
std::optional<std::string> holds(When when, const CallBase& call, const std::string& callee) {
  const auto is = [&](bool condition) { return condition ? std::optional(callee) : std::nullopt; };
  switch (when) {
    case When::kAlways: return callee;
    case When::kExecutable: return is(has_bits(call, 2, 4));
    case When::kSharedFile: return is(is_shared_file(call));
    case When::kSets: return is(is_set(call, callee));
    case When::kFault: return is(is_fault(call));
    case When::kFileLock: return is(is_file_lock(call));
    case When::kSecondNotZero: return is(number(call, 1).value_or(0) != 0);
    case When::kProcessors: return is(number(call, 0) == 83 || number(call, 0) == 84);
    case When::kRefusedCall:
      if (const auto n = number(call, 0))
        for (const auto& refused : kRefused)
          if (refused.number == *n) return std::string(refused.name);
      return std::nullopt;
    case When::kDevice: return is_other_device(text(call)) ? std::optional(text(call)) : std::nullopt;
    case When::kProc: {
      const auto name = text(call);
      const bool of_kernel = name.starts_with("/proc/") || name.starts_with("/sys/");
      return of_kernel ? std::optional(name) : std::nullopt;
    }
  }
  return std::nullopt;
}

// ---- The program's own files.

class Explainer {
 public:
  explicit Explainer(std::string library) : library_(std::move(library)) {}

  void look_at(const llvm::Module& module) {
    const auto* main = module.getFunction("main");
    has_main_ = main && !main->isDeclaration();
    for (const auto& function : module) {
      bool long_double = false;
      for (const auto& block : function)
        for (const auto& i : block) {
          if (const auto* call = llvm::dyn_cast<CallBase>(&i)) look_at(*call);
          if (!long_double && i.getType()->isFP128Ty() && i.isBinaryOp()) {
            add(Where::kCode, "long-double", i.getDebugLoc(), llvm::demangle(function.getName()));
            long_double = true;
          }
          note_uses(i);
        }
    }
  }

  void take(const Told& told) {
    for (const auto& r : told.refusals) refuse(r);
    for (const auto& name : told.missing) miss(name);
    for (const auto& s : told.stretches)
      if (s.bound == Bound::kNone) add_stretch("none", s, s.function);
    const auto* worst = longest(told);
    if (worst && worst->bound != Bound::kNone) add_stretch("longest", *worst, bound_text(*worst));
  }

  std::vector<Finding> findings;

 private:
  void look_at(const CallBase& call) {
    const Function* callee = call.getCalledFunction();
    if (!callee || !callee->isDeclaration()) return;
    const std::string name = callee->getName().str();
    for (const auto& check : checks()) {
      if (check.where != Where::kCall || !is_listed(name, check.match)) continue;
      if (const auto object = holds(check.when, call, shown(name))) {
        add(check, place_of(call.getDebugLoc(), library_), *object);
        told_.insert(name);
        return;
      }
    }
  }

  /// A plain name of C stays as it is; of C++ only what comes before the arguments.
  static std::string shown(const std::string& name) {
    const auto text = llvm::demangle(name);
    return text.substr(0, text.find('('));
  }

  void add(const Check& check, const Place& place, const std::string& object) {
    if (is_below(place.file, library_)) return;  // a library's header, used by nothing of the program's
    auto finding = make_finding(check, place.file, place.line, place.column, object);
    if (std::ranges::find(findings, finding) == findings.end()) findings.push_back(std::move(finding));
  }

  void add(Where where, std::string_view match, const llvm::DebugLoc& location, const std::string& object) {
    for (const auto& check : checks())
      if (check.where == where && check.match == match) return add(check, place_of(location, library_), object);
  }

  void add_stretch(std::string_view match, const Stretch& stretch, const std::string& object) {
    for (const auto& check : checks())
      if (check.where == Where::kStretch && check.match == match) add(check, stretch.place, object);
  }

  void note_uses(const llvm::Instruction& i) {
    for (const auto& operand : i.operands())
      if (const auto* value = llvm::dyn_cast<llvm::GlobalValue>(operand->stripPointerCasts());
          value && value->isDeclaration())
        first_use_.try_emplace(value->getName().str(), place_of(i.getDebugLoc(), library_));
  }

  /// Said already by a call's row when both mean the same line: vfork is a function that returns twice.
  void refuse(const Refusal& refusal) {
    for (const auto& f : findings)
      if (f.severity == Severity::kError && f.file == refusal.place.file && f.line == refusal.place.line) return;
    for (const auto& check : checks()) {
      if (check.where != Where::kRefusal || !refusal.what.contains(check.match)) continue;
      Check said = check;
      if (check.match.empty()) said.what = refusal.what;
      return add(said, refusal.place, refusal.function);
    }
  }

  void miss(const std::string& name) {
    if (told_.contains(name) || name == "main") return;
    const auto use = first_use_.find(name);
    for (const auto& check : checks())
      if (check.where == Where::kMissing) {
        Check said = check;
        if (!has_main_) said.severity = Severity::kWarning;  // a part of a program: the rest may have it
        return add(said, use == first_use_.end() ? Place() : use->second, llvm::demangle(name));
      }
  }

  std::string library_;
  bool has_main_ = false;
  std::set<std::string> told_;  ///< functions that a row of calls has named
  std::map<std::string, Place> first_use_;
};

/// Inlining and constants, so that wrappers are seen through; nothing that is for speed only.
void look_through(llvm::Module& module) {
  llvm::PipelineTuningOptions tuning;
  tuning.LoopUnrolling = false;
  tuning.LoopVectorization = tuning.SLPVectorization = false;
  llvm::PassBuilder builder(nullptr, tuning);
  Analyses analyses(builder);
  auto passes = builder.buildModuleSimplificationPipeline(llvm::OptimizationLevel::O2, llvm::ThinOrFullLTOPhase::None);
  passes.run(module, analyses.of_modules);
}

}  // namespace

Result<void> explain(const LinkOptions& options, const std::string& path) {
  llvm::LLVMContext context;
  Explainer explainer(options.library.string());
  {
    TRY(auto own, read_own(options, context));
    look_through(*own);
    explainer.look_at(*own);
  }
  Told told;
  told.library = options.library.string();
  told.all = true;
  const Listener listener{.told = &told, .errors = true};
  TRY(auto module, read_program(options, context, {}, &told));
  TRY_DO(simplify(*module, options.level, listener));
  TRY_DO(instrument(*module, listener));
  explainer.take(told);
  return io::replace_file(path, as_lines(explainer.findings));
}

}  // namespace godwit::portable
