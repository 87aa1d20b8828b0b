// The directories of a view whose listings its kernel may have kept.
#ifndef FUSED_FUSED_LISTINGS_H_
#define FUSED_FUSED_LISTINGS_H_

#include <cstddef>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_set.h"
#include "absl/synchronization/mutex.h"
#include "kernel/types.h"

namespace fused {

// A directory is added before it is read for the kernel, and taken by who has
// changed it and drops the listing: so that none is kept of which nobody knows.
// Thread-safe.
class Listings {
 public:
  void Add(kernel::NodeId directory) {
    Shard& shard = ShardOf(directory);
    absl::MutexLock lock(&shard.mutex);
    shard.directories.insert(directory);
  }

  // True: it was there, and is to be dropped.
  bool Take(kernel::NodeId directory) {
    Shard& shard = ShardOf(directory);
    absl::MutexLock lock(&shard.mutex);
    return shard.directories.erase(directory) != 0;
  }

  std::vector<kernel::NodeId> TakeAll() {
    std::vector<kernel::NodeId> all;
    for (Shard& shard : shards_) {
      absl::MutexLock lock(&shard.mutex);
      all.insert(all.end(), shard.directories.begin(), shard.directories.end());
      shard.directories.clear();
    }
    return all;
  }

 private:
  static constexpr size_t kShards = 16;
  struct Shard {
    absl::Mutex mutex;
    absl::flat_hash_set<kernel::NodeId> directories ABSL_GUARDED_BY(mutex);
  };
  Shard& ShardOf(kernel::NodeId directory) {
    return shards_[directory % kShards];
  }

  Shard shards_[kShards];
};

}  // namespace fused

#endif  // FUSED_FUSED_LISTINGS_H_
