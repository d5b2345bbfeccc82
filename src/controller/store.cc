#include "controller/store.h"

#include <fmt/format.h>
#include <sqlite3.h>

#include "base/io.h"
#include "base/pki.h"
#include "controller/delegated.h"
#include "controller/sched_view.h"
#include "controller/sql.h"
#include "controller/token.h"

namespace godwit::controller {
namespace {

using sql::execute;
using sql::Statement;

constexpr int kVersion = 2;
// The WAL is folded into the file after so many durable writes, never inside a commit (it would wait for the disk).
constexpr int kFoldEvery = 256;

constexpr const char* kSchema = R"(
CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE units(id TEXT PRIMARY KEY, name TEXT NOT NULL, node TEXT NOT NULL, epoch INTEGER NOT NULL,
                   state INTEGER NOT NULL, body BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE nodes(name TEXT PRIMARY KEY, body BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE migrations(id TEXT PRIMARY KEY, unit TEXT NOT NULL, epoch INTEGER NOT NULL, state INTEGER NOT NULL,
                        body BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE checkpoints(unit TEXT NOT NULL, number INTEGER NOT NULL, body BLOB NOT NULL,
                         PRIMARY KEY(unit, number)) WITHOUT ROWID;
CREATE TABLE tokens(digest TEXT PRIMARY KEY, node TEXT NOT NULL, expires_ms INTEGER NOT NULL) WITHOUT ROWID;
)";

// Since version 2. Rows of `handovers` are never changed or removed: the log.
constexpr const char* kDelegations = R"(
CREATE TABLE delegations(unit TEXT PRIMARY KEY, body BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE handovers(unit TEXT NOT NULL, sequence INTEGER NOT NULL, entry TEXT NOT NULL,
                       PRIMARY KEY(unit, sequence)) WITHOUT ROWID;
CREATE TRIGGER handovers_change BEFORE UPDATE ON handovers BEGIN SELECT RAISE(ABORT, 'the log is appended to only'); END;
CREATE TRIGGER handovers_delete BEFORE DELETE ON handovers BEGIN SELECT RAISE(ABORT, 'the log is appended to only'); END;
CREATE TABLE revocations(id TEXT PRIMARY KEY) WITHOUT ROWID;
)";

std::string boot_id() { return io::read_file("/proc/sys/kernel/random/boot_id", 256).value_or(""); }

template <typename Message>
Result<Message> parse(const std::string& bytes, std::string_view what) {
  Message message;
  if (!message.ParseFromString(bytes))
    return fail(Code::kCorrupt, fmt::format("store: a row of {} can't be read", what));
  return message;
}

}  // namespace

void Store::Closer::operator()(sql::Database* db) const { delete db; }

Result<Store> Store::open(const std::string& path) {
  sqlite3* raw = nullptr;
  const int rc =
      sqlite3_open_v2(path.c_str(), &raw, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, nullptr);
  std::unique_ptr<sql::Database, Closer> db(new sql::Database(raw));
  if (rc != SQLITE_OK) return fail(Code::kSystem, fmt::format("opening {}: {}", path, sqlite3_errstr(rc)));
  Store store(std::move(db));
  if (auto ready = store.set_up(); !ready) {
    if (ready.error().code == Code::kRefused && ready.error().text.find("locked") != std::string::npos)
      return fail(Code::kRefused, fmt::format("another controller has {} open", path));
    return std::unexpected(ready.error().in(path));
  }
  return store;
}

Result<void> Store::set_up() {
  // Exclusive: two controllers on one file would each believe in their own memory.
  TRY_DO(execute(*db_, "PRAGMA locking_mode=EXCLUSIVE"));
  TRY_DO(execute(*db_, "PRAGMA journal_mode=WAL"));
  TRY_DO(execute(*db_, "PRAGMA wal_autocheckpoint=0"));
  TRY_DO(execute(*db_, "PRAGMA synchronous=FULL"));
  TRY_DO(execute(*db_, "BEGIN IMMEDIATE"));
  int64_t version = 0;
  {
    Statement get(*db_, "PRAGMA user_version");
    TRY_DO(get.step());
    version = get.number(0);
  }
  if (version > kVersion)
    return fail(Code::kRefused,
                fmt::format("written by a newer Godwit (version {}, this one knows {})", version, kVersion));
  if (version == 0) {
    TRY_DO(execute(*db_, kSchema));
    TRY_DO(set_meta("secret", pki::random_hex(32)));
  }
  if (version < 2) TRY_DO(execute(*db_, kDelegations));
  if (version != kVersion) TRY_DO(execute(*db_, fmt::format("PRAGMA user_version={}", kVersion).c_str()));
  return execute(*db_, "COMMIT");
}

Result<std::string> Store::meta(const std::string& key) {
  Statement get(*db_, "SELECT value FROM meta WHERE key=?");
  TRY(const bool found, get.bind(key).step());
  return found ? get.text(0) : std::string();
}

Result<void> Store::set_meta(const std::string& key, const std::string& value) {
  Statement put(*db_, "INSERT OR REPLACE INTO meta VALUES(?,?)");
  return put.bind(key).bind(value).run();
}

Result<State> Store::load() {
  State state;
  Changes all;
  TRY(state.secret, meta("secret"));
  Statement units(*db_, "SELECT body FROM units");
  for (;;) {
    TRY(const bool more, units.step());
    if (!more) break;
    TRY(auto unit, parse<wire::Unit>(units.bytes(0), "units"));
    all.units.push_back(std::move(unit));
  }
  Statement nodes(*db_, "SELECT body FROM nodes");
  for (;;) {
    TRY(const bool more, nodes.step());
    if (!more) break;
    TRY(auto node, parse<wire::NodeInfo>(nodes.bytes(0), "nodes"));
    all.nodes.push_back(std::move(node));
  }
  Statement migrations(*db_, "SELECT body FROM migrations");
  for (;;) {
    TRY(const bool more, migrations.step());
    if (!more) break;
    TRY(auto migration, parse<wire::Migration>(migrations.bytes(0), "migrations"));
    all.migrations.push_back(std::move(migration));
  }
  Statement checkpoints(*db_, "SELECT body FROM checkpoints");
  for (;;) {
    TRY(const bool more, checkpoints.step());
    if (!more) break;
    TRY(auto checkpoint, parse<wire::Checkpoint>(checkpoints.bytes(0), "checkpoints"));
    all.checkpoints.push_back(std::move(checkpoint));
  }
  Statement tokens(*db_, "SELECT digest, node, expires_ms FROM tokens");
  for (;;) {
    TRY(const bool more, tokens.step());
    if (!more) break;
    all.tokens.push_back({tokens.text(0), tokens.text(1), tokens.number(2)});
  }
  Statement kept(*db_, "SELECT key, value FROM meta WHERE key GLOB 'sched.*'");
  for (;;) {
    TRY(const bool more, kept.step());
    if (!more) break;
    all.meta.emplace_back(kept.text(0), kept.text(1));
  }
  Statement delegations(*db_, "SELECT unit, body FROM delegations");
  for (;;) {
    TRY(const bool more, delegations.step());
    if (!more) break;
    TRY(auto row, delegated_of(delegations.text(0), delegations.bytes(1)));
    all.delegations.push_back(std::move(row));
  }
  Statement revocations(*db_, "SELECT id FROM revocations");
  for (;;) {
    TRY(const bool more, revocations.step());
    if (!more) break;
    all.revocations.push_back(revocations.text(0));
  }
  state.apply(all);
  state.given.clear();  // all of it before any node is heard

  const std::string boot = boot_id();
  TRY(const std::string written_in, meta("boot"));
  TRY(const std::string closed, meta("closed"));
  if (!written_in.empty() && written_in != boot && closed != "properly")
    for (const auto& [unit, id] : state.open_moves) state.uncertain.insert(id);
  // While something is uncertain the file keeps the old boot id: a second crash must not make it look certain.
  if (state.uncertain.empty()) TRY_DO(note_boot());
  return state;
}

Result<void> Store::note_boot() {
  TRY_DO(set_meta("boot", boot_id()));
  return set_meta("closed", "no");
}

Result<void> Store::close_properly() {
  TRY_DO(set_meta("closed", "properly"));
  return execute(*db_, "PRAGMA wal_checkpoint(TRUNCATE)");
}

Result<void> Store::set_durable(bool durable) {
  if (durable_ == durable) return {};
  TRY_DO(execute(*db_, durable ? "PRAGMA synchronous=FULL" : "PRAGMA synchronous=NORMAL"));
  durable_ = durable;
  return {};
}

Result<void> Store::write(const Changes& changes) {
  if (changes.durable) TRY_DO(set_durable(true));
  auto written = write_transaction(changes);
  // Between a move's plan and its commit, and not while a unit stands still for it.
  if (changes.durable) (void)set_durable(false);
  return written;
}

Result<void> Store::write_transaction(const Changes& changes) {
  TRY_DO(Statement(*db_, "BEGIN IMMEDIATE").run());
  auto written = write_rows(changes);
  if (written) written = Statement(*db_, "COMMIT").run();
  if (!written) {
    (void)execute(*db_, "ROLLBACK");
    return written;
  }
  if (changes.durable && ++writes_ >= kFoldEvery) {
    writes_ = 0;
    (void)execute(*db_, "PRAGMA wal_checkpoint(PASSIVE)");
  }
  return {};
}

Result<void> Store::write_rows(const Changes& changes) {
  if (changes.unit_guard) {
    Statement get(*db_, "SELECT 1 FROM units WHERE id=? AND epoch=?");
    TRY(const bool holds,
        get.bind(changes.unit_guard->unit).bind(static_cast<int64_t>(changes.unit_guard->epoch)).step());
    if (!holds)
      return fail(Code::kRefused, fmt::format("unit {} isn't in epoch {} any more", changes.unit_guard->unit,
                                              changes.unit_guard->epoch));
  }
  if (changes.migration_guard) {
    Statement get(*db_, "SELECT 1 FROM migrations WHERE id=? AND state=?");
    TRY(const bool holds,
        get.bind(changes.migration_guard->migration).bind(static_cast<int64_t>(changes.migration_guard->state)).step());
    if (!holds) return fail(Code::kRefused, fmt::format("migration {} is final", changes.migration_guard->migration));
  }
  for (const auto& u : changes.units) {
    wire::Unit kept = u;
    kept.clear_load();
    Statement put(*db_, "INSERT OR REPLACE INTO units VALUES(?,?,?,?,?,?)");
    TRY_DO(put.bind(u.id())
               .bind(u.spec().name())
               .bind(u.node())
               .bind(static_cast<int64_t>(u.epoch()))
               .bind(static_cast<int64_t>(u.state()))
               .bind_blob(kept.SerializeAsString())
               .run());
  }
  for (const auto& id : changes.removed_units) {
    Statement drop(*db_, "DELETE FROM units WHERE id=?");
    TRY_DO(drop.bind(id).run());
    Statement forget(*db_, "DELETE FROM meta WHERE key=?");
    TRY_DO(forget.bind(work_before_key(id)).run());
    Statement document(*db_, "DELETE FROM delegations WHERE unit=?");
    TRY_DO(document.bind(id).run());
  }
  for (const auto& n : changes.nodes) {
    wire::NodeInfo kept = n;
    kept.clear_load();
    Statement put(*db_, "INSERT OR REPLACE INTO nodes VALUES(?,?)");
    TRY_DO(put.bind(n.name()).bind_blob(kept.SerializeAsString()).run());
  }
  for (const auto& m : changes.migrations) {
    Statement put(*db_, "INSERT OR REPLACE INTO migrations VALUES(?,?,?,?,?)");
    TRY_DO(put.bind(m.id())
               .bind(m.unit())
               .bind(static_cast<int64_t>(m.epoch()))
               .bind(static_cast<int64_t>(m.state()))
               .bind_blob(m.SerializeAsString())
               .run());
  }
  for (const auto& c : changes.checkpoints) {
    Statement put(*db_, "INSERT OR REPLACE INTO checkpoints VALUES(?,?,?)");
    TRY_DO(put.bind(c.unit()).bind(static_cast<int64_t>(c.number())).bind_blob(c.SerializeAsString()).run());
  }
  for (const auto& key : changes.removed_meta) {
    Statement drop(*db_, "DELETE FROM meta WHERE key=?");
    TRY_DO(drop.bind(key).run());
  }
  for (const auto& [key, value] : changes.meta) TRY_DO(set_meta(key, value));
  for (const auto& [unit, number] : changes.removed_checkpoints) {
    Statement drop(*db_, "DELETE FROM checkpoints WHERE unit=? AND number=?");
    TRY_DO(drop.bind(unit).bind(static_cast<int64_t>(number)).run());
    Statement forget(*db_, "DELETE FROM meta WHERE key=?");
    TRY_DO(forget.bind(work_at_key(unit, number)).run());
  }
  for (const auto& t : changes.tokens) {
    Statement put(*db_, "INSERT OR REPLACE INTO tokens VALUES(?,?,?)");
    TRY_DO(put.bind(t.token).bind(t.node).bind(t.expires_ms).run());
  }
  for (const auto& t : changes.removed_tokens) {
    Statement drop(*db_, "DELETE FROM tokens WHERE digest=?");
    TRY_DO(drop.bind(t).run());
  }
  return write_delegations(changes);
}

Result<void> Store::write_delegations(const Changes& changes) {
  for (const auto& d : changes.delegations) {
    Statement put(*db_, "INSERT OR REPLACE INTO delegations VALUES(?,?)");
    TRY_DO(put.bind(d.unit).bind_blob(to_bytes(d)).run());
    if (d.last.empty()) continue;
    // There already when only holder and epoch changed.
    Statement append(*db_, "INSERT INTO handovers VALUES(?,?,?) ON CONFLICT DO NOTHING");
    TRY_DO(append.bind(d.unit).bind(static_cast<int64_t>(d.log.head.sequence)).bind(d.last).run());
  }
  for (const auto& id : changes.revocations) {
    Statement put(*db_, "INSERT OR IGNORE INTO revocations VALUES(?)");
    TRY_DO(put.bind(id).run());
  }
  return {};
}

Result<std::vector<std::string>> Store::handovers(const std::string& unit) {
  std::vector<std::string> out;
  Statement get(*db_, "SELECT entry FROM handovers WHERE unit=? ORDER BY sequence");
  get.bind(unit);
  for (;;) {
    TRY(const bool more, get.step());
    if (!more) return out;
    out.push_back(get.text(0));
  }
}

}  // namespace godwit::controller
