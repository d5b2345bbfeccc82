// One target's object file from the instrumented module.
//
// The module is read again from bitcode into a context of its own, so that targets can be lowered side by side. What made it
// neutral is replaced: triple, data layout, processor. Then the target's own optimisations run: function passes and
// vectorisers only matter, and no module pass may touch a global (all are in llvm.compiler.used), since their order and
// number is what makes addresses equal.
//
// Floating point: no contraction of a*b+c and no other change of results, or the same program would compute something else
// where a fused instruction exists.
#include <fmt/format.h>
#include <llvm/Bitcode/BitcodeReader.h>
#include <llvm/IR/DiagnosticHandler.h>
#include <llvm/IR/DiagnosticInfo.h>
#include <llvm/IR/DiagnosticPrinter.h>
#include <llvm/IR/LegacyPassManager.h>
#include <llvm/IR/Module.h>
#include <llvm/MC/TargetRegistry.h>
#include <llvm/Passes/PassBuilder.h>
#include <llvm/Support/CommandLine.h>
#include <llvm/Support/FileSystem.h>
#include <llvm/Support/SourceMgr.h>
#include <llvm/Support/TargetSelect.h>
#include <llvm/Target/TargetMachine.h>
#include <llvm/TargetParser/Triple.h>
#include <llvm/Transforms/Utils/ModuleUtils.h>

#include <mutex>

#include "portable/compiler/analyses.h"
#include "portable/compiler/link.h"
#include "portable/compiler/program.h"
#include "portable/pass/passes.h"
#include "portable/pass/support.h"

namespace godwit::portable {
namespace {

Result<std::unique_ptr<llvm::TargetMachine>> machine_for(const Target& target, unsigned level) {
  static std::once_flag once;
  std::call_once(once, [] {
    llvm::InitializeAllTargetInfos();
    llvm::InitializeAllTargets();
    llvm::InitializeAllTargetMCs();
    llvm::InitializeAllAsmParsers();
    llvm::InitializeAllAsmPrinters();
    // A loop that a restored frame enters in its middle is none to LLVM's usual placement of blocks, which then puts what is
    // never run into it and its hot blocks elsewhere. This one goes by frequencies.
    const char* options[] = {"godwit-link", "-enable-ext-tsp-block-placement"};
    llvm::cl::ParseCommandLineOptions(2, options);
  });
  std::string trouble;
  const auto* which = llvm::TargetRegistry::lookupTarget(std::string(target.triple), trouble);
  if (!which) return fail(Code::kSystem, fmt::format("LLVM has no back end for {}: {}", target.name, trouble));
  llvm::TargetOptions options;
  options.AllowFPOpFusion = llvm::FPOpFusion::Strict;
  options.FunctionSections = true;  // the linker leaves out what nobody calls
  options.ExceptionModel = llvm::ExceptionHandling::None;
  if (target.name == "riscv64") options.MCOptions.ABIName = "lp64d";
  if (target.name == "armhf") options.FloatABIType = llvm::FloatABI::Hard;
  auto* machine = which->createTargetMachine(
      std::string(target.triple), std::string(target.cpu), std::string(target.features), options, llvm::Reloc::Static,
      target.code_model, level == 0 ? llvm::CodeGenOptLevel::None : llvm::CodeGenOptLevel::Default);
  return std::unique_ptr<llvm::TargetMachine>(machine);
}

/// What the neutral front end wrote about its own target.
void make_target(llvm::Module& module, const Target& target, const llvm::TargetMachine& machine) {
  module.setTargetTriple(std::string(target.triple));
  module.setDataLayout(machine.createDataLayout());
  if (auto* flags = module.getModuleFlagsMetadata()) {
    llvm::SmallVector<llvm::Module::ModuleFlagEntry, 8> entries;
    module.getModuleFlagsMetadata(entries);
    flags->clearOperands();
    for (const auto& e : entries) {
      const auto key = e.Key->getString();
      if (key == "target-abi" || key == "riscv-isa" || key == "Code Model" || key == "PIC Level" ||
          key == "PIE Level" || key == "SmallDataLimit" || key == "uwtable")
        continue;
      module.addModuleFlag(e.Behavior, key, e.Val);
    }
  }
  for (auto& function : module) {
    for (const char* attribute :
         {"target-cpu", "target-features", "tune-cpu", "no-trapping-math", "stack-protector-buffer-size"})
      function.removeFnAttr(attribute);
    function.removeFnAttr(llvm::Attribute::UWTable);
    if (!function.isDeclaration()) function.addFnAttr("target-cpu", target.cpu);
    if (!target.features.empty()) function.addFnAttr("target-features", target.features);
  }
}

void add_thunks(llvm::Module& module, const Target& target, const std::vector<std::string>& thunks) {
  std::string text = fmt::format(".section .godwit.thunks,\"ax\",%progbits\n{}\n", target.before_jumps);
  for (const auto& name : thunks) {
    text += fmt::format(".balign 16\n.globl {0}{1}\n.type {0}{1},%function\n{0}{1}:\n", kThunkPrefix, name);
    const auto* wrapper = module.getFunction(kWidePrefix + name);
    text += fmt::format(fmt::runtime(target.jump), wrapper ? wrapper->getName().str() : name) + "\n";
  }
  if (!thunks.empty()) module.setModuleInlineAsm(text + ".balign 16\n" + module.getModuleInlineAsm());
}

void pin_globals(llvm::Module& module) {
  llvm::SmallVector<llvm::GlobalValue*, 64> pinned;
  for (auto& v : module.globals())
    if (!v.isDeclaration() && !v.getName().starts_with("llvm.")) pinned.push_back(&v);
  for (auto& f : module)  // thunks jump to them
    if (!f.isDeclaration() && f.hasExternalLinkage()) pinned.push_back(&f);
  llvm::appendToCompilerUsed(module, pinned);
}

/// Before the data layout is replaced: the pass needs the neutral one.
void adapt(llvm::Module& module, const Target& target) {
  llvm::ModuleAnalysisManager unused;
  if (target.big_endian) adapt_big_endian(module, unused);
  if (target.narrow) adapt_narrow(module, unused);
}

void optimise(llvm::Module& module, llvm::TargetMachine& machine, unsigned level) {
  if (level == 0) return;
  llvm::PassBuilder builder(&machine);
  Analyses analyses(builder);
  llvm::ModulePassManager passes;
  passes.addPass(builder.buildModuleOptimizationPipeline(as_level(level), llvm::ThinOrFullLTOPhase::None));
  passes.run(module, analyses.of_modules);
}

/// Assembly in functions with GODWIT_ALLOW (../pass/allow.cc) is read by the target's back end at last.
class ForTarget : public llvm::DiagnosticHandler {
 public:
  explicit ForTarget(const Target& target) : target_(target) {}
  bool handleDiagnostics(const llvm::DiagnosticInfo& info) override {
    if (info.getSeverity() != llvm::DS_Error) return false;
    const auto* assembly = llvm::dyn_cast<llvm::DiagnosticInfoSrcMgr>(&info);
    std::string text;
    llvm::raw_string_ostream stream(text);
    llvm::DiagnosticPrinterRawOStream printer(stream);
    if (!assembly) info.print(printer);
    fmt::print(stderr, "{}\n",
               assembly ? fmt::format("error: inline assembly that {} doesn't have: {}: '{}'", target_.name,
                                      assembly->getSMDiag().getMessage().str(),
                                      assembly->getSMDiag().getLineContents().trim().str())
                        : "error: " + text);
    ++errors;
    return true;
  }
  unsigned errors = 0;

