// The index on disk.
#ifndef FUSED_FUSED_MEDIA_STORE_H_
#define FUSED_FUSED_MEDIA_STORE_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "fused/media/key.h"
#include "fused/media/record.h"

namespace fused::media {

// What becomes of one row.
struct Change {
  const TreeName* tree = nullptr;
  FileKey key;
  // Nothing: the row goes.
  std::optional<Record> record;
};

// One store is used by one thread at a time. Errors:
//   DATA_LOSS            it is corrupt: set it aside
//   RESOURCE_EXHAUSTED   the disk is full
//   UNAVAILABLE          locked, or an I/O error: try again later
//   FAILED_PRECONDITION  made by a newer version: leave it alone
// After an error nothing of the call is in force.
class Store {
 public:
  virtual ~Store() = default;

  // All rows. The pointers are good during the call.
  virtual absl::Status Load(
      absl::FunctionRef<void(const TreeName&, FileKey, const Record&)>
          visit) = 0;
  // All changes or none: they survive the end of this process from then on.
  // With `anew` all rows that are not among them go.
  virtual absl::Status Apply(const std::vector<Change>& changes, bool anew) = 0;

  // Whether MarkClean() was the last thing that was done to it, ever.
  virtual bool was_clean() const = 0;
  virtual absl::Status MarkClean() = 0;
  // SQL statements run so far. From any thread.
  virtual uint64_t statements() const = 0;
};

// Where a store lies.
class Storage {
 public:
  virtual ~Storage() = default;

  // Opens the store, or makes an empty one.
  virtual absl::StatusOr<std::unique_ptr<Store>> Open() = 0;
  // Gives a corrupt one, which nobody has open, another name and returns it.
  virtual absl::StatusOr<std::string> SetAside() = 0;
};

}  // namespace fused::media

#endif  // FUSED_FUSED_MEDIA_STORE_H_
