#include "fused/media/sqlite_store.h"

#include <sqlite3.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <map>
#include <optional>

#include "absl/strings/str_cat.h"
#include "kernel/status.h"

namespace fused::media {
namespace {

// `expires`, `ctime`, `size`: see Record. A key is of one of KeyKind's kinds,
// which its first byte tells.
constexpr const char* kMigrations[] = {
    R"(CREATE TABLE state (
  name TEXT PRIMARY KEY,
  value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE tree (
  id INTEGER PRIMARY KEY,
  volume TEXT NOT NULL,
  user INTEGER NOT NULL,
  UNIQUE (volume, user)
) STRICT;
CREATE TABLE file (
  tree INTEGER NOT NULL REFERENCES tree (id),
  key BLOB NOT NULL,
  package TEXT,
  app_id INTEGER,
  media_type TEXT,
  waiting INTEGER NOT NULL,
  hidden INTEGER NOT NULL,
  expires INTEGER NOT NULL,
  location INTEGER NOT NULL,
  ctime INTEGER NOT NULL,
  size INTEGER NOT NULL,
  PRIMARY KEY (tree, key),
  CHECK ((package IS NULL) = (app_id IS NULL))
) STRICT, WITHOUT ROWID;
)",
};

// Exclusive: the daemon is alone with it, and then SQLite shares no memory
// through a file, which a full disk would turn into SIGBUS. What is committed
// is the kernel's from then on and survives the process; after a power cut the
// lower tree's own attributes tell what the last commits did.
constexpr char kSetUp[] =
    "PRAGMA locking_mode = EXCLUSIVE;"
    "PRAGMA journal_mode = WAL;"
    "PRAGMA synchronous = NORMAL;"
    "PRAGMA foreign_keys = ON;"
    "PRAGMA trusted_schema = OFF;";

constexpr char kLoad[] =
    "SELECT volume, user, key, package, app_id, media_type, waiting, hidden, "
    "expires, location, ctime, size FROM file JOIN tree ON tree = tree.id";
constexpr char kPut[] =
    "INSERT OR REPLACE INTO file VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
constexpr char kDrop[] = "DELETE FROM file WHERE tree = ? AND key = ?";
constexpr char kTree[] =
    "INSERT INTO tree (volume, user) VALUES (?, ?) "
    "ON CONFLICT DO UPDATE SET user = excluded.user RETURNING id";
constexpr char kClean[] = "INSERT OR REPLACE INTO state VALUES ('clean', ?)";

absl::StatusOr<int64_t> One(sqlite3* database, std::string_view sql,
                            std::atomic<uint64_t>* count) {
  absl::StatusOr<Statement> statement =
      Statement::Prepare(database, sql, count);
  if (!statement.ok()) return statement.status();
  absl::StatusOr<bool> row = statement->Step();
  if (!row.ok()) return row.status();
  return *row ? statement->Integer(0) : 0;
}

class SqliteStore : public Store {
 public:
  SqliteStore(Database database, Interner* interner)
      : database_(std::move(database)), interner_(interner) {}

  absl::Status Prepare();

  absl::Status Load(
      absl::FunctionRef<void(const TreeName&, FileKey, const Record&)> visit)
      override;
  absl::Status Apply(const std::vector<Change>& changes, bool anew) override;
  bool was_clean() const override { return was_clean_; }
  absl::Status MarkClean() override { return SetClean(true); }
  uint64_t statements() const override {
    return count_.load(std::memory_order_relaxed);
  }

 private:
  absl::Status CheckWhole();
  absl::Status SetClean(bool clean) {
    return clean_->Bind(int64_t{clean}).Run();
  }
  absl::StatusOr<int64_t> IdOf(const TreeName& tree);
  absl::Status ApplyAll(const std::vector<Change>& changes, bool anew);
  absl::Status Put(int64_t tree, const FileKey& key, const Record& record);

