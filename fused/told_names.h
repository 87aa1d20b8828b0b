// What a view's kernel was last told that a name is.
#ifndef FUSED_FUSED_TOLD_NAMES_H_
#define FUSED_FUSED_TOLD_NAMES_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/hash/hash.h"
#include "absl/synchronization/mutex.h"
#include "kernel/types.h"

namespace fused {

// Another view may have put something else in a name's place, and the word of
// it be still on its way. If then the name is removed or renamed by what stands
// there now, the kernel takes it for what it knows: a directory that lives
// elsewhere is dead to it for good. So these requests are checked against what
// was told. Names are kept as hashes of 64 bits: two that are one by chance
// cost the caller an ESTALE. Thread-safe.
class ToldNames {
 public:
  using Key = uint64_t;

  static Key KeyOf(kernel::NodeId parent, std::string_view name) {
    return absl::HashOf(parent, name);
  }

  void Set(Key key, kernel::NodeId node) {
    Shard& shard = ShardOf(key);
    absl::MutexLock lock(&shard.mutex);
    shard.nodes[key] = node;
  }

  void Erase(Key key) {
    Shard& shard = ShardOf(key);
    absl::MutexLock lock(&shard.mutex);
    shard.nodes.erase(key);
  }

  // Only what still stands for `node`.
  void EraseNode(Key key, kernel::NodeId node) {
    Shard& shard = ShardOf(key);
    absl::MutexLock lock(&shard.mutex);
    const auto found = shard.nodes.find(key);
    if (found != shard.nodes.end() && found->second == node) {
      shard.nodes.erase(found);
    }
  }

  std::optional<kernel::NodeId> Find(Key key) const {
    const Shard& shard = ShardOf(key);
    absl::MutexLock lock(&shard.mutex);
    const auto found = shard.nodes.find(key);
    if (found == shard.nodes.end()) return std::nullopt;
    return found->second;
  }

 private:
  static constexpr size_t kShards = 16;
  struct Shard {
    mutable absl::Mutex mutex;
    absl::flat_hash_map<Key, kernel::NodeId> nodes ABSL_GUARDED_BY(mutex);
  };
  Shard& ShardOf(Key key) { return shards_[key % kShards]; }
  const Shard& ShardOf(Key key) const { return shards_[key % kShards]; }

  Shard shards_[kShards];
};

}  // namespace fused

#endif  // FUSED_FUSED_TOLD_NAMES_H_
