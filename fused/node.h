// The nodes of one view: what its nodeids name.
#ifndef FUSED_FUSED_NODE_H_
#define FUSED_FUSED_NODE_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_set.h"
#include "absl/hash/hash.h"
#include "absl/synchronization/mutex.h"
#include "fused/kept_rights.h"
#include "fused/lower_node.h"
#include "kernel/types.h"
#include "policy/types.h"

namespace fused {

// What makes two lookups of one view find the same node. A directory has one
// node, whatever its class; a file has one for each I/O mode that it is served
// in, for the kernel takes one mode an inode, and in the media profile one for
// each class that its names lie in.
struct NodeKey {
  const LowerNode* lower = nullptr;
  uint32_t path_class = 0;
  policy::IoMode io = policy::IoMode::kPassthrough;

  friend bool operator==(const NodeKey&, const NodeKey&) = default;
  template <typename H>
  friend H AbslHashValue(H h, const NodeKey& key) {
    return H::combine(std::move(h), key.lower, key.path_class,
                      static_cast<int>(key.io));
  }
};

// What a table must remember of a node across a restart, but for its lower file
// handle.
struct NodeRecord {
  kernel::NodeId id = 0;
  uint64_t lookups = 0;
};

// How the kernel holds a file's node open: see anchors of fs/fuse/iomode.c. All
// handles of a node are of one mode.
enum class NodeMode : uint8_t { kIdle, kPassthrough, kDaemon };

class Node {
 public:
  Node(kernel::NodeId id, std::shared_ptr<LowerNode> lower, const NodeKey& key,
       std::optional<Place> place)
      : lower(std::move(lower)),
        key(key),
        place(place.has_value()
                  ? std::make_unique<const Place>(*std::move(place))
                  : nullptr),
        record_{id, 0} {}

  kernel::NodeId id() const { return record_.id; }

  const std::shared_ptr<LowerNode> lower;
  const NodeKey key;
  // Of a file with several names, the one that it was looked up by: its class
  // is that name's. Null: it stands where the lower node does.
  const std::unique_ptr<const Place> place;

  Facts Classify(const policy::Snapshot& snapshot) const {
    return place != nullptr ? lower->ClassifyAt(snapshot, *place)
                            : lower->Classify(snapshot);
  }

  // Serialises opens and releases of this node: the mode is chosen, the backing
  // id taken and the mode entered as one step.
  absl::Mutex open_mutex;
  NodeMode mode ABSL_GUARDED_BY(open_mutex) = NodeMode::kIdle;
  // The errno that kept its open handles from passthrough; 0: none did.
  int refusal ABSL_GUARDED_BY(open_mutex) = 0;
  uint32_t handles ABSL_GUARDED_BY(open_mutex) = 0;
  // The name that the kernel was last told it by (ToldNames); 0: none.
  std::atomic<uint64_t> told{0};
  // Under its lower node's changes(). Of a node with a place of its own: none.
  mutable KeptRights rights;
  // Handles that may write; read without the mutex by the attribute cache.
  std::atomic<int> writers{0};

 private:
  friend class NodeTable;
  NodeRecord record_;  // lookups: guarded by the table's shard
  // The kernel has forgotten it, the table has not. Changed under the shard's
  // mutex.
  std::atomic<bool> remembered_{false};
  std::list<std::shared_ptr<Node>>::iterator place_in_memory_;
};

// Thread-safe.
class NodeTable {
 public:
  // The root is there from the start and never forgotten. Of `remembered` nodes
  // at most the ids outlive the kernel's knowledge of them: for the file
  // handles of an exported mount. They hold no descriptor, so that none keeps a
  // removed file's space.
  NodeTable(std::shared_ptr<const Peer> view, std::shared_ptr<LowerNode> root,
            size_t remembered = 0);
  NodeTable(const NodeTable&) = delete;
  NodeTable& operator=(const NodeTable&) = delete;
  // Forgets all.
  ~NodeTable();

  // Null for an id that the kernel was never given, or forgot.
  std::shared_ptr<Node> Find(kernel::NodeId id) const;
  // The same, or what is remembered of an id that the kernel forgot.
  std::shared_ptr<Node> FindRemembered(kernel::NodeId id) const;

  // The node for `key`, made where there is none, with one lookup more.
  std::shared_ptr<Node> Enter(const std::shared_ptr<LowerNode>& lower,
                              const NodeKey& key, std::optional<Place> place);

  // Takes `lookups` back. True: the kernel knows the node no more.
  bool Forget(kernel::NodeId id, uint64_t lookups);

  // Forgets all but the root, and remembers nothing.
  void Clear();

  // Those that the kernel knows; so does size().
  std::vector<std::shared_ptr<Node>> All() const;

  size_t size() const { return size_.load(std::memory_order_relaxed); }

 private:
  static constexpr size_t kShards = 32;

  // Hashes and compares nodes by what they are found by, which is not kept a
  // second time.
  struct ById {
    using is_transparent = void;
    static kernel::NodeId Of(kernel::NodeId id) { return id; }
    static kernel::NodeId Of(const std::shared_ptr<Node>& node) {
      return node->id();
    }
    template <typename T>
    size_t operator()(const T& node) const {
      return absl::HashOf(Of(node));
    }
    template <typename T, typename U>
    bool operator()(const T& a, const U& b) const {
      return Of(a) == Of(b);
    }
  };
  struct ByKey {
    using is_transparent = void;
    static const NodeKey& Of(const NodeKey& key) { return key; }
    static const NodeKey& Of(const Node* node) { return node->key; }
    template <typename T>
    size_t operator()(const T& node) const {
      return absl::HashOf(Of(node));
    }
    template <typename T, typename U>
    bool operator()(const T& a, const U& b) const {
      return Of(a) == Of(b);
    }
  };

  struct IdShard {
    mutable absl::Mutex mutex;
    absl::flat_hash_set<std::shared_ptr<Node>, ById, ById> nodes
        ABSL_GUARDED_BY(mutex);
  };
  // Locked before an IdShard. Guards the lookup counts of its nodes.
  struct KeyShard {
    absl::Mutex mutex;
    absl::flat_hash_set<Node*, ByKey, ByKey> nodes ABSL_GUARDED_BY(mutex);
  };

  IdShard& ShardOf(kernel::NodeId id) const { return ids_[id % kShards]; }
  KeyShard& ShardOf(const NodeKey& key);

  // Of a node without lookups, whose shard is `keys`.
  void Erase(KeyShard& keys, const Node& node)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(keys.mutex);
  void Remember(const std::shared_ptr<Node>& node);
  void Recall(Node& node);
  // Remembers a node no more, but where the kernel knows it again.
  void Drop(const std::shared_ptr<Node>& node);
  // Drops the oldest until `most` are left.
  void Shrink(size_t most);

  const std::shared_ptr<const Peer> view_;
  const size_t most_remembered_;
  std::atomic<kernel::NodeId> next_{kernel::kRootNode + 1};
  std::atomic<size_t> size_{0};
  mutable IdShard ids_[kShards];
  KeyShard keys_[kShards];
  // Locked after a KeyShard.
  mutable absl::Mutex memory_mutex_;
  // Oldest first.
  std::list<std::shared_ptr<Node>> memory_ ABSL_GUARDED_BY(memory_mutex_);
};

}  // namespace fused

#endif  // FUSED_FUSED_NODE_H_