  std::atomic<uint64_t> count_{0};
  const Database database_;
  Interner* const interner_;
  bool was_clean_ = false;
  std::map<TreeName, int64_t> trees_;
  std::optional<Statement> put_;
  std::optional<Statement> drop_;
  std::optional<Statement> tree_;
  std::optional<Statement> clean_;
};

absl::Status SqliteStore::Prepare() {
  // A lock that another process holds is not waited for for long.
  sqlite3_busy_timeout(database_.get(), 100);
  absl::Status status = Execute(database_.get(), kSetUp, &count_);
  if (!status.ok()) return status;
  status = Migrate(database_.get(), Migrations(), &count_);
  if (!status.ok()) return status;
  for (const auto& [sql, statement] :
       {std::pair{kPut, &put_}, std::pair{kDrop, &drop_},
        std::pair{kTree, &tree_}, std::pair{kClean, &clean_}}) {
    absl::StatusOr<Statement> prepared =
        Statement::Prepare(database_.get(), sql, &count_);
    if (!prepared.ok()) return prepared.status();
    *statement = *std::move(prepared);
  }
  absl::StatusOr<int64_t> clean = One(
      database_.get(), "SELECT value FROM state WHERE name = 'clean'", &count_);
  if (!clean.ok()) return clean.status();
  was_clean_ = *clean != 0;
  if (!was_clean_) {
    status = CheckWhole();
    if (!status.ok()) return status;
  }
  return SetClean(false);
}

absl::Status SqliteStore::CheckWhole() {
  absl::StatusOr<Statement> check =
      Statement::Prepare(database_.get(), "PRAGMA quick_check(1)", &count_);
  if (!check.ok()) return check.status();
  absl::StatusOr<bool> row = check->Step();
  if (!row.ok()) return row.status();
  if (*row && check->Text(0) == "ok") return absl::OkStatus();
  return absl::DataLossError(
      absl::StrCat("quick_check: ", *row ? check->Text(0) : "no answer"));
}

absl::Status SqliteStore::Load(
    absl::FunctionRef<void(const TreeName&, FileKey, const Record&)> visit) {
  absl::StatusOr<Statement> load =
      Statement::Prepare(database_.get(), kLoad, &count_);
  if (!load.ok()) return load.status();
  for (;;) {
    absl::StatusOr<bool> row = load->Step();
    if (!row.ok()) return row.status();
    if (!*row) return absl::OkStatus();
    const TreeName tree{std::string(load->Text(0)),
                        static_cast<uint32_t>(load->Integer(1))};
    Record record;
    if (!load->IsNull(3)) {
      record.owner =
          interner_->Intern({std::string(load->Text(3)),
                             static_cast<uint32_t>(load->Integer(4))});
    }
    record.media_type = interner_->InternType(load->Text(5));
    record.waiting = static_cast<Waiting>(load->Integer(6));
    record.hidden = load->Integer(7) != 0;
    record.expires = load->Integer(8);
    record.location = static_cast<Location>(load->Integer(9));
    record.ctime = load->Integer(10);
    record.size = load->Integer(11);
    visit(tree, FileKey{std::string(load->Text(2))}, record);
  }
}

absl::StatusOr<int64_t> SqliteStore::IdOf(const TreeName& tree) {
  const auto found = trees_.find(tree);
  if (found != trees_.end()) return found->second;
  absl::StatusOr<bool> row =
      tree_->Bind(tree.volume).Bind(int64_t{tree.user}).Step();
  if (!row.ok()) return row.status();
  const int64_t id = tree_->Integer(0);
  tree_->Reset();
  trees_.emplace(tree, id);
  return id;
}

absl::Status SqliteStore::Put(int64_t tree, const FileKey& key,
                              const Record& record) {
  put_->Bind(tree).BindBytes(key.bytes);
  if (record.owner != nullptr) {
    put_->Bind(record.owner->package).Bind(int64_t{record.owner->app_id});
  } else {
    put_->BindNull().BindNull();
  }
  if (record.media_type != nullptr) {
    put_->Bind(*record.media_type);
  } else {
    put_->BindNull();
  }
  return put_->Bind(static_cast<int64_t>(record.waiting))
      .Bind(int64_t{record.hidden})
      .Bind(record.expires)
      .Bind(static_cast<int64_t>(record.location))
      .Bind(record.ctime)
      .Bind(record.size)
      .Run();
}

absl::Status SqliteStore::ApplyAll(const std::vector<Change>& changes,
                                   bool anew) {
  absl::Status status;
  if (anew) status = Execute(database_.get(), "DELETE FROM file", &count_);
  for (const Change& change : changes) {
    if (!status.ok()) return status;
    absl::StatusOr<int64_t> tree = IdOf(*change.tree);
    if (!tree.ok()) return tree.status();
    status = change.record.has_value()
                 ? Put(*tree, change.key, *change.record)
                 : drop_->Bind(*tree).BindBytes(change.key.bytes).Run();
  }
  return status;
}

absl::Status SqliteStore::Apply(const std::vector<Change>& changes, bool anew) {
  absl::Status status = Execute(database_.get(), "BEGIN IMMEDIATE", &count_);
  if (!status.ok()) return status;
  status = ApplyAll(changes, anew);
  if (status.ok()) status = Execute(database_.get(), "COMMIT", &count_);
  if (status.ok()) return status;
  // Some errors have rolled it back already.
  if (sqlite3_get_autocommit(database_.get()) == 0) {
    Execute(database_.get(), "ROLLBACK", &count_).IgnoreError();
  }
  // What was added among the trees went too.
  trees_.clear();
  return status;
}

}  // namespace

