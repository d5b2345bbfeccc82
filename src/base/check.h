// GODWIT_CHECK: a condition that only a bug in Godwit can make false. On in release builds.
// Before the process aborts, every frozen process is let go by the hooks that were registered with on_check_failure.
#pragma once

#include <functional>
#include <string_view>

namespace godwit {

[[noreturn]] void check_failed(const char* file, int line, const char* condition, std::string_view detail);

/// Registers an action to run before a failed check aborts (for instance: detach from all tracees).
/// Call it from main() or a test fixture; not from several threads at once. Returns nothing and cannot fail.
void on_check_failure(std::function<void()> action);

#define GODWIT_CHECK(condition, ...)                                                         \
  do {                                                                                       \
    if (!(condition)) [[unlikely]]                                                           \
      ::godwit::check_failed(__FILE__, __LINE__, #condition, std::string_view{__VA_ARGS__}); \
  } while (false)

}  // namespace godwit
