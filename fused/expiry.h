// Pending and trashed files that nobody came back for.
#ifndef FUSED_FUSED_EXPIRY_H_
#define FUSED_FUSED_EXPIRY_H_

#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

#include "fused/lower_node.h"
#include "fused/lower_tree.h"
#include "fused/telling.h"

namespace fused {

struct ExpiryResult {
  struct File {
    std::string path;
    // Empty: deleted.
    std::string postponed_to;
  };
  std::vector<File> files;
  // What could not be walked, deleted or renamed.
  uint64_t failed = 0;
};

// Deletes the files of the tree that expired within the last week before `now`
// (seconds since 1970). One that expired longer ago, which a clock that went
// wrong makes of all, gets a week more from now on, by a new name: it is
// deleted when that is over and the clock still says so. Tells the kernels of
// all views. Thread-safe; no lock is held while it walks.
ExpiryResult ExpireFiles(LowerTree& tree, const Telling& telling, int64_t now,
                         const std::atomic<bool>& stop);

}  // namespace fused

#endif  // FUSED_FUSED_EXPIRY_H_
