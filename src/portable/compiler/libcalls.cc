#include "portable/compiler/libcalls.h"

#include <llvm/ADT/STLExtras.h>
#include <llvm/IR/Constants.h>
#include <llvm/IR/InstIterator.h>

#include <algorithm>
#include <string_view>

namespace godwit::portable {
namespace {

constexpr std::string_view kEntries[] = {"__godwit_main", "__godwit_thread"};

constexpr std::string_view kNative[] = {"memcpy", "memmove", "memset", "memcmp",        "memchr",
                                        "strlen", "strchr",  "strcmp", "godwit_program"};

/// No functions: lower_jumps.cc makes something else of them.
constexpr std::string_view kSetjmp[] = {"setjmp", "_setjmp", "sigsetjmp", "__sigsetjmp"};

/// By LLVM's simplification of library calls, TargetLibraryInfo says they exist.
constexpr std::string_view kBySimplification[] = {
    "puts",    "putchar", "fwrite",  "fputc",   "fputs",  "strlen",  "strchr",  "strcpy",  "stpcpy",  "strnlen",
    "strncpy", "memchr",  "strcmp",  "strncmp", "strcat", "strpbrk", "strrchr", "strspn",  "strcspn", "strstr",
    "malloc",  "calloc",  "exp2",    "exp2f",   "ldexp",  "ldexpf",  "pow",     "powf",    "sqrt",    "sqrtf",
    "cbrt",    "cbrtf",   "toascii", "isdigit", "bcmp",   "memrchr", "mempcpy", "memccpy", "strdup",  "strndup",
    "exp10",   "exp10f",  "sin",     "cos",     "free",   "realloc", "abs",     "labs",    "isascii", "fmodf"};

/// By Godwit's passes, which run when the libraries have been linked in; those for exceptions are libcxx.bc's (eh.cpp).
constexpr std::string_view kByPasses[] = {
    "__godwit_new_activation", "__godwit_keep_mask",        "__godwit_left_all", "longjmp",          "__godwit_raise",
    "__godwit_land",           "__godwit_exception_object", "__godwit_filter",   "__godwit_uncaught"};

/// By the back ends, for an intrinsic or an operation without an instruction: name, with "f" and "l" for other types.
constexpr std::string_view kByBackEnd[] = {"floor",  "ceil",    "trunc", "rint",  "nearbyint", "round", "roundeven",
                                           "fma",    "fmin",    "fmax",  "fmod",  "sqrt",      "lrint", "llrint",
                                           "lround", "llround", "ldexp", "frexp", "sin",       "cos",   "tan",
                                           "asin",   "acos",    "atan",  "sinh",  "cosh",      "tanh",  "exp",
                                           "exp2",   "log",     "log2",  "pow",   "log10",     "exp10", "copysign"};

template <size_t N>
bool is_among(const std::string_view (&names)[N], llvm::StringRef name) {
  return std::ranges::find(names, std::string_view(name)) != std::end(names);
}

bool may_be_called_by_back_end(llvm::StringRef name) {
  return is_among(kByBackEnd, name) ||
         ((name.ends_with("f") || name.ends_with("l")) && is_among(kByBackEnd, name.drop_back()));
}

constexpr const char* kWanted = "godwit.wanted";

}  // namespace

bool is_supplied_natively(llvm::StringRef name) {
  if (name.starts_with("__godwit_") || name.starts_with("llvm.")) return true;
  return is_among(kNative, name) || is_among(kSetjmp, name);
}

bool stays_visible(llvm::StringRef name, Stage stage) {
  return is_among(kEntries, name) || may_be_called_by_back_end(name) ||
         (stage == Stage::kSimplify && (is_among(kBySimplification, name) || is_among(kByPasses, name)));
}

namespace {

/// The C library's name for an operation on a type: floor, floorf, floorl.
std::string with_suffix(llvm::StringRef name, const llvm::Type& type) {
  return name.str() + (type.isFloatTy() ? "f" : type.isFP128Ty() ? "l" : "");
}

/// llvm.floor.f32 → floorf; nothing for an intrinsic that needs no function.
std::string function_behind(const llvm::Function& intrinsic) {
  auto name = intrinsic.getName();
  name.consume_front("llvm.");
  name = name.take_until([](char c) { return c == '.'; });
  if (name == "minnum") name = "fmin";
  if (name == "maxnum") name = "fmax";
  if (!is_among(kByBackEnd, name)) return {};
  const auto& type = *intrinsic.getFunctionType()->getParamType(0)->getScalarType();
  if ((name == "sqrt" || name == "copysign") && !type.isFP128Ty()) return {};  // every processor has it
  return with_suffix(name, type);
}

bool is_defined(const llvm::Module& module, const std::string& name) {
  const auto* function = module.getFunction(name);
  return function && !function->isDeclaration();
}

}  // namespace

bool add_asked_of_back_ends(const llvm::Module& module, std::set<std::string>& names) {
  bool more = false;
  const auto ask = [&](const std::string& name) {
    if (!name.empty() && !is_defined(module, name)) more |= names.insert(name).second;
  };
  for (const auto& f : module) {
    if (f.isIntrinsic() && !f.use_empty()) ask(function_behind(f));
    for (const auto& i : llvm::instructions(f))
      if (i.getOpcode() == llvm::Instruction::FRem) ask(with_suffix("fmod", *i.getType()->getScalarType()));
  }
  return more;
}

void want_library_functions(llvm::Module& module, const std::set<std::string>& of_back_ends) {
  auto& context = module.getContext();
  auto* nothing = llvm::FunctionType::get(llvm::Type::getVoidTy(context), false);
  llvm::SmallVector<llvm::Constant*, 64> wanted;
  const auto want = [&](llvm::StringRef name) {
    auto* value = module.getNamedValue(name);
    wanted.push_back(value ? value : llvm::Function::Create(nothing, llvm::Function::ExternalLinkage, name, module));
  };
  for (const auto name : kBySimplification) want(name);
  for (const auto name : kByPasses) want(name);
  for (const auto& name : of_back_ends) want(name);
  // A reference that lasts until the C library has been linked in: LinkOnlyNeeded takes what is declared and used.
  auto* pointer = llvm::PointerType::get(context, 0);
  auto* list = llvm::ArrayType::get(pointer, wanted.size());
  new llvm::GlobalVariable(module, list, true, llvm::GlobalValue::InternalLinkage,
                           llvm::ConstantArray::get(list, wanted), kWanted);
}

void forget_wanted(llvm::Module& module) {
  if (auto* list = module.getNamedGlobal(kWanted)) list->eraseFromParent();
  for (auto& f : llvm::make_early_inc_range(module)) {
    f.removeDeadConstantUsers();  // the list's content
    if (f.isDeclaration() && f.use_empty()) f.eraseFromParent();
  }
}

}  // namespace godwit::portable
