// SQLite's C interface with owners and statuses.
#ifndef FUSED_FUSED_MEDIA_SQLITE_STATEMENT_H_
#define FUSED_FUSED_MEDIA_SQLITE_STATEMENT_H_

#include <sqlite3.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace fused::media {

struct CloseDatabase {
  void operator()(sqlite3* database) const { sqlite3_close_v2(database); }
};
using Database = std::unique_ptr<sqlite3, CloseDatabase>;

// The status of SQLite's `result` as store.h has them.
absl::Status SqliteStatus(sqlite3* database, int result, std::string_view what);

// A prepared statement. Parameters are bound in order, from the first; texts
// live until Run() or Step() is through. Not thread-safe.
class Statement {
 public:
  // `count` counts the runs.
  static absl::StatusOr<Statement> Prepare(sqlite3* database,
                                           std::string_view sql,
                                           std::atomic<uint64_t>* count);

  Statement& Bind(int64_t value);
  Statement& Bind(std::string_view text);
  Statement& BindBytes(std::string_view bytes);
  Statement& BindNull();

  // For what gives no rows.
  absl::Status Run();
  // True: there is a row, to be read by the getters. After false it can be
  // bound anew.
  absl::StatusOr<bool> Step();
  void Reset();

  int64_t Integer(int column) const;
  std::string_view Text(int column) const;
  bool IsNull(int column) const;

 private:
  struct Finalize {
    void operator()(sqlite3_stmt* statement) const {
      sqlite3_finalize(statement);
    }
  };

  sqlite3* database_ = nullptr;
  std::unique_ptr<sqlite3_stmt, Finalize> statement_;
  std::atomic<uint64_t>* count_ = nullptr;
  int bound_ = 0;
  bool running_ = false;
};

// One or several statements without parameters or rows.
absl::Status Execute(sqlite3* database, const std::string& sql,
                     std::atomic<uint64_t>* count);

}  // namespace fused::media

#endif  // FUSED_FUSED_MEDIA_SQLITE_STATEMENT_H_
