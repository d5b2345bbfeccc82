// Exceptions without an unwinder: what libc++abi asks of one, and what the code that pass/lower_exceptions.cc makes asks of
// libc++abi.
//
// Problem: an unwinder walks native frames by tables, both of which are another on each target; and a thread may have to move
// while an exception is on its way (a destructor that it runs may block).
//
// Idea: the state word that is looked at after each call gets a third value, kThrowing. A throw sets it and returns; each call
// site returns to its caller in turn, or, where the source has a handler or a destructor to run, enters its landing pad, which
// asks here whether a handler fits. So there is nothing to walk: the way of an exception is ordinary returns, landing pads are
// ordinary code, and the exception is memory like any other.
//
// The contract with the pass, for one throw:
//
//   __cxa_throw          libc++abi's, unmodified: makes the header, calls _Unwind_RaiseException, which is here:
//   __godwit_raise(u)    keeps u as the thread's exception. The pass sets kThrowing behind each call of it and lets the function
//                        that made the call return, as it does for `resume`.
//   a landing pad        the pass sets kRunning, then asks for the selector: the clauses in their order, by
//   __godwit_land        for handlers, and
//   __godwit_filter      for an exception specification (the selector of one that is violated is negative).
//                        No clause fits and no cleanup: __godwit_raise again, with
//   __godwit_exception_object   the exception that is on its way.
//   __cxa_begin_catch, __cxa_end_catch, __cxa_rethrow   libc++abi's, unmodified
//   __godwit_uncaught    the start code calls it when main or a thread's function came back with kThrowing. (A noexcept
//                        function has a handler for everything that calls std::terminate: no special case.)
//
// All this is neutral code and is instrumented: a thread may move inside of it.
//
// Limits: there is no first phase that looks for a handler before anything is unwound. For an exception that nobody catches
// std::terminate is called all the same, but destructors have run by then and the stack is gone. Forced unwinding and
// backtraces find no frames.
#include <stdint.h>
#include <stdlib.h>
#include <unwind.h>

#include <exception>
#include <typeinfo>

#include "cxa_exception.h"
#include "cxa_handlers.h"
#include "cxxabi.h"
#include "private_typeinfo.h"

namespace __cxxabiv1 {
namespace {

/// Not read any more once a handler or a cleanup has been entered: those have it in a variable.
thread_local _Unwind_Exception* on_its_way;

/// The header before a native exception; that of a rethrown std::exception_ptr has the same layout.
__cxa_exception* header_of(_Unwind_Exception* exception) {
  return reinterpret_cast<__cxa_exception*>(exception + 1) - 1;
}

void* object_of(_Unwind_Exception* exception) {
  if (__getExceptionClass(exception) == kOurDependentExceptionClass)
    return reinterpret_cast<__cxa_dependent_exception*>(header_of(exception))->primaryException;
  return exception + 1;
}

/// Does a handler for `type` take the exception? Then `adjusted` is what it gets: a base of the object, say, or the pointer
/// that was thrown.
bool fits(const void* type, _Unwind_Exception* exception, void*& adjusted) {
  adjusted = object_of(exception);
  const auto* thrown = static_cast<const __shim_type_info*>(header_of(exception)->exceptionType);
  return static_cast<const __shim_type_info*>(type)->can_catch(thrown, adjusted);
}

/// The types of an exception specification that was violated; kept in the header until __cxa_call_unexpected.
struct Specification {
  void* const* types;
  long count;

