// A thin RAII layer over SQLite's C interface: statements with typed binding, which are compiled once. Private to the store.
#pragma once

#include <fmt/format.h>
#include <sqlite3.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "base/result.h"

namespace godwit::controller::sql {

inline std::unexpected<Error> fail_sql(sqlite3* db, std::string_view what) {
  const int code = sqlite3_extended_errcode(db);
  // A full disk and a busy file are told apart: one is the machine's trouble, the other a second controller.
  const Code kind = (code & 0xff) == SQLITE_BUSY ? Code::kRefused : Code::kSystem;
  return fail(kind, fmt::format("store: {}: {}", what, sqlite3_errmsg(db)));
}

// A connection, and the statements that it has compiled: to compile one takes longer than to run it.
class Database {
 public:
  explicit Database(sqlite3* db) : db_(db) {}
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;
  ~Database() {
    for (const auto& [text, statement] : kept_) sqlite3_finalize(statement);
    sqlite3_close_v2(db_);
  }
  sqlite3* get() const { return db_; }

  // `text` must be a literal. Null if it can't be compiled: the error is the connection's.
  sqlite3_stmt* take(const char* text) {
    if (sqlite3_stmt* kept = std::exchange(kept_[text], nullptr)) return kept;
    sqlite3_stmt* statement = nullptr;
    if (sqlite3_prepare_v3(db_, text, -1, SQLITE_PREPARE_PERSISTENT, &statement, nullptr) != SQLITE_OK) return nullptr;
    return statement;
  }
  void give_back(const char* text, sqlite3_stmt* statement) {
    sqlite3_reset(statement);
    sqlite3_clear_bindings(statement);
    sqlite3_finalize(std::exchange(kept_[text], statement));  // another one, where two of the same were in use
  }

 private:
  sqlite3* db_;
  std::unordered_map<std::string_view, sqlite3_stmt*> kept_;  // those that nobody uses just now
};

class Statement {
 public:
  Statement(Database& db, const char* text) : db_(db), text_(text), statement_(db.take(text)) {}
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;
  ~Statement() {
    if (statement_) db_.give_back(text_, statement_);
  }

  Statement& bind(const std::string& text) {
    if (statement_) sqlite3_bind_text64(statement_, ++bound_, text.data(), text.size(), SQLITE_TRANSIENT, SQLITE_UTF8);
    return *this;
  }
  Statement& bind_blob(const std::string& bytes) {
    if (statement_) sqlite3_bind_blob64(statement_, ++bound_, bytes.data(), bytes.size(), SQLITE_TRANSIENT);
    return *this;
  }
  Statement& bind(int64_t number) {
    if (statement_) sqlite3_bind_int64(statement_, ++bound_, number);
    return *this;
  }
  /// True: a row is there. False: done.
  Result<bool> step() {
    if (!statement_) return fail_sql(db_.get(), "statement");
    const int rc = sqlite3_step(statement_);
    if (rc == SQLITE_ROW) return true;
    if (rc == SQLITE_DONE) return false;
    return fail_sql(db_.get(), text_);
  }
  Result<void> run() {
    TRY(const bool row, step());
    (void)row;
    return {};
  }
  std::string text(int column) const { return bytes(column); }
  std::string bytes(int column) const {
    const void* data = sqlite3_column_blob(statement_, column);
    const int size = sqlite3_column_bytes(statement_, column);
    return data ? std::string(static_cast<const char*>(data), static_cast<size_t>(size)) : std::string();
  }
  int64_t number(int column) const { return sqlite3_column_int64(statement_, column); }

 private:
  Database& db_;
  const char* text_;
  sqlite3_stmt* statement_;
  int bound_ = 0;
};

// Any text, several statements too; compiled anew each time.
inline Result<void> execute(Database& db, const char* text) {
  if (sqlite3_exec(db.get(), text, nullptr, nullptr, nullptr) != SQLITE_OK) return fail_sql(db.get(), text);
  return {};
}

}  // namespace godwit::controller::sql
