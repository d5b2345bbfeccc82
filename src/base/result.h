// Errors as values: Result<T> is std::expected<T, Error>.
//
// Three kinds of failure exist, no fourth:
//   * expected (the kernel said no, a peer is gone, an image is corrupt, a right is missing): return an Error;
//   * unsupported (this object can't be moved): an Error with Code::kRefused, found before anything is touched;
//   * a bug in Godwit: GODWIT_CHECK (check.h).
//
//     Result<Fd> open_maps(const Fd& proc) {
//       TRY(auto self, sys::open_at(proc, "self", O_PATH | O_DIRECTORY));
//       TRY(auto maps, sys::open_at(self, "maps", O_RDONLY));
//       return maps;
//     }
//
// TRY declares a variable, so it needs a braced scope; TRY_DO is for a call whose value isn't wanted.
// Messages start in lower case, have no full stop, and say the number found and the number wanted.
// Log or return an error, never both.
#pragma once

#include <expected>
#include <string>
#include <string_view>
#include <utility>

namespace godwit {

/// What kind of failure this is. Few and stable: the wire and the exit status of the command line use them.
enum class Code : int {
  kUsage = 2,     ///< the caller asked for something that has no meaning
  kRefused = 3,   ///< it can't be done for this unit or host; nothing was touched
  kFailed = 4,    ///< it was tried, failed, and was rolled back
  kNotFound = 5,  ///< no such unit, node, file, process
  kCorrupt = 6,   ///< bytes from a file or a peer that can't be what they claim
  kPeer = 7,      ///< the other side is gone, silent or speaks another version
  kSystem = 8,    ///< the kernel said no; `errnum` says why
  kGone = 9,      ///< the process or object ended meanwhile: normal, not alarming
  kChanged = 10,  ///< it became another meanwhile; nothing was done, and trying again is likely to succeed
};

/// A code that came from a file or a peer; kFailed for one that isn't known here.
inline Code code_of(int number) {
  const bool known = number >= static_cast<int>(Code::kUsage) && number <= static_cast<int>(Code::kChanged);
  return known ? static_cast<Code>(number) : Code::kFailed;
}

/// The word for a code, as it appears in --json output ("refused").
std::string_view code_name(Code code);

/// A failure with its context. A value: copyable, comparable by its parts.
struct Error {
  Code code = Code::kFailed;
  int errnum = 0;  ///< errno when the kernel said no, else 0
  std::string text;

  /// The same error with where it happened put in front: `err.in("restoring fd 7 of pid 42")`.
  [[nodiscard]] Error in(std::string_view where) const {
    Error copy = *this;
    copy.text = std::string(where) + ": " + text;
    return copy;
  }
  /// The same error as another kind, for instance kSystem turned into kRefused.
  [[nodiscard]] Error as(Code other) const {
    Error copy = *this;
    copy.code = other;
    return copy;
  }
  /// Text for a person, with the kernel's own words when there are any.
  [[nodiscard]] std::string message() const;
};

template <typename T = void>
using Result = std::expected<T, Error>;

inline std::unexpected<Error> fail(Code code, std::string text) {
  return std::unexpected(Error{code, 0, std::move(text)});
}
/// A failure of the kernel: `errnum` is stored, and its text is appended by message().
inline std::unexpected<Error> fail_errno(int errnum, std::string text) {
  return std::unexpected(Error{Code::kSystem, errnum, std::move(text)});
}

#define GODWIT_CONCAT2(a, b) a##b
#define GODWIT_CONCAT(a, b) GODWIT_CONCAT2(a, b)
#define TRY_IMPL(tmp, declaration, ...)                     \
  auto&& tmp = (__VA_ARGS__);                               \
  if (!tmp) return std::unexpected(std::move(tmp).error()); \
  declaration = *std::move(tmp)
/// TRY(auto x, call()): x is the value of call(), or this function returns call()'s error.
#define TRY(declaration, ...) TRY_IMPL(GODWIT_CONCAT(try_result_, __COUNTER__), declaration, __VA_ARGS__)
/// TRY_DO(call()): go on if call() succeeded, else return its error.
#define TRY_DO_IMPL(tmp, ...)                                 \
  do {                                                        \
    auto&& tmp = (__VA_ARGS__);                               \
    if (!tmp) return std::unexpected(std::move(tmp).error()); \
  } while (false)
#define TRY_DO(...) TRY_DO_IMPL(GODWIT_CONCAT(try_result_, __COUNTER__), __VA_ARGS__)
/// TRY_IN("restoring fd 7", call()): like TRY_DO, with context put in front of the error.
#define TRY_IN_IMPL(tmp, where, ...)                                    \
  do {                                                                  \
    auto&& tmp = (__VA_ARGS__);                                         \
    if (!tmp) return std::unexpected(std::move(tmp).error().in(where)); \
  } while (false)
#define TRY_IN(where, ...) TRY_IN_IMPL(GODWIT_CONCAT(try_result_, __COUNTER__), where, __VA_ARGS__)

}  // namespace godwit
