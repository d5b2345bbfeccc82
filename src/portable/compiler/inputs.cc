// Many inputs, one module.
//
// Objects are bitcode (`godwit cc -c`), archives hold such objects. As with any linker an object is taken whole, an archive's
// member only when it defines something that is missing by then; an archive is looked through until nothing more comes of
// it. GNU ar writes no index for bitcode, so the members themselves are asked what they define. Last come the C library's
// start code and, function by function, what is needed of the C++ library and then of the C library.
#include <fmt/format.h>
#include <llvm/BinaryFormat/Magic.h>
#include <llvm/Bitcode/BitcodeReader.h>
#include <llvm/IR/DiagnosticInfo.h>
#include <llvm/IRReader/IRReader.h>
#include <llvm/Linker/Linker.h>
#include <llvm/Object/Archive.h>
#include <llvm/Support/MemoryBuffer.h>
#include <llvm/Support/SourceMgr.h>
#include <llvm/Transforms/IPO/Internalize.h>

#include "portable/compiler/libcalls.h"
#include "portable/compiler/link.h"

namespace godwit::portable {
namespace {

using llvm::MemoryBufferRef;
using llvm::Module;

/// Bodies that the front end adds for inlining only (C++: extern templates; C: inline). With them a name would count as
/// defined, and the real definition, which somebody else has, wouldn't be looked for.
void drop_copies(Module& module) {
  for (auto& f : module)
    if (f.hasAvailableExternallyLinkage()) f.deleteBody();
  for (auto& v : module.globals()) {
    if (!v.hasAvailableExternallyLinkage()) continue;
    v.setInitializer(nullptr);
    v.setLinkage(llvm::GlobalValue::ExternalLinkage);
  }
}

Result<std::unique_ptr<Module>> parse(MemoryBufferRef bytes, llvm::LLVMContext& context) {
  const auto magic = llvm::identify_magic(bytes.getBuffer());
  const auto name = bytes.getBufferIdentifier().str();
  if (magic != llvm::file_magic::bitcode)
    return fail(
        Code::kUsage,
        fmt::format("{}: not made by godwit cc (its code is for one machine); compile it with godwit cc -c", name));
  auto module = llvm::parseBitcodeFile(bytes, context);
  if (!module) return fail(Code::kCorrupt, fmt::format("{}: {}", name, llvm::toString(module.takeError())));
  drop_copies(**module);
  return std::move(*module);
}

class Program {
 public:
  explicit Program(llvm::LLVMContext& context)
      : module_(std::make_unique<Module>("program", context)), linker_(*module_) {}

  Result<void> add_file(const fs::path& path) {
    auto file = llvm::MemoryBuffer::getFile(path.string());
    if (!file) return fail(Code::kNotFound, fmt::format("{}: {}", path.string(), file.getError().message()));
    if (llvm::identify_magic((*file)->getBuffer()) != llvm::file_magic::archive) {
      TRY(auto module, parse((*file)->getMemBufferRef(), module_->getContext()));
      return link(std::move(module), llvm::Linker::Flags::None, path.string());
    }
    return add_archive((*file)->getMemBufferRef());
  }

  Result<void> add_needed(const fs::path& path) {
    auto file = llvm::MemoryBuffer::getFile(path.string());
    if (!file) return fail(Code::kNotFound, fmt::format("{}: {}", path.string(), file.getError().message()));
    auto module = llvm::getLazyBitcodeModule((*file)->getMemBufferRef(), module_->getContext());
    if (!module) return fail(Code::kCorrupt, fmt::format("{}: {}", path.string(), llvm::toString(module.takeError())));
    return link(std::move(*module), llvm::Linker::Flags::LinkOnlyNeeded, path.string());
  }

  Module& module() { return *module_; }
  std::unique_ptr<Module> take() { return std::move(module_); }

 private:
  Result<void> link(std::unique_ptr<Module> module, unsigned flags, const std::string& name) {
    if (linker_.linkInModule(std::move(module), flags))
      return fail(Code::kUsage, fmt::format("{}: it can't be linked with what comes before it (see above)", name));
    return {};
  }

  bool is_missing(llvm::StringRef name) const {
    const auto* have = module_->getNamedValue(name);
    return have && have->isDeclaration() && !have->hasExternalWeakLinkage() && !have->use_empty();
  }

  Result<void> add_archive(MemoryBufferRef bytes) {
    auto archive = llvm::object::Archive::create(bytes);
    if (!archive) return fail(Code::kCorrupt, llvm::toString(archive.takeError()));
    std::vector<MemoryBufferRef> members;
    llvm::Error trouble = llvm::Error::success();
    for (const auto& child : (*archive)->children(trouble)) {
      auto member = child.getMemoryBufferRef();
      if (member && llvm::identify_magic(member->getBuffer()) == llvm::file_magic::bitcode)
        members.push_back(*member);
      else if (!member)
        llvm::consumeError(member.takeError());
    }
    if (trouble)
      return fail(Code::kCorrupt,
                  fmt::format("{}: {}", bytes.getBufferIdentifier().str(), llvm::toString(std::move(trouble))));
    for (bool more = true; more;) {
      more = false;
      for (auto& member : members) {
        if (member.getBufferSize() == 0) continue;
        TRY(auto module, parse(member, module_->getContext()));
        const auto wanted = [&](const llvm::GlobalValue& v) {
          return !v.isDeclaration() && !v.hasLocalLinkage() && is_missing(v.getName());
        };
        if (std::none_of(module->begin(), module->end(), wanted) &&
            std::none_of(module->global_begin(), module->global_end(), wanted) &&
            std::none_of(module->alias_begin(), module->alias_end(), wanted))
          continue;
        TRY_DO(link(std::move(module), llvm::Linker::Flags::None, member.getBufferIdentifier().str()));
        member = MemoryBufferRef();
        more = true;
      }
    }
    return {};
  }

