// A thin RAII layer over SQLite's C interface: prepared statements with typed binding. Private to the store.
#pragma once

#include <fmt/format.h>
#include <sqlite3.h>

#include <cstdint>
#include <string>

#include "base/result.h"

namespace godwit::controller::sql {

inline std::unexpected<Error> fail_sql(sqlite3* db, std::string_view what) {
  const int code = sqlite3_extended_errcode(db);
  // A full disk and a busy file are told apart: one is the machine's trouble, the other a second controller.
  const Code kind = (code & 0xff) == SQLITE_BUSY ? Code::kRefused : Code::kSystem;
  return fail(kind, fmt::format("store: {}: {}", what, sqlite3_errmsg(db)));
}

class Statement {
 public:
  Statement(sqlite3* db, const char* text) : db_(db) {
    if (sqlite3_prepare_v2(db, text, -1, &statement_, nullptr) != SQLITE_OK) statement_ = nullptr;
  }
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;
  ~Statement() { sqlite3_finalize(statement_); }

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
    if (!statement_) return fail_sql(db_, "statement");
    const int rc = sqlite3_step(statement_);
    if (rc == SQLITE_ROW) return true;
    if (rc == SQLITE_DONE) return false;
    return fail_sql(db_, sqlite3_sql(statement_));
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
  sqlite3* db_;
  sqlite3_stmt* statement_ = nullptr;
  int bound_ = 0;
};

inline Result<void> execute(sqlite3* db, const char* text) {
  if (sqlite3_exec(db, text, nullptr, nullptr, nullptr) != SQLITE_OK) return fail_sql(db, text);
  return {};
}

}  // namespace godwit::controller::sql
