#include "portable/compiler/told.h"

#include <fmt/format.h>
#include <llvm/Demangle/Demangle.h>
#include <llvm/IR/DebugInfoMetadata.h>
#include <llvm/IR/DiagnosticPrinter.h>
#include <llvm/IR/Function.h>
#include <llvm/Support/raw_ostream.h>

namespace godwit::portable {
namespace {

/// As clang would say it: where, what. The line is known with -g only.
std::string text_of(const llvm::DiagnosticInfo& info) {
  std::string text;
  llvm::raw_string_ostream stream(text);
  const auto* ours = llvm::dyn_cast<llvm::DiagnosticInfoUnsupported>(&info);
  if (!ours) {
    llvm::DiagnosticPrinterRawOStream printer(stream);
    info.print(printer);
    return "error: " + text;
  }
  const auto function = llvm::demangle(ours->getFunction().getName());
  if (!ours->isLocationAvailable())
    return fmt::format("error: {}, in {} (compile with -g to see the line)", ours->getMessage().str(), function);
  return fmt::format("{}: error: {}, in {}", ours->getLocationStr(), ours->getMessage().str(), function);
}

Place place_in(const llvm::DILocation& location) {
  return {location.getFilename().str(), location.getLine(), location.getColumn()};
}

}  // namespace

bool is_below(const std::string& file, const std::string& folder) {
  return !folder.empty() && file.size() > folder.size() && file.starts_with(folder) && file[folder.size()] == '/';
}

Place place_of(const llvm::DebugLoc& location, const std::string& library) {
  if (!location) return {};
  for (const llvm::DILocation* at = location.get(); at; at = at->getInlinedAt())
    if (!is_below(at->getFilename().str(), library)) return place_in(*at);
  return place_in(*location);
}

bool Diagnostics::handleDiagnostics(const llvm::DiagnosticInfo& info) {
  if (const auto* remark = llvm::dyn_cast<llvm::DiagnosticInfoOptimizationBase>(&info)) {
    if (told_) collect(*remark);
    return true;
  }
  if (info.getSeverity() != llvm::DS_Error) return false;
  ++errors_;
  const auto* refusal = llvm::dyn_cast<llvm::DiagnosticInfoUnsupported>(&info);
  if (told_ && errors_are_told_ && refusal) {
    Place place;
    if (refusal->isLocationAvailable()) {
      llvm::StringRef file;
      refusal->getLocation(file, place.line, place.column);
      place.file = file.str();
    }
    told_->refusals.push_back({place, llvm::demangle(refusal->getFunction().getName()), refusal->getMessage().str()});
  } else {
    fmt::print(stderr, "{}\n", text_of(info));
  }
  return true;
}

namespace {

/// Takes a Place of a remark. They come innermost first; the first that is the program's own counts, else the innermost.
void take_place(llvm::StringRef text, const std::string& library, Place& place, std::string& function) {
  llvm::SmallVector<llvm::StringRef, 4> parts;
  text.split(parts, '\n');
  if (parts.size() != 4) return;
  if (!place.file.empty() && (!is_below(place.file, library) || is_below(parts[0].str(), library))) return;
  place.file = parts[0].str();
  (void)parts[1].getAsInteger(10, place.line);
  (void)parts[2].getAsInteger(10, place.column);
  function = parts[3].str();
}

}  // namespace

void Diagnostics::collect(const llvm::DiagnosticInfoOptimizationBase& remark) {
  std::string function = remark.getFunction().getName().str();
  const bool own = told_->own.contains(function);
  Place place;
  std::string word, callee;
  uint64_t rounds = 0;
  for (const auto& argument : remark.getArgs()) {
    const llvm::StringRef key = argument.Key, value = argument.Val;
    if (key == "Kind" || key == "Bound") word = value.str();
    if (key == "Callee") callee = llvm::demangle(value);
    if (key == "Rounds") (void)value.getAsInteger(10, rounds);
    if (key == "Place") take_place(value, told_->library, place, function);
  }
  // A library's code has no lines, but for what is in its headers.
  if ((!own && place.file.empty()) || is_below(place.file, told_->library)) return;
  function = llvm::demangle(function);
  if (const auto kind = point_kind(word))
    told_->points.insert({function, place, *kind, callee});
  else if (const auto bound = bound_of(word))
    told_->stretches.insert({function, place, *bound, rounds});
}

}  // namespace godwit::portable
