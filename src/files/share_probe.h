// Do two machines see the same file? Proved by content, never by name: a path, a device number or "nfs" in a mount table
// says nothing about what is really behind it.
//
//     source                                         destination
//     ask("/data/out.csv")  ── question ──▶          answer(question): opens the hidden file by its path, must read the
//       makes /data/.godwit-probe-<random>,                    nonce there, writes a reply of its own into it
//       holding a random nonce
//     confirm(answer)       ◀── answer ──            (the reply travels in the answer, too)
//       must read that reply in the hidden file
//
// So both directions are proved: the destination sees what the source writes, and the source what the destination writes.
// It proves that the *directory* is shared; that the file in it isn't hidden on one side by a mount on top of it is
// checked on both. The hidden file is removed when the ShareProbe goes, whatever happened; a killed keeper leaves it, and
// it is plain from its name what it is.
#pragma once

#include <string>

#include "base/fd.h"
#include "base/result.h"

namespace godwit::files {

struct ShareQuestion {
  std::string path;  ///< absolute: the file in question
  std::string probe_name;  ///< ".godwit-probe-" and 32 hexadecimal digits
  std::string nonce;  ///< 32 bytes
  bool operator==(const ShareQuestion&) const = default;
};

struct ShareAnswer {
  std::string path;
  bool seen = false;
  std::string reply;  ///< 32 bytes of the destination's choice, if seen
  std::string why;  ///< if not: what was found instead, for people
  bool operator==(const ShareAnswer&) const = default;
};

/// The source's half.
class ShareProbe {
 public:
  /// `root` is the unit's root directory. Code::kRefused: here one can't even ask (the directory isn't writable, …).
  static Result<ShareProbe> ask(const Fd& root, const std::string& path);
  [[nodiscard]] const ShareQuestion& question() const { return question_; }
  /// Shared, or a Code::kRefused error that says why not.
  Result<void> confirm(const ShareAnswer& answer) const;

  ShareProbe(ShareProbe&&) noexcept = default;
  ShareProbe& operator=(ShareProbe&&) = delete;
  ~ShareProbe();

 private:
  ShareProbe() = default;
  ShareQuestion question_;
  Fd directory_;
};

/// The destination's half. A question from a hostile peer can at most make it open a file of that name; it writes only to
/// a file that already holds the nonce. Code::kCorrupt: not a question.
Result<ShareAnswer> answer(const Fd& root, const ShareQuestion& question);

}  // namespace godwit::files