absl::Span<const char* const> Migrations() { return kMigrations; }

absl::Status Migrate(sqlite3* database, absl::Span<const char* const> steps,
                     std::atomic<uint64_t>* count) {
  absl::StatusOr<int64_t> version = One(database, "PRAGMA user_version", count);
  if (!version.ok()) return version.status();
  const auto newest = static_cast<int64_t>(steps.size());
  if (*version > newest) {
    return absl::FailedPreconditionError(
        absl::StrCat("its schema version ", *version,
                     " is newer than this program's, ", newest));
  }
  if (*version < 0) return absl::DataLossError("a negative schema version");
  if (*version == newest) return absl::OkStatus();
  std::string script = "BEGIN IMMEDIATE;\n";
  for (const char* step : steps.subspan(static_cast<size_t>(*version))) {
    absl::StrAppend(&script, step);
  }
  absl::StrAppend(&script, "PRAGMA user_version = ", newest, ";\nCOMMIT;");
  absl::Status status = Execute(database, script, count);
  if (!status.ok() && sqlite3_get_autocommit(database) == 0) {
    Execute(database, "ROLLBACK", count).IgnoreError();
  }
  return status;
}

absl::StatusOr<std::unique_ptr<Store>> SqliteStorage::Open() {
  sqlite3* raw = nullptr;
  const int result =
      sqlite3_open_v2(path_.c_str(), &raw,
                      SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE |
                          SQLITE_OPEN_NOFOLLOW | SQLITE_OPEN_NOMUTEX,
                      nullptr);
  Database database(raw);
  if (result != SQLITE_OK) return SqliteStatus(raw, result, path_);
  sqlite3_extended_result_codes(raw, 1);
  auto store = std::make_unique<SqliteStore>(std::move(database), interner_);
  const absl::Status status = store->Prepare();
  if (!status.ok()) {
    return absl::Status(status.code(),
                        absl::StrCat(path_, ": ", status.message()));
  }
  return store;
}

absl::StatusOr<std::string> SqliteStorage::SetAside() {
  for (int n = 1;; ++n) {
    const std::string aside = absl::StrCat(path_, ".corrupt-", n);
    // A link takes no name that is there.
    if (link(path_.c_str(), aside.c_str()) != 0) {
      if (errno == EEXIST) continue;
      return kernel::ErrnoStatus(errno, aside);
    }
    // Never another database's log; and of no use without it being read.
    for (const char* suffix : {"-wal", "-shm"}) {
      const std::string log = absl::StrCat(path_, suffix);
      if (rename(log.c_str(), absl::StrCat(aside, suffix).c_str()) != 0 &&
          errno != ENOENT) {
        return kernel::ErrnoStatus(errno, log);
      }
    }
    if (unlink(path_.c_str()) != 0) return kernel::ErrnoStatus(errno, path_);
    return aside;
  }
}

}  // namespace fused::media