 private:
  const Target& target_;
};

}  // namespace

Result<void> lower(const Instrumented& program, std::string_view name, const Target& target, unsigned level,
                   const fs::path& object) {
  llvm::LLVMContext context;
  auto module = llvm::parseBitcodeFile(llvm::MemoryBufferRef(program.bitcode, "program"), context);
  if (!module) return fail(Code::kFailed, llvm::toString(module.takeError()));
  auto handler = std::make_unique<ForTarget>(target);
  auto* diagnostics = handler.get();
  context.setDiagnosticHandler(std::move(handler));
  describe_program(**module, name, program);
  adapt(**module, target);
  TRY(auto machine, machine_for(target, level));
  make_target(**module, target, *machine);
  pin_globals(**module);
  add_thunks(**module, target, program.thunks);
  optimise(**module, *machine, level);
  std::error_code trouble;
  llvm::raw_fd_ostream file(object.string(), trouble);
  if (trouble) return fail(Code::kSystem, fmt::format("{}: {}", object.string(), trouble.message()));
  llvm::legacy::PassManager emit;
  if (machine->addPassesToEmitFile(emit, file, nullptr, llvm::CodeGenFileType::ObjectFile))
    return fail(Code::kFailed, fmt::format("LLVM can't write objects for {}", target.name));
  emit.run(**module);
  if (diagnostics->errors)
    return fail(Code::kRefused,
                fmt::format("the program can't be made for {0} (see above); --targets leaves {0} out", target.name));
  file.close();
  if (file.has_error()) return fail(Code::kSystem, fmt::format("{}: {}", object.string(), file.error().message()));
  return {};
}

}  // namespace godwit::portable
