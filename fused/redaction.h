// Where a lower file holds a location, for who may not see it.
#ifndef FUSED_FUSED_REDACTION_H_
#define FUSED_FUSED_REDACTION_H_

#include <sys/stat.h>

#include <atomic>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "fused/lower_node.h"
#include "policy/redaction/types.h"

namespace fused {

// A finding, and the state of the file that it is of. Immutable but for what
// was told of it.
struct Redaction {
  policy::redaction::Finding finding;
  struct timespec ctime = {};
  off_t size = 0;
  // The media index was told.
  mutable std::atomic<bool> recorded{false};

  // Whether the file is still as it was.
  bool Matches(const struct stat& stat) const {
    return stat.st_size == size && stat.st_ctim.tv_sec == ctime.tv_sec &&
           stat.st_ctim.tv_nsec == ctime.tv_nsec;
  }
  bool hides() const {
    return finding.kind != policy::redaction::Finding::Kind::kNone;
  }
};

// The finding for the file as it is now: the one that the node keeps, or a new
// one, where ctime or size changed or somebody can write the file (stores
// through a mapping change neither until later). A new one is kept where nobody
// can. Walks the file; no lock is held. Thread-safe.
absl::StatusOr<std::shared_ptr<const Redaction>> FindRedaction(
    LowerNode& lower);

// Fills `out` from `offset` of the file that `fd` has open, with what is to be
// hidden zeroed; returns how many bytes there were. A file that changes while
// it is read is read again; EACCES where it is refused, or does not rest.
absl::StatusOr<size_t> ReadRedacted(LowerNode& lower, int fd, off_t offset,
                                    absl::Span<char> out);

}  // namespace fused

#endif  // FUSED_FUSED_REDACTION_H_
