#include "portable/compiler/report.h"

#include <fmt/format.h>
#include <llvm/Support/JSON.h>

#include <algorithm>
#include <cstdio>

#include "base/base.h"

namespace godwit::portable {
namespace {

std::string place_text(const Place& place) {
  if (place.line == 0) return "(no line: compile with -g)";
  return place.column ? fmt::format("{}:{}:{}", place.file, place.line, place.column)
                      : fmt::format("{}:{}", place.file, place.line);
}

/// Worse ones first: no bound, a bound that the data give, most rounds.
bool is_longer(const Stretch& a, const Stretch& b) {
  return a.bound != b.bound ? a.bound > b.bound : a.rounds > b.rounds;
}

std::vector<Stretch> by_length(const Told& told) {
  std::vector<Stretch> stretches(told.stretches.begin(), told.stretches.end());
  std::ranges::stable_sort(stretches, is_longer);
  return stretches;
}

std::vector<Point> by_place(const Told& told) {
  std::vector<Point> points(told.points.begin(), told.points.end());
  std::ranges::stable_sort(points, {}, &Point::place);
  return points;
}

/// Several calls on one line become one row.
std::string points_text(const Told& told) {
  std::string text;
  const Point* last = nullptr;
  const auto points = by_place(told);
  for (const auto& p : points) {
    const bool goes_on = last && p.kind == PointKind::kCall && last->kind == p.kind && last->place == p.place &&
                         last->function == p.function;
    if (goes_on)
      text.insert(text.size() - 1, fmt::format(", {}", p.callee));
    else
      text += fmt::format("  {}: in {}: {}{}\n", place_text(p.place), p.function, name_of(p.kind),
                          p.callee.empty() ? "" : " of " + p.callee);
    last = &p;
  }
  return text;
}

std::string as_text(std::string_view program, const Told& told) {
  std::string text = fmt::format("adaptation points of {}: {}\n", program, told.points.size());
  text += points_text(told);
  text += fmt::format("loops without a point: {}\n", told.stretches.size());
  for (const auto& s : by_length(told))
    text += fmt::format("  {}: in {}: {}\n", place_text(s.place), s.function, bound_text(s));
  const auto* worst = longest(told);
  text +=
      fmt::format("longest stretch between two points: {}\n",
                  worst ? fmt::format("{}, in {}: {}", place_text(worst->place), worst->function, bound_text(*worst))
                        : "no loop without one");
  return text;
}

llvm::json::Object json_of(const Place& place, const std::string& function) {
  return llvm::json::Object{
      {"function", function}, {"file", place.file}, {"line", place.line}, {"column", place.column}};
}

llvm::json::Object json_of(const Stretch& s) {
  auto out = json_of(s.place, s.function);
  out["bound"] = name_of(s.bound);
  out["rounds"] = s.bound == Bound::kConstant ? llvm::json::Value(s.rounds) : llvm::json::Value(nullptr);
  return out;
}

std::string as_json(std::string_view program, const Told& told) {
  llvm::json::Array points, stretches;
  for (const auto& p : by_place(told)) {
    auto out = json_of(p.place, p.function);
    out["kind"] = name_of(p.kind);
    out["callee"] = p.callee.empty() ? llvm::json::Value(nullptr) : llvm::json::Value(p.callee);
    points.push_back(std::move(out));
  }
  for (const auto& s : by_length(told)) stretches.push_back(json_of(s));
  const auto* worst = longest(told);
  llvm::json::Value all =
      llvm::json::Object{{"program", std::string(program)},
                         {"points", std::move(points)},
                         {"stretches", std::move(stretches)},
                         {"longest", worst ? llvm::json::Value(json_of(*worst)) : llvm::json::Value(nullptr)}};
  std::string text;
  llvm::raw_string_ostream(text) << llvm::formatv("{0:2}", all) << "\n";
  return text;
}

}  // namespace

const Stretch* longest(const Told& told) {
  const auto worst = std::ranges::min_element(told.stretches, is_longer);
  return worst == told.stretches.end() ? nullptr : &*worst;
}

std::string bound_text(const Stretch& stretch) {
  switch (stretch.bound) {
    case Bound::kConstant: return fmt::format("at most {} rounds", stretch.rounds);
    case Bound::kData: return "as many rounds as its data say";
    case Bound::kNone: break;
  }
  return "no bound";
}

Result<void> write_report(std::string_view program, const Told& told, const std::string& path) {
  const auto text = path.ends_with(".json") ? as_json(program, told) : as_text(program, told);
  if (!path.empty()) return io::replace_file(path, text);
  return io::write_full(STDOUT_FILENO, text);
}

}  // namespace godwit::portable
