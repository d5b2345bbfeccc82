#include "portable/pass/remarks.h"

#include <llvm/ADT/Twine.h>
#include <llvm/IR/DebugInfoMetadata.h>
#include <llvm/IR/DiagnosticInfo.h>
#include <llvm/IR/LLVMContext.h>

#include <array>

namespace godwit::portable {
namespace {

using llvm::DiagnosticInfoOptimizationBase;

constexpr std::array kKinds = {std::pair(PointKind::kLoop, "loop"), std::pair(PointKind::kStrip, "strip"),
                               std::pair(PointKind::kRecursion, "recursion"),
                               std::pair(PointKind::kExplicit, "explicit"), std::pair(PointKind::kCall, "call")};
constexpr std::array kBounds = {std::pair(Bound::kConstant, "constant"), std::pair(Bound::kData, "data"),
                                std::pair(Bound::kNone, "none")};

template <class Value, size_t N>
const char* name_in(const std::array<std::pair<Value, const char*>, N>& names, Value value) {
  for (const auto& [v, name] : names)
    if (v == value) return name;
  return "";
}

template <class Value, size_t N>
std::optional<Value> value_in(const std::array<std::pair<Value, const char*>, N>& names, llvm::StringRef wanted) {
  for (const auto& [value, name] : names)
    if (wanted == name) return value;
  return std::nullopt;
}

llvm::DebugLoc place(const llvm::Function& function, const llvm::DebugLoc& where) {
  if (where) return where;
  auto* scope = function.getSubprogram();
  return scope ? llvm::DILocation::get(function.getContext(), scope->getLine(), 0, scope) : nullptr;
}

using Argument = DiagnosticInfoOptimizationBase::Argument;

/// The function that a line was written in, as the linker knows it.
llvm::StringRef written_in(const llvm::DILocation& at) {
  const auto* function = at.getScope()->getSubprogram();
  return function->getLinkageName().empty() ? function->getName() : function->getLinkageName();
}

/// Behind the text: what a person who reads the remark has no use for.
void add_places(DiagnosticInfoOptimizationBase& remark, const llvm::DebugLoc& where) {
  remark.insert(DiagnosticInfoOptimizationBase::setExtraArgs());
  for (const llvm::DILocation* at = where.get(); at; at = at->getInlinedAt())
    remark.insert(Argument("Place", (at->getFilename() + "\n" + llvm::Twine(at->getLine()) + "\n" +
                                     llvm::Twine(at->getColumn()) + "\n" + written_in(*at))
                                        .str()));
}

}  // namespace

const char* name_of(PointKind kind) { return name_in(kKinds, kind); }
const char* name_of(Bound bound) { return name_in(kBounds, bound); }
std::optional<PointKind> point_kind(llvm::StringRef name) { return value_in(kKinds, name); }
std::optional<Bound> bound_of(llvm::StringRef name) { return value_in(kBounds, name); }

bool is_told(const llvm::Function& function) {
  const auto* handler = function.getContext().getDiagHandlerPtr();
  return handler && (handler->isPassedOptRemarkEnabled(kRemarks) || handler->isMissedOptRemarkEnabled(kRemarks));
}

void tell_point(const llvm::Function& function, const llvm::DebugLoc& where, PointKind kind, llvm::StringRef callee) {
  if (!is_told(function)) return;
  const auto at = place(function, where);
  llvm::OptimizationRemark remark(kRemarks, kPointRemark, at, &function.getEntryBlock());
  remark << "adaptation point: " << Argument("Kind", name_of(kind));
  if (!callee.empty()) remark << " of " << Argument("Callee", callee);
  add_places(remark, at);
  function.getContext().diagnose(remark);
}

void tell_stretch(const llvm::Function& function, const llvm::DebugLoc& where, Bound bound, uint64_t rounds) {
  if (!is_told(function)) return;
  const auto at = place(function, where);
  llvm::OptimizationRemarkMissed remark(kRemarks, kStretchRemark, at, &function.getEntryBlock());
  remark << "loop without an adaptation point, bound by " << Argument("Bound", name_of(bound));
  if (bound == Bound::kConstant) remark << ": " << Argument("Rounds", static_cast<unsigned long>(rounds)) << " rounds";
  add_places(remark, at);
  function.getContext().diagnose(remark);
}

}  // namespace godwit::portable
