// What place_points tells whoever listens: -fgodwit-report and `godwit explain`.
//
// By LLVM's own way, remarks: `opt -pass-remarks=godwit -pass-remarks-missed=godwit` prints them, the compiler collects them
// through the context's diagnostic handler (compiler/report.cc). When nobody has asked for them nothing is done.
#pragma once

#include <llvm/IR/DebugLoc.h>
#include <llvm/IR/Function.h>

#include <optional>

namespace godwit::portable {

constexpr const char* kRemarks = "godwit-place-points";  ///< the name of the pass in a remark
constexpr const char* kPointRemark = "Point";
constexpr const char* kStretchRemark = "Stretch";

/// Why there is a point. The names are in the report.
enum class PointKind { kLoop, kStrip, kRecursion, kExplicit, kCall };
const char* name_of(PointKind kind);
std::optional<PointKind> point_kind(llvm::StringRef name);

/// How long a loop without a point may run.
enum class Bound {
  kConstant,  ///< a number of rounds that is known here
  kData,  ///< as many rounds as a value says when it begins
  kNone  ///< nothing says how many
};
const char* name_of(Bound bound);
std::optional<Bound> bound_of(llvm::StringRef name);

/// A point was made. `where` may be empty: then the function's own line counts. Arguments of the remark: Kind, Callee of a call, and
/// a Place (file, line, column, function, a line feed between) for where the code is written, where that was inlined, and so on.
void tell_point(const llvm::Function& function, const llvm::DebugLoc& where, PointKind kind,
                llvm::StringRef callee = {});
/// A loop got none. `rounds` counts when the bound is a constant. Arguments: Bound, Rounds, Place.
void tell_stretch(const llvm::Function& function, const llvm::DebugLoc& where, Bound bound, uint64_t rounds);
/// Is anybody listening?
bool is_told(const llvm::Function& function);

}  // namespace godwit::portable
