// What the passes tell while they run: what they refuse, where points are, which loops have none. Collected by a diagnostic
// handler, for -fgodwit-report (report.cc) and `godwit explain` (explain.cc).
#pragma once

#include <llvm/IR/DebugLoc.h>
#include <llvm/IR/DiagnosticHandler.h>
#include <llvm/IR/DiagnosticInfo.h>

#include <compare>
#include <set>
#include <string>
#include <vector>

#include "portable/pass/remarks.h"

namespace godwit::portable {

/// Line 0: not known, which is so without -g.
struct Place {
  std::string file;
  unsigned line = 0;
  unsigned column = 0;
  auto operator<=>(const Place&) const = default;
};

/// Files below a folder aren't the program's own: the library's headers.
bool is_below(const std::string& file, const std::string& folder);

/// Of code that was inlined: the innermost place that isn't below `library`; else the innermost one.
Place place_of(const llvm::DebugLoc& location, const std::string& library);

struct Refusal {
  Place place;
  std::string function;  ///< as its author wrote it, not mangled
  std::string what;
};

struct Point {
  std::string function;
  Place place;
  PointKind kind = PointKind::kLoop;
  std::string callee;  ///< of kCall
  auto operator<=>(const Point&) const = default;
};

struct Stretch {
  std::string function;
  Place place;
  Bound bound = Bound::kNone;
  uint64_t rounds = 0;
  auto operator<=>(const Stretch&) const = default;
};

struct Told {
  std::string library;  ///< folder whose headers aren't the program's
  std::set<std::string> own;  ///< the program's functions, as the linker knows them: only of these points are told
  bool all = false;  ///< functions that nobody calls too, and a program that isn't complete
  std::vector<std::string> missing;  ///< with `all`: used and nowhere defined
  std::vector<Refusal> refusals;
  std::set<Point> points;
  std::set<Stretch> stretches;
};

/// Errors go to standard error as clang would say them, and are counted. With `told` they are collected instead, as are remarks.
class Diagnostics : public llvm::DiagnosticHandler {
 public:
  Diagnostics(Told* told, bool errors_are_told) : told_(told), errors_are_told_(errors_are_told) {}
  bool handleDiagnostics(const llvm::DiagnosticInfo& info) override;
  [[nodiscard]] bool isPassedOptRemarkEnabled(llvm::StringRef pass) const override { return told_ && pass == kRemarks; }
  [[nodiscard]] bool isMissedOptRemarkEnabled(llvm::StringRef pass) const override { return told_ && pass == kRemarks; }
  [[nodiscard]] bool isAnyRemarkEnabled() const override { return told_ != nullptr; }
  [[nodiscard]] unsigned errors() const { return errors_; }

 private:
  void collect(const llvm::DiagnosticInfoOptimizationBase& remark);

  Told* told_;
  bool errors_are_told_;
  unsigned errors_ = 0;
};

}  // namespace godwit::portable