  static Specification of(const __cxa_exception* header) {
    return {static_cast<void* const*>(header->catchTemp), header->handlerSwitchValue};
  }
  bool allows(const std::type_info& thrown, void* object) const {
    for (long i = 0; i < count; ++i) {
      void* adjusted = object;
      if (static_cast<const __shim_type_info*>(types[i])->can_catch(static_cast<const __shim_type_info*>(&thrown),
                                                                    adjusted))
        return true;
    }
    return false;
  }
};

}  // namespace

extern "C" {

// Weak: for a function that nobody can replace the front end notices that it never throws, and tells callers so.
__attribute__((weak, noinline)) void __godwit_raise(void* exception) {
  on_its_way = static_cast<_Unwind_Exception*>(exception);
}

void* __godwit_exception_object() { return on_its_way; }

/// `table`: typeinfos of handlers, null for catch (...). The selector: the low half of the first address that fits (neutral data
/// is below 2 GiB), 1 for catch (...), 0 for none.
int __godwit_land(void* const* table, long count) {
  auto* exception = on_its_way;
  const bool native = __isOurExceptionClass(exception);
  for (long i = 0; i < count; ++i) {
    void* adjusted = nullptr;
    if (table[i] == nullptr) {
      if (native) header_of(exception)->adjustedPtr = object_of(exception);
      return 1;
    }
    if (native && fits(table[i], exception, adjusted)) {
      header_of(exception)->adjustedPtr = adjusted;
      return static_cast<int>(reinterpret_cast<uintptr_t>(table[i]));
    }
  }
  return 0;
}

/// Is the exception none of these? What the language doesn't know (another language's) is always a violation.
int __godwit_filter(void* const* table, long count) {
  auto* exception = on_its_way;
  if (!__isOurExceptionClass(exception)) return 1;
  auto* header = header_of(exception);
  const Specification specification{table, count};
  if (specification.allows(*header->exceptionType, object_of(exception))) return 0;
  header->catchTemp = const_cast<void**>(table);
  header->handlerSwitchValue = static_cast<int>(count);
  header->adjustedPtr = object_of(exception);
  return 1;
}

void __godwit_uncaught() {
  __cxa_begin_catch(on_its_way);
  std::terminate();
}

// ---- What libc++abi and programs ask of an unwinder.

_Unwind_Reason_Code _Unwind_RaiseException(_Unwind_Exception* exception) {
  __godwit_raise(exception);
  return _URC_END_OF_STACK;
}
_Unwind_Reason_Code _Unwind_Resume_or_Rethrow(_Unwind_Exception* exception) {
  __godwit_raise(exception);
  return _URC_END_OF_STACK;
}
void _Unwind_Resume(_Unwind_Exception* exception) { __godwit_raise(exception); }
void _Unwind_DeleteException(_Unwind_Exception* exception) {
  if (exception->exception_cleanup) exception->exception_cleanup(_URC_FOREIGN_EXCEPTION_CAUGHT, exception);
}

// No frames can be seen.
_Unwind_Reason_Code _Unwind_ForcedUnwind(_Unwind_Exception*, _Unwind_Stop_Fn, void*) { return _URC_FATAL_PHASE2_ERROR; }
_Unwind_Reason_Code _Unwind_Backtrace(_Unwind_Trace_Fn, void*) { return _URC_END_OF_STACK; }
uintptr_t _Unwind_GetIP(_Unwind_Context*) { return 0; }
uintptr_t _Unwind_GetIPInfo(_Unwind_Context*, int* before) { return *before = 0; }
uintptr_t _Unwind_GetCFA(_Unwind_Context*) { return 0; }
uintptr_t _Unwind_GetRegionStart(_Unwind_Context*) { return 0; }
uintptr_t _Unwind_GetLanguageSpecificData(_Unwind_Context*) { return 0; }
void* _Unwind_FindEnclosingFunction(void*) { return nullptr; }

// Every function with a landing pad names it. The pass takes the name away.
_Unwind_Reason_Code __gxx_personality_v0(int, _Unwind_Action, uint64_t, _Unwind_Exception*, _Unwind_Context*) {
  return _URC_FATAL_PHASE1_ERROR;
}

/// A violated exception specification (before C++17): calls the handler, which may throw something that the specification
/// allows, or anything when it allows std::bad_exception. The steps are those of the C++ ABI.
__attribute__((noreturn)) void __cxa_call_unexpected(void* argument) {
  auto* exception = static_cast<_Unwind_Exception*>(argument);
  if (exception == nullptr) std::terminate();
  __cxa_begin_catch(exception);
  if (!__isOurExceptionClass(exception)) {
    // Whose specification it violates isn't kept: whatever the handler throws ends here.
    const auto terminate = std::get_terminate();
    try {
      std::__unexpected(std::get_unexpected());
    } catch (...) {
    }
    std::__terminate(terminate);
  }
  auto* old = header_of(exception);
  // A handler that throws the same exception again overwrites these.
  const auto specification = Specification::of(old);
  const auto terminate = old->terminateHandler;
  try {
    std::__unexpected(old->unexpectedHandler);
  } catch (...) {
    auto* globals = __cxa_get_globals_fast();
    auto* fresh = globals->caughtExceptions;
    if (fresh == nullptr) std::__terminate(terminate);
    if (fresh != old && __isOurExceptionClass(&fresh->unwindHeader) &&
        specification.allows(*fresh->exceptionType, object_of(&fresh->unwindHeader))) {
      // The old exception must go, but it lies below the new one on the stack of those that are caught. The new one is
      // taken off as if it were thrown again, which keeps it, and put back.
      fresh->handlerCount = -fresh->handlerCount;
      globals->uncaughtExceptions += 1;
      __cxa_end_catch();
      __cxa_end_catch();
      __cxa_begin_catch(&fresh->unwindHeader);
      throw;
    }
    std::bad_exception bad;
    if (specification.allows(typeid(std::bad_exception), &bad)) {
      __cxa_end_catch();
      throw bad;
    }
  }
  std::__terminate(terminate);
}

}  // extern "C"
}  // namespace __cxxabiv1