  std::unique_ptr<Module> module_;
  llvm::Linker linker_;
};

/// -lm and the like: parts of the C library that is linked anyway.
bool is_of_libc(std::string_view name) {
  for (const std::string_view part : {"m", "c", "pthread", "rt", "dl", "util", "crypt", "resolv", "xnet"})
    if (name == part) return true;
  return false;
}

Result<fs::path> find_library(std::string_view name, const LinkOptions& options) {
  for (const auto& folder : options.library_folders) {
    const auto path = fs::path(folder) / fmt::format("lib{}.a", name);
    std::error_code ignored;
    if (fs::exists(path, ignored)) return path;
  }
  return fail(
      Code::kNotFound,
      fmt::format("-l{}: there is no lib{}.a of portable code in the folders of -L; a library must be compiled by "
                  "godwit cc, too",
                  name, name));
}

/// A weak symbol that nobody defines is null. Later it would be too late: a thunk is not. (A thread-local one has no address that
/// could be null; lower_threads.cc says that it is missing.)
void resolve_weak(Module& module) {
  const auto resolve = [](llvm::GlobalValue& v) {
    if (v.hasExternalWeakLinkage() && !v.isThreadLocal() && !is_supplied_natively(v.getName()))
      v.replaceAllUsesWith(llvm::Constant::getNullValue(v.getType()));
  };
  for (auto& f : module) resolve(f);
  for (auto& v : module.globals()) resolve(v);
}

std::set<std::string> functions_of(const Module& module) {
  std::set<std::string> names;
  for (const auto& f : module)
    if (!f.isDeclaration()) names.insert(f.getName().str());
  return names;
}

/// Everything that stays undefined must be the runtime's: else it would bind to nothing, or to something native.
std::vector<std::string> missing_in(const Module& module) {
  std::vector<std::string> missing;
  const auto look = [&](const llvm::GlobalValue& v, bool intrinsic) {
    if (v.isDeclaration() && !intrinsic && !v.use_empty() && !is_supplied_natively(v.getName()) &&
        !v.hasExternalWeakLinkage())
      missing.push_back(v.getName().str());
  };
  for (const auto& f : module) look(f, f.isIntrinsic());
  for (const auto& v : module.globals()) look(v, false);
  return missing;
}

Result<void> nothing_missing(const Module& module) {
  std::string names;
  for (const auto& name : missing_in(module))
    names += fmt::format("\n  {}{}", name, module.getFunction(name) ? "()" : "");
  if (names.empty()) return {};
  const bool of_cxx =
      module.getFunction("__cxa_throw") || module.getNamedValue("_ZTVN10__cxxabiv117__class_type_infoE");
  return fail(Code::kUsage, fmt::format("these are used and nowhere defined{}:{}",
                                        of_cxx ? " (C++ is linked by godwit c++)" : "", names));
}

Result<void> add_inputs(Program& program, const LinkOptions& options) {
  for (const auto& input : options.inputs) {
    if (!input.starts_with("-l")) {
      TRY_DO(program.add_file(input));
    } else if (const auto name = std::string_view(input).substr(2); !is_of_libc(name)) {
      TRY(const auto path, find_library(name, options));
      TRY_DO(program.add_file(path));
    }
  }
  return {};
}

}  // namespace

Result<std::unique_ptr<Module>> read_own(const LinkOptions& options, llvm::LLVMContext& context) {
  Program program(context);
  TRY_DO(add_inputs(program, options));
  return program.take();
}

Result<std::unique_ptr<Module>> read_program(const LinkOptions& options, llvm::LLVMContext& context,
                                             std::set<std::string> of_back_ends, Told* told) {
  Program program(context);
  TRY_DO(add_inputs(program, options));
  if (told) told->own = functions_of(program.module());
  TRY_DO(program.add_file(options.library / "start.bc"));
  add_asked_of_back_ends(program.module(), of_back_ends);
  want_library_functions(program.module(), of_back_ends);
  if (options.with_libcxx) {
    TRY_DO(program.add_file(options.library / "libcxx-apart.a"));
    TRY_DO(program.add_needed(options.library / "libcxx.bc"));
  }
  TRY_DO(program.add_needed(options.library / "libc.bc"));
  forget_wanted(program.module());
  resolve_weak(program.module());
  const bool all = told && told->all;
  if (all)
    told->missing = missing_in(program.module());
  else
    TRY_DO(nothing_missing(program.module()));
  llvm::internalizeModule(program.module(), [&](const llvm::GlobalValue& v) {
    return stays_visible(v.getName(), Stage::kSimplify) || (all && told->own.contains(v.getName().str()));
  });
  return program.take();
}

}  // namespace godwit::portable
