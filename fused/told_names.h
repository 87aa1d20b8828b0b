// What a view's kernel was last told that a name is.
#ifndef FUSED_FUSED_TOLD_NAMES_H_
#define FUSED_FUSED_TOLD_NAMES_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/hash/hash.h"
#include "absl/synchronization/mutex.h"
#include "fused/node.h"
#include "fused/ref.h"
#include "fused/shards.h"
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

  ToldNames() = default;
  ToldNames(const ToldNames&) = delete;
  ToldNames& operator=(const ToldNames&) = delete;
  ~ToldNames() { Clear(); }

  static Key KeyOf(kernel::NodeId parent, std::string_view name) {
    const Key key = absl::HashOf(parent, name);
    return key != 0 ? key : 1;
  }

  void Set(Key key, const Ref<Node>& node) {
    // Let go of outside the lock.
    Ref<Node> other;
    Shard& shard = ShardOf(key);
    absl::MutexLock lock(&shard.mutex);
    const auto found = shard.nodes.find(key);
    if (found != shard.nodes.end()) {
      if (*found == node) return;
      other = Take(shard, found);
    }
    uint64_t none = 0;
    if (node->told.compare_exchange_strong(none, key)) {
      shard.nodes.insert(node);
      EraseMore(key);
    } else {
      absl::MutexLock more(&more_mutex_);
      more_[key] = node->id();
      has_more_.store(true);
    }
  }

  void Erase(Key key) {
    Ref<Node> node;
    Shard& shard = ShardOf(key);
    absl::MutexLock lock(&shard.mutex);
    const auto found = shard.nodes.find(key);
    if (found != shard.nodes.end()) node = Take(shard, found);
    EraseMore(key);
  }

  // Of a node that is forgotten: what it was told as first.
  void EraseNode(const Node& node) {
    const Key key = node.told.load(std::memory_order_relaxed);
    if (key == 0) return;
    Ref<Node> taken;
    Shard& shard = ShardOf(key);
    absl::MutexLock lock(&shard.mutex);
    const auto found = shard.nodes.find(key);
    if (found != shard.nodes.end() && found->get() == &node) {
      taken = Take(shard, found);
    }
  }

  std::optional<kernel::NodeId> Find(Key key) const {
    const Shard& shard = ShardOf(key);
    absl::MutexLock lock(&shard.mutex);
    const auto found = shard.nodes.find(key);
    if (found != shard.nodes.end()) return (*found)->id();
    if (!has_more_.load()) return std::nullopt;
    absl::MutexLock more_lock(&more_mutex_);
    const auto more = more_.find(key);
    if (more == more_.end()) return std::nullopt;
    return more->second;
  }

  void Clear() {
    for (Shard& shard : shards_) {
      Nodes nodes;
      absl::MutexLock lock(&shard.mutex);
      for (const Ref<Node>& node : shard.nodes) Untell(*node);
      nodes.swap(shard.nodes);
    }
    absl::MutexLock lock(&more_mutex_);
    more_.clear();
  }

 private:
  // By Node::told, which stands in for a key as long as the node is there.
  struct ByKey {
    using is_transparent = void;
    static Key Of(Key key) { return key; }
    static Key Of(const Ref<Node>& node) {
      return node->told.load(std::memory_order_relaxed);
    }
    // A key is a hash.
    template <typename T>
    size_t operator()(const T& node) const {
      return Of(node);
    }
    template <typename T, typename U>
    bool operator()(const T& a, const U& b) const {
      return Of(a) == Of(b);
    }
  };
  using Nodes = absl::flat_hash_set<Ref<Node>, ByKey, ByKey>;
  struct Shard {
    mutable absl::Mutex mutex;
    // Node::told becomes and ceases to be a key of this shard only here, under
    // the mutex, with the node's coming and going.
    Nodes nodes ABSL_GUARDED_BY(mutex);
  };
  Shard& ShardOf(Key key) { return shards_[ShardOfHash(key)]; }
  const Shard& ShardOf(Key key) const { return shards_[ShardOfHash(key)]; }

  static void Untell(Node& node) {
    node.told.store(0, std::memory_order_relaxed);
  }
  static Ref<Node> Take(Shard& shard, Nodes::iterator found)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(shard.mutex) {
    Ref<Node> node = std::move(shard.nodes.extract(found).value());
    Untell(*node);
    return node;
  }

  // Under the mutex of the key's shard.
  void EraseMore(Key key) {
    if (!has_more_.load()) return;
    absl::MutexLock lock(&more_mutex_);
    more_.erase(key);
  }

  Shard shards_[kShards];
  // Locked after a shard's.
  mutable absl::Mutex more_mutex_;
  // Names of nodes that had been told by another before: few have two.
  absl::flat_hash_map<Key, kernel::NodeId> more_ ABSL_GUARDED_BY(more_mutex_);
  std::atomic<bool> has_more_{false};
};

}  // namespace fused

#endif  // FUSED_FUSED_TOLD_NAMES_H_
