// A store in an SQLite database.
#ifndef FUSED_FUSED_MEDIA_SQLITE_STORE_H_
#define FUSED_FUSED_MEDIA_SQLITE_STORE_H_

#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "fused/media/interner.h"
#include "fused/media/sqlite_statement.h"
#include "fused/media/store.h"

namespace fused::media {

// The database `path`, in a directory that is the daemon's alone. It is held
// locked for as long as it is open: nobody else can write it, or keep the
// daemon from writing.
class SqliteStorage : public Storage {
 public:
  // `interner` must outlive the stores.
  SqliteStorage(std::string path, Interner* interner)
      : path_(std::move(path)), interner_(interner) {}

  absl::StatusOr<std::unique_ptr<Store>> Open() override;
  // PATH.corrupt-<n>.
  absl::StatusOr<std::string> SetAside() override;

 private:
  const std::string path_;
  Interner* const interner_;
};

// What leads from no schema to this version's; each is one step, for good.
absl::Span<const char* const> Migrations();

// Brings a database of an older version up to date, all or nothing.
// FAILED_PRECONDITION: it is of a newer one.
absl::Status Migrate(sqlite3* database, absl::Span<const char* const> steps,
                     std::atomic<uint64_t>* count);

}  // namespace fused::media

#endif  // FUSED_FUSED_MEDIA_SQLITE_STORE_H_
