// Store: the controller's one file, SQLite. Writes Changes in one transaction, reads the whole State once at start.
//
// Rows hold the protobuf message of their subject beside the columns that are compared or looked up. Durability:
// `synchronous=NORMAL` with a WAL means that a transaction is in the page cache when write() returns (a SIGKILL can't
// lose it) and that the file is never corrupt after a power cut, but may lack its last transactions; Changes that are
// `durable` are written with `synchronous=FULL`, which makes them and everything before them safe. Which may be lost,
// and why that is sound: docs/design/commit.md.
//
// Threads: one at a time (ledger.h holds a lock).
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "controller/state.h"

namespace godwit::controller {

namespace sql {
class Database;
}

class Store {
 public:
  /// Opens or makes the file. A file of a newer version, or one that another controller has open, is Code::kRefused.
  static Result<Store> open(const std::string& path);

  /// All that is in the file. Fills `uncertain` when the machine was started anew since the file was written, unless
  /// it was closed properly.
  Result<State> load();
  /// One transaction. Code::kRefused, and nothing written, when a guard doesn't hold.
  Result<void> write(const Changes& changes);
  /// The unit's trace list, oldest first.
  Result<std::vector<std::string>> handovers(const std::string& unit);
  /// Notes that what the file says holds for this start of the machine: call it when `uncertain` has become empty.
  Result<void> note_boot();
  /// Notes that nothing is uncertain: call it when the controller ends properly.
  Result<void> close_properly();

 private:
  struct Closer {
    void operator()(sql::Database* db) const;
  };
  explicit Store(std::unique_ptr<sql::Database, Closer> db) : db_(std::move(db)) {}
  Result<void> set_up();
  Result<void> set_durable(bool durable);
  Result<void> write_transaction(const Changes& changes);
  Result<void> write_rows(const Changes& changes);
  Result<void> write_delegations(const Changes& changes);
  Result<std::string> meta(const std::string& key);
  Result<void> set_meta(const std::string& key, const std::string& value);

  std::unique_ptr<sql::Database, Closer> db_;
  bool durable_ = true;  ///< how the connection writes just now
  int writes_ = 0;       ///< since the WAL was last folded into the file
};

}  // namespace godwit::controller
