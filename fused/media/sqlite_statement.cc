#include "fused/media/sqlite_statement.h"

#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"

namespace fused::media {

absl::Status SqliteStatus(sqlite3* database, int result,
                          std::string_view what) {
  if (result == SQLITE_OK || result == SQLITE_DONE || result == SQLITE_ROW) {
    return absl::OkStatus();
  }
  const std::string text = absl::StrCat(
      what, ": ",
      database != nullptr ? sqlite3_errmsg(database) : sqlite3_errstr(result));
  switch (result & 0xff) {
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_FORMAT:
      return absl::DataLossError(text);
    case SQLITE_FULL:
      return absl::ResourceExhaustedError(text);
    default:
      if (database != nullptr && sqlite3_system_errno(database) == ENOSPC) {
        return absl::ResourceExhaustedError(text);
      }
      return absl::UnavailableError(text);
  }
}

absl::StatusOr<Statement> Statement::Prepare(sqlite3* database,
                                             std::string_view sql,
                                             std::atomic<uint64_t>* count) {
  sqlite3_stmt* raw = nullptr;
  const int result =
      sqlite3_prepare_v3(database, sql.data(), static_cast<int>(sql.size()),
                         SQLITE_PREPARE_PERSISTENT, &raw, nullptr);
  if (result != SQLITE_OK) return SqliteStatus(database, result, "prepare");
  Statement statement;
  statement.database_ = database;
  statement.statement_.reset(raw);
  statement.count_ = count;
  return statement;
}

Statement& Statement::Bind(int64_t value) {
  sqlite3_bind_int64(statement_.get(), ++bound_, value);
  return *this;
}

Statement& Statement::Bind(std::string_view text) {
  sqlite3_bind_text(statement_.get(), ++bound_, text.data(),
                    static_cast<int>(text.size()), SQLITE_STATIC);
  return *this;
}

Statement& Statement::BindBytes(std::string_view bytes) {
  sqlite3_bind_blob(statement_.get(), ++bound_, bytes.data(),
                    static_cast<int>(bytes.size()), SQLITE_STATIC);
  return *this;
}

Statement& Statement::BindNull() {
  sqlite3_bind_null(statement_.get(), ++bound_);
  return *this;
}

void Statement::Reset() {
  sqlite3_reset(statement_.get());
  sqlite3_clear_bindings(statement_.get());
  bound_ = 0;
  running_ = false;
}

absl::StatusOr<bool> Statement::Step() {
  if (!running_) count_->fetch_add(1, std::memory_order_relaxed);
  running_ = true;
  const int result = sqlite3_step(statement_.get());
  if (result == SQLITE_ROW) return true;
  absl::Status status = SqliteStatus(database_, result, "step");
  Reset();
  if (!status.ok()) return status;
  return false;
}

absl::Status Statement::Run() {
  const absl::Status status = Step().status();
  Reset();
  return status;
}

int64_t Statement::Integer(int column) const {
  return sqlite3_column_int64(statement_.get(), column);
}

std::string_view Statement::Text(int column) const {
  const void* bytes = sqlite3_column_blob(statement_.get(), column);
  const int size = sqlite3_column_bytes(statement_.get(), column);
  if (bytes == nullptr) return {};
  return {static_cast<const char*>(bytes), static_cast<size_t>(size)};
}

bool Statement::IsNull(int column) const {
  return sqlite3_column_type(statement_.get(), column) == SQLITE_NULL;
}

absl::Status Execute(sqlite3* database, const std::string& sql,
                     std::atomic<uint64_t>* count) {
  count->fetch_add(1, std::memory_order_relaxed);
  const int result =
      sqlite3_exec(database, sql.c_str(), nullptr, nullptr, nullptr);
  return SqliteStatus(database, result, sql.substr(0, sql.find('\n')));
}

}  // namespace fused::media
