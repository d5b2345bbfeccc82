// The passes that make a program portable, in the order in which a module goes through them.
//
//   prepare            no aliases, no functions that don't return
//   lower_varargs      variable arguments become a buffer of 8-byte slots: va_list differs on every target
//   lower_gotos        labels as values become numbers, a computed goto a switch
//   lower_jumps        setjmp becomes edges of the control flow
//   lower_threads      thread-local variables become offsets from the thread pointer of neutral code
//   lower_constructors llvm.global_ctors becomes a function that __godwit_main calls
//     (LLVM's own simplification: inlining, SROA, LICM … on neutral IR, so that few values are in memory)
//   lower_exceptions   throwing, catching and jumping become values of the state word
//   place_points       adaptation points: where a thread may stop
//   check_allowed      what is left as it is (GODWIT_ALLOW) calls nothing that may stop
//   build_frames       every function that may be on the stack at such a point learns to save and restore its frame
//   lay_out            thunks for functions whose address is taken; all globals into two sections
//
//     (from here on a target at a time: compiler/lower.cc)
//   adapt_big_endian   neutral memory stays little-endian where the processor isn't
//   adapt_narrow       pointers stay numbers of 64 bits where addresses have 32
//
// Then the target's triple and data layout are set and its back end runs. The passes know no target. Each may be run alone,
// by its name, in `opt -load-pass-plugin godwit-passes.so -passes=godwit-…`: that is how they are tested (tests/portable/pass).
//
// Threads: none. Errors: what can't be carried is reported by LLVMContext::diagnose with severity DS_Error and the source
// line, when there is debug information; the pass then goes on with the rest, so that all such places are told at once.
#pragma once

#include <llvm/IR/PassManager.h>
#include <llvm/Passes/PassBuilder.h>

#include <string>
#include <vector>

namespace godwit::portable {

// Each is a function of one file. To add one: its file, its declaration, its row in passes.cc, a test in tests/portable/pass.
using PassFunction = llvm::PreservedAnalyses(llvm::Module& module, llvm::ModuleAnalysisManager& analyses);
PassFunction prepare, lower_varargs, lower_gotos, lower_jumps, lower_threads, lower_constructors;
PassFunction lower_exceptions, place_points, check_allowed, build_frames, lay_out;
PassFunction adapt_big_endian, adapt_narrow;

/// Makes the passes known by their names: "godwit-lower-varargs" …
void register_passes(llvm::PassBuilder& builder);

/// The passes before LLVM's simplification, and those after it.
void add_lowering(llvm::ModulePassManager& passes);
void add_instrumentation(llvm::ModulePassManager& passes);

/// Behind lay_out: the functions that have a thunk, in the order of their addresses.
std::vector<std::string> functions_with_thunks(const llvm::Module& module);

}  // namespace godwit::portable
